"""PyTorch, operator by operator, as the article ran it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray

from midas_bench.depth.backends.registry import Build, checked
from midas_bench.depth.network import load_network


class TorchBackend:
    """Run anything that maps a tensor to a tensor, without gradients."""

    def __init__(self, network: Callable[[torch.Tensor], torch.Tensor], threads: int) -> None:
        self._network: Callable[[torch.Tensor], torch.Tensor] | None = network
        use_threads(threads)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map float32 (N, 3, 256, 256) to new float32 (N, 256, 256)."""
        if self._network is None:
            raise ValueError("the backend is closed")
        with warnings.catch_warnings():
            # the batch is only read, so a read-only array is as good as any
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensor = torch.from_numpy(checked(batch))
        with torch.inference_mode():
            depth: NDArray[np.float32] = self._network(tensor).numpy()
        return depth

    @property
    def threads(self) -> int:
        """The intra-op threads that torch reports."""
        return torch.get_num_threads()

    def close(self) -> None:
        """Drop the network."""
        self._network = None


def use_threads(threads: int) -> None:
    """Set torch's intra-op threads; inter-op stays at 1, which torch lets a process set only once."""
    torch.set_num_threads(threads)
    with suppress(RuntimeError):
        torch.set_num_interop_threads(1)


def load(build: Build) -> TorchBackend:
    """Build the network in this process."""
    return TorchBackend(load_network(build.weights), build.threads)
