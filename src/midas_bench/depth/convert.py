"""An ONNX graph -> the file that OpenCV, ncnn or MNN loads, held against ONNX Runtime before it is kept.

Run as a process of its own (`python -m midas_bench.depth.convert`): converters take memory, print what they like, and
may end the process. `artifacts.py` is its only caller.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from midas_bench.depth.backends.base import Backend
from midas_bench.depth.graph_paths import readable
from midas_bench.depth.interface import NetworkInterface
from midas_bench.depth.quantize import FLOAT16_ERROR, read_graph, widened
from midas_bench.processes import Reply, answer, die_with_parent, last_words

SAME = 1e-3
"""Of the depth's range: how far a converted graph may be from what it is made of, which is rounding."""


# not MNN.tools, which installs a package and reports to a server when it is imported
MNN_CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])"


def for_opencv(graph: Path, target: Path, interface: NetworkInterface) -> Backend:
    """Keep the graph: OpenCV reads ONNX."""
    from midas_bench.depth.backends.opencv_dnn import OpenCvBackend

    target.write_bytes(graph.read_bytes())
    return OpenCvBackend(target, 1, interface, one_by_one=True)


def for_ncnn(graph: Path, target: Path, interface: NetworkInterface) -> Backend:
    """Convert with pnnx and keep ncnn's two files in one archive."""
    from midas_bench.depth.backends.ncnn_net import BIN, PARAM, NcnnBackend

    # importing the package would import torch
    package = importlib.util.find_spec("pnnx")
    [folder] = package.submodule_search_locations if package and package.submodule_search_locations else [""]
    sizes = ",".join(map(str, interface.shape(1)))
    # weights in float32, where pnnx would keep halves
    options = [f"inputshape=[{sizes}]f32", f"ncnnparam={PARAM}", f"ncnnbin={BIN}", "fp16=0"]
    # it writes further files beside the graph
    ran = _run([Path(folder, "pnnx"), graph.name, *options], graph.parent)
    parts = [graph.parent / PARAM, graph.parent / BIN]
    if ran.returncode != 0 or not all(part.is_file() for part in parts):
        raise ValueError(f"pnnx: {last_words(ran.stderr)}")
    with zipfile.ZipFile(target, "w") as archive:
        for part in parts:
            archive.write(part, part.name)
    return NcnnBackend(target, 1, interface)


def for_mnn(graph: Path, target: Path, interface: NetworkInterface) -> Backend:
    """Convert with MNN's own converter, in a process of its own, whose words tell why it failed."""
    from midas_bench.depth.backends.mnn_session import MnnBackend

    converted = graph.with_suffix(".mnn")
    # the last is the name of a product, which the converter asks for
    words = ["-f", "ONNX", "--modelFile", str(graph), "--MNNModel", str(converted), "--bizCode", "own"]
    ran = _run([sys.executable, "-c", MNN_CONVERT, *words], graph.parent)
    if not converted.is_file():
        raise ValueError(f"MNN's converter: {_complaint(ran.stdout) or last_words(ran.stderr)}")
    target.write_bytes(converted.read_bytes())
    return MnnBackend(target, 1, interface, one_by_one=True)


def _run(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a converter, which ends with this process, and may print what is no UTF-8."""
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", preexec_fn=die_with_parent
    )


def _complaint(printed: str) -> str:
    """Return the line that names operators which MNN lacks, without its time and place."""
    lines = [line.rpartition("] ")[2] for line in printed.splitlines() if "Not Support" in line]
    return lines[0].lstrip(":0123456789 ").strip() if lines else ""


CONVERTERS: dict[str, Callable[[Path, Path, NetworkInterface], Backend]] = {
    "opencv": for_opencv,
    "ncnn": for_ncnn,
    "mnn": for_mnn,
}


def in_float32(source: Path, output: str) -> tuple[onnx.ModelProto, float]:
    """Return the graph with its weights inside, with one output, and from float32 alone; and what it may be off.

    Not every converter knows float16 and uint8. Float32 holds all their numbers.
    """
    model = read_graph(source)
    given = {value.name for value in model.graph.input} - {value.name for value in model.graph.initializer}
    if output and len(model.graph.output) > 1:
        model = onnx.utils.Extractor(model).extract_model(sorted(given), [output])
    off = FLOAT16_ERROR if widened(model) else SAME
    for value in model.graph.input:
        if value.name in given:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return model, off


def require_same_depth(backend: Backend, source: Path, interface: NetworkInterface, off: float) -> None:
    """Compare a converted graph with ONNX Runtime on one picture of noise.

    Raises:
        ValueError: they differ by more than the share `off` of the depth's range.
    """
    noise = interface.noise()
    with readable(source, ".onnx") as name:
        session = onnxruntime.InferenceSession(name, providers=["CPUExecutionProvider"])
    outputs = session.run([interface.output] if interface.output else None, {session.get_inputs()[0].name: noise})
    require_close(backend(noise), interface.inverse_depth(outputs[0]), off, "ONNX Runtime")


def require_close(depth: NDArray[np.float32], expected: NDArray[np.float32], off: float, runtime: str) -> None:
    """Compare depth of two runtimes, float32 (N, H, W).

    Raises:
        ValueError: they differ in shape, or by more than the share `off` of the range of `expected`.
    """
    if depth.shape != expected.shape:
        raise ValueError(f"its depth is of {depth.shape}, where {runtime} gives {expected.shape}")
    apart = np.abs(depth - expected).max() / max(np.ptp(expected), np.finfo(np.float32).tiny)
    if not apart <= off:
        raise ValueError(f"its depth is off {runtime}'s by {apart:.3g} of the range, where {off:g} is allowed")


def build(request: Reply) -> Reply:
    """Convert for one runtime: `kind`, the ONNX graph `source`, its `interface`, `path` to write."""
    interface, source = NetworkInterface(**request["interface"]), Path(request["source"])
    with tempfile.TemporaryDirectory(prefix="midas-bench-") as folder:
        graph = Path(folder, "graph.onnx")
        model, off = in_float32(source, interface.output)
        graph.write_bytes(model.SerializeToString())
        backend = CONVERTERS[request["kind"]](graph, Path(request["path"]), interface)
        require_same_depth(backend, source, interface, off)
    return {}


if __name__ == "__main__":
    sys.exit(answer(build))
