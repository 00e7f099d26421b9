"""TorchScript: the network traced once, loaded from the cache, as it is or frozen."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.backends.base import Build
from midas_bench.depth.backends.torch_eager import TorchBackend
from midas_bench.depth.graph_paths import readable


def load(build: Build) -> TorchBackend:
    """Load the trace, graph first if the cache lacks it; `frozen` makes its weights constants and folds batch norm."""
    graph = artifact("jit", build.weights, build.cache_dir)
    with warnings.catch_warnings(), readable(graph.path, ".pt") as name:
        # TorchScript is deprecated and still what the article's claim is about: these warnings and no others
        warnings.filterwarnings(
            "ignore", message=r".*torch\.jit\.(load|freeze).*deprecated", category=DeprecationWarning
        )
        network: Any = torch.jit.load(name, map_location="cpu").eval()  # type: ignore[no-untyped-call]
        if build.variant == "frozen":
            network = torch.jit.freeze(network)
    return TorchBackend(network, build.threads, build.weights.interface)
