"""TorchScript: the network traced once, loaded from the cache."""

from __future__ import annotations

import warnings

import torch

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.backends.registry import Build
from midas_bench.depth.backends.torch_eager import TorchBackend


def load(build: Build) -> TorchBackend:
    """Load the trace, made first if the cache lacks it."""
    made = artifact("jit", build.weights, build.cache_dir)
    with warnings.catch_warnings():
        # TorchScript is deprecated and still what the article's claim is about: this warning and no other
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.load.*deprecated", category=DeprecationWarning)
        network = torch.jit.load(str(made.path), map_location="cpu")  # type: ignore[no-untyped-call]
    return TorchBackend(network.eval(), build.threads)
