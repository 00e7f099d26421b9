"""ncnn on the CPU: the graph that pnnx makes of the ONNX graph. Never imports torch."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import ncnn
import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.backends.base import Build, checked_float32, in_batches
from midas_bench.depth.interface import Batch, NetworkInterface

PARAM, BIN = "graph.param", "graph.bin"
"""The two files of ncnn's own format, kept in one."""

REDUCED_OPTIONS = (
    "use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage",
)  # fmt: skip
"""What lets ncnn keep or compute numbers in 16 bits; some are on unless they are switched off."""


class NcnnBackend:
    """Run one network, which any number of calls may use at a time; ncnn takes one photo in each.

    Args:
        archive: of `PARAM` and `BIN`.
        threads: of one call.
        interface: of the network.
        precision: `f32`, `fp16` or `bf16`.
    """

    def __init__(self, archive: Path, threads: int, interface: NetworkInterface, precision: str = "f32") -> None:
        network = ncnn.Net()
        network.opt.num_threads = threads
        for option in REDUCED_OPTIONS:
            setattr(network.opt, option, precision in option)
        with tempfile.TemporaryDirectory(prefix="midas-bench-") as folder, zipfile.ZipFile(archive) as files:
            for name, read in ((PARAM, network.load_param), (BIN, network.load_model)):
                if read(files.extract(name, folder)) != 0:
                    raise ValueError("ncnn lacks an operator of the network")
        self._network: ncnn.Net | None = network
        self._interface = interface
        [self._input], [self._output] = network.input_names(), network.output_names()

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Map the network's input to new inverse depth, float32 (N, H, W)."""
        network = self._network
        if network is None:
            raise ValueError("the backend is closed")

        def run(part: Batch) -> NDArray[np.float32]:
            # ncnn's matrix does not keep the array alive that it is made from, and so becomes a copy at once
            given = ncnn.Mat(part[0]).clone()
            with network.create_extractor() as extractor:
                extractor.input(self._input, given)
                status, depth = extractor.extract(self._output)
                if status != 0:
                    raise ValueError(f"ncnn cannot run the network (its status is {status})")
                # its memory belongs to the extractor
                return self._interface.inverse_depth(np.array(depth)[None])

        return in_batches(run, checked_float32(batch, self._interface), one_by_one=True)

    @property
    def threads(self) -> int:
        """The threads of one call, as the network's options say."""
        if self._network is None:
            raise ValueError("the backend is closed")
        return int(self._network.opt.num_threads)

    def close(self) -> None:
        """Drop the network; a call under way still ends well."""
        self._network = None


def load(build: Build) -> NcnnBackend:
    """Read the graph, which is made first if the cache lacks it."""
    graph = artifact("ncnn", build.weights, build.cache_dir)
    return NcnnBackend(graph.path, build.threads, build.weights.interface, build.variant)
