"""MNN on the CPU: the graph that its converter makes of the ONNX graph. Never imports torch."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midas_bench.cpu import calls_side_by_side
from midas_bench.depth.artifacts import artifact
from midas_bench.depth.backends.base import Build, Requests, checked_float32, in_batches
from midas_bench.depth.graph_paths import readable
from midas_bench.depth.interface import Batch, NetworkInterface
from midas_bench.processes import without_output

# it prints what the CPU has, and standard output may carry a picture
with without_output():
    import MNN

PRECISION = {"f32": "normal", "fp16": "low"}
"""MNN's words, by variant; `low` takes float16 where the CPU computes in it, and float32 elsewhere."""

THREAD_NUMBER = 4
"""Of `Interpreter::SessionInfoCode` in MNN's include/MNN/Interpreter.hpp."""


class Session:
    """One call's own session, laid out for the shape of its last batch."""

    def __init__(self, interpreter: MNN.Interpreter, threads: int, precision: str) -> None:
        self._interpreter = interpreter
        # `low` is said on standard output
        with without_output():
            self._session = interpreter.createSession({"backend": "CPU", "numThread": threads, "precision": precision})
        [self._input] = interpreter.getSessionInputAll(self._session).values()

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's output for a batch in C order."""
        if self._input.getShape() != batch.shape:
            self._interpreter.resizeTensor(self._input, batch.shape)
            self._interpreter.resizeSession(self._session)
        self._input.copyFrom(_on_host(batch))
        self._interpreter.runSession(self._session)
        [output] = self._interpreter.getSessionOutputAll(self._session).values()
        depth = np.empty(output.getShape(), np.float32)
        host = _on_host(depth)
        output.copyToHostTensor(host)
        return np.array(host.getNumpyData(), np.float32).reshape(depth.shape)

    @property
    def threads(self) -> int:
        """What the session says; MNN puts an integer into the memory of a float."""
        as_float = self._interpreter.getSessionInfo(self._session, THREAD_NUMBER)
        return int(struct.unpack("=i", struct.pack("=f", as_float))[0])


def _on_host(array: NDArray[np.float32]) -> MNN.Tensor:
    """Wrap an array in C order, in the order of its dimensions."""
    return MNN.Tensor(array.shape, MNN.Halide_Type_Float, array, MNN.Tensor_DimensionType_Caffe)


class MnnBackend:
    """Run one graph, with a session for each call at a time."""

    def __init__(
        self, graph: Path, threads: int, interface: NetworkInterface, one_by_one: bool, variant: str = "f32"
    ) -> None:
        with readable(graph, ".mnn") as name:
            interpreter = MNN.Interpreter(name)
        sessions = Requests(
            lambda: Session(interpreter, threads, PRECISION[variant]), calls_side_by_side(threads), at_once=True
        )
        with sessions.one() as session:
            self._threads = session.threads
        self._sessions = sessions
        self._interface = interface
        self._one_by_one = one_by_one

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Map the network's input to new inverse depth, float32 (N, H, W)."""
        with self._sessions.one() as session:
            ready = checked_float32(batch, self._interface)
            return in_batches(lambda part: self._interface.inverse_depth(session(part)), ready, self._one_by_one)

    @property
    def threads(self) -> int:
        """The threads of one call, as its session says."""
        return self._threads

    def close(self) -> None:
        """Drop the sessions; a call under way still ends well."""
        self._sessions.close()


def load(build: Build) -> MnnBackend:
    """Read the graph, which is made first if the cache lacks it."""
    graph = artifact("mnn", build.weights, build.cache_dir)
    one_by_one = build.weights.source == "model"
    return MnnBackend(graph.path, build.threads, build.weights.interface, one_by_one, build.variant)
