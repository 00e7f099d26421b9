"""LiteRT with XNNPACK: the graph that litert-torch makes of the network, or its int8 form. Never imports torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from midas_bench.cpu import calls_side_by_side
from midas_bench.depth.artifacts import artifact
from midas_bench.depth.backends.base import Build, Requests, checked, in_batches
from midas_bench.depth.graph_paths import readable
from midas_bench.depth.interface import Batch, NetworkInterface
from midas_bench.processes import STANDARD_ERROR, without_output


class LiteRtBackend:
    """Run one graph of one input, photo by photo, with an interpreter for each call at a time.

    Args:
        graph: the file.
        threads: of one call.
        interface: of the network.
    """

    def __init__(self, graph: Path, threads: int, interface: NetworkInterface) -> None:
        def opened() -> Interpreter:
            with readable(graph, ".tflite") as name:
                interpreter = Interpreter(name, num_threads=threads)
                interpreter.allocate_tensors()
            return interpreter

        self._requests = Requests(opened, calls_side_by_side(threads))
        # the first one in a process announces XNNPACK on standard error
        with without_output(STANDARD_ERROR), self._requests.one():
            pass
        self._threads = threads
        self._interface = interface

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Map the network's input to new inverse depth, float32 (N, H, W)."""
        with self._requests.one() as interpreter:
            [given], [returned] = interpreter.get_input_details(), interpreter.get_output_details()

            def run(part: Batch) -> NDArray[np.float32]:
                interpreter.set_tensor(given["index"], part)
                interpreter.invoke()
                # a copy of the interpreter's memory
                return self._interface.inverse_depth(interpreter.get_tensor(returned["index"]))

            return in_batches(run, checked(batch, self._interface), one_by_one=True)

    @property
    def threads(self) -> int:
        """The threads that each interpreter was given, which it does not tell."""
        return self._threads

    def close(self) -> None:
        """Drop the interpreters and their threads; a call under way still ends well."""
        self._requests.close()


def load(build: Build) -> LiteRtBackend:
    """Read the graph of the variant's kind, which is made first if the cache lacks it."""
    graph = artifact(build.variant, build.weights, build.cache_dir, build.calibration)
    return LiteRtBackend(graph.path, build.threads, build.weights.interface)
