"""torch.compile with inductor and frozen weights: C++ made for this CPU, when the backend is opened."""

from __future__ import annotations

import time
import warnings
from functools import lru_cache
from typing import Any

import torch

from midas_bench.depth.backends.base import Build
from midas_bench.depth.backends.torch_eager import TorchBackend
from midas_bench.depth.network import load_network
from midas_bench.depth.weights import Weights

OPTIONS: dict[str, Any] = {
    "freezing": True,
    # without it the code would keep to the number of threads that it was compiled with
    "cpp.dynamic_threads": True,
}


class CompiledBackend(TorchBackend):
    """A compiled network.

    Attributes:
        compile_s: what compiling it took, in seconds; the first batch of more than one is compiled once more, when it
            is called. Little where this process has compiled the same before.
    """

    compile_s = 0.0


def load(build: Build) -> CompiledBackend:
    """Compile for one photo; nothing is left to compile at the first call."""
    start_s = time.perf_counter()
    backend = CompiledBackend(_compiled(build.weights), build.threads, build.weights.interface)
    backend.compile_s = time.perf_counter() - start_s
    return backend


# torch keeps what it compiled for as long as the process lives, closed or not
@lru_cache(maxsize=1)
def _compiled(weights: Weights) -> Any:
    # without it the frozen weights of the last network would be taken for those of this one
    torch.compiler.reset()
    network: Any = load_network(weights)
    # made outside of inference mode, as every batch is, or the first of those would be compiled anew
    example = torch.zeros(weights.interface.shape(1))
    with warnings.catch_warnings(), torch.inference_mode():
        # inductor imports parts of TorchScript, which is deprecated
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.*deprecated", category=DeprecationWarning)
        compiled: Any = torch.compile(network, options=OPTIONS)
        compiled(example)
    return compiled
