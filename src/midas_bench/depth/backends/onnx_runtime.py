"""ONNX Runtime on its CPU provider. Never imports torch."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.backends.base import Build, checked, in_batches
from midas_bench.depth.graph_paths import readable
from midas_bench.depth.interface import Batch, NetworkInterface


class OnnxRuntimeBackend:
    """Run one ONNX graph with one input, and one of its outputs."""

    def __init__(self, session: onnxruntime.InferenceSession, interface: NetworkInterface) -> None:
        self._session: onnxruntime.InferenceSession | None = session
        self._interface = interface
        [given] = session.get_inputs()
        self._input, self._output = given.name, interface.output or session.get_outputs()[0].name
        self._fixed_batch = given.shape[0] == 1

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Map the network's input to new inverse depth, float32 (N, H, W)."""
        session = self._session
        if session is None:
            raise ValueError("the backend is closed")

        def run(part: Batch) -> NDArray[np.float32]:
            return self._interface.inverse_depth(session.run([self._output], {self._input: part})[0])

        return in_batches(run, checked(batch, self._interface), self._fixed_batch)

    @property
    def threads(self) -> int:
        """The intra-op threads that the session reports."""
        if self._session is None:
            raise ValueError("the backend is closed")
        return int(self._session.get_session_options().intra_op_num_threads)

    def close(self) -> None:
        """Drop the session; its threads, which spin for a while after a call, end with it."""
        self._session = None


def load(build: Build) -> OnnxRuntimeBackend:
    """Open a session on the graph of the variant's kind, which is made first if the cache lacks it."""
    graph = artifact(build.variant, build.weights, build.cache_dir, build.calibration)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = build.threads
    options.inter_op_num_threads = 1
    # what fails is raised too, and a user's error is one line
    options.log_severity_level = 4
    with readable(graph.path, ".onnx") as name:
        session = onnxruntime.InferenceSession(name, options, providers=["CPUExecutionProvider"])
    return OnnxRuntimeBackend(session, build.weights.interface)
