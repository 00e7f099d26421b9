"""OpenVINO on its CPU plugin: the exported ONNX graph, or the int8 one that NNCF made of it. Never imports torch."""

from __future__ import annotations

import zipfile

import numpy as np
import openvino
from numpy.typing import NDArray

from midas_bench.cpu import calls_side_by_side
from midas_bench.depth.artifacts import artifact
from midas_bench.depth.backends.base import Build, Requests, checked, in_batches
from midas_bench.depth.graph_paths import readable, without_links
from midas_bench.depth.interface import Batch, NetworkInterface
from midas_bench.depth.quantize import IR_BIN, IR_XML, fix_sizes

PRECISION = {"f32": "f32", "bf16": "bf16", "int8": "f32"}
"""What OpenVINO may compute in, by variant: left alone it takes bfloat16 where the CPU has it, int8 graphs included."""

SAME = 1e-3
"""Of the depth's range: what two streams may differ by, which is rounding; streams that are wrong differed by 0.05."""


class OpenVinoBackend:
    """Run one compiled model, with as many calls at a time as it has streams."""

    def __init__(self, compiled: openvino.CompiledModel, interface: NetworkInterface) -> None:
        self._compiled: openvino.CompiledModel | None = compiled
        self._interface = interface
        self._output = compiled.output(interface.output) if interface.output else compiled.output()
        self._streams = int(compiled.get_property("NUM_STREAMS"))
        self._requests = Requests(compiled.create_infer_request, self._streams)
        first = compiled.input().partial_shape[0]
        self._fixed_batch = first.is_static and first.get_length() == 1

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Map the network's input to new inverse depth, float32 (N, H, W)."""
        with self._requests.one() as request:

            def run(part: Batch) -> NDArray[np.float32]:
                request.infer([part], share_inputs=True)
                return self._interface.inverse_depth(np.array(request.get_tensor(self._output).data))

            return in_batches(run, checked(batch, self._interface), self._fixed_batch)

    @property
    def threads(self) -> int:
        """The inference threads of one stream, as the compiled model reports them."""
        if self._compiled is None:
            raise ValueError("the backend is closed")
        return int(self._compiled.get_property("INFERENCE_NUM_THREADS")) // self._streams

    def close(self) -> None:
        """Drop the model and its buffers; a call under way still ends well."""
        self._compiled = None
        self._requests.close()


def load(build: Build) -> OpenVinoBackend:
    """Compile the graph, which is made first if the cache lacks it."""
    kind = "openvino-int8" if build.variant == "int8" else "onnx"
    graph = artifact(kind, build.weights, build.cache_dir, build.calibration)
    core = openvino.Core()
    if kind == "openvino-int8":
        with zipfile.ZipFile(graph.path) as archive:
            model = core.read_model(archive.read(IR_XML), archive.read(IR_BIN))
    else:
        with without_links(graph.path, build.weights.external) as path, readable(path, ".onnx") as name:
            model = core.read_model(name)
        fix_sizes(model, build.weights.interface)
    streams = calls_side_by_side(build.threads)
    settings = {
        "INFERENCE_PRECISION_HINT": PRECISION[build.variant],
        "INFERENCE_NUM_THREADS": build.threads * streams,
        "PERFORMANCE_HINT": "LATENCY",
        # so many calls can run side by side; with a single request they would wait for each other
        "NUM_STREAMS": streams,
    }
    backend = OpenVinoBackend(core.compile_model(model, "CPU", settings), build.weights.interface)
    if streams == 1 or build.weights.source != "model":
        return backend
    # OpenVINO 2026.4 makes its streams side by side, and those of Swin V2 gave other depth after some starts
    settings |= {"INFERENCE_NUM_THREADS": build.threads, "NUM_STREAMS": 1}
    single = OpenVinoBackend(core.compile_model(model, "CPU", settings), build.weights.interface)
    kept, dropped = (backend, single) if agree(backend, single, build.weights.interface) else (single, backend)
    dropped.close()
    return kept


def agree(one: OpenVinoBackend, other: OpenVinoBackend, interface: NetworkInterface) -> bool:
    """Tell whether both give the same depth for one picture of noise."""
    first, second = (backend(interface.noise()) for backend in (one, other))
    return np.allclose(first, second, rtol=0, atol=SAME * float(np.ptp(second)), equal_nan=True)
