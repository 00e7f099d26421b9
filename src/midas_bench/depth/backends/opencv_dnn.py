"""OpenCV's DNN module: the ONNX graph on the engine that came with OpenCV 5. Never imports torch."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from midas_bench.cpu import calls_side_by_side
from midas_bench.depth.artifacts import artifact
from midas_bench.depth.backends.base import Build, Requests, checked_float32, in_batches
from midas_bench.depth.interface import Batch, NetworkInterface


class OpenCvBackend:
    """Run one graph, with a copy of the network for each call at a time."""

    def __init__(self, graph: Path, threads: int, interface: NetworkInterface, one_by_one: bool) -> None:
        def opened() -> cv2.dnn.Net:
            # bytes, since OpenCV takes names of UTF-8 alone; the older engine gives wrong depth for several photos
            return cv2.dnn.readNetFromONNX(np.fromfile(graph, np.uint8), cv2.dnn.ENGINE_NEW)

        cv2.setNumThreads(threads)
        self._requests = Requests(opened, calls_side_by_side(threads))
        self._interface = interface
        self._one_by_one = one_by_one

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Map the network's input to new inverse depth, float32 (N, H, W)."""
        with self._requests.one() as network:

            def run(part: Batch) -> NDArray[np.float32]:
                network.setInput(part)
                # the network keeps its output's memory
                return self._interface.inverse_depth(np.array(network.forward()))

            return in_batches(run, checked_float32(batch, self._interface), self._one_by_one)

    @property
    def threads(self) -> int:
        """The threads that OpenCV has in this process, for all it does."""
        return int(cv2.getNumThreads())

    def close(self) -> None:
        """Drop the network and its copies; a call under way still ends well."""
        self._requests.close()


def load(build: Build) -> OpenCvBackend:
    """Read the graph, which is made first if the cache lacks it."""
    graph = artifact("opencv", build.weights, build.cache_dir)
    return OpenCvBackend(graph.path, build.threads, build.weights.interface, build.weights.source == "model")
