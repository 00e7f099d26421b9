"""PyTorch, operator by operator: in float32 as the article ran it, or in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from midas_bench.depth.backends.base import Build, checked
from midas_bench.depth.interface import NetworkInterface
from midas_bench.depth.network import load_network


class TorchBackend:
    """Run anything that maps a tensor to a tensor, without gradients."""

    def __init__(
        self, network: Callable[[torch.Tensor], torch.Tensor], threads: int, interface: NetworkInterface
    ) -> None:
        self._network: Callable[[torch.Tensor], torch.Tensor] | None = network
        self._interface = interface
        use_threads(threads)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map float32 (N, 3, H, W) to new float32 (N, H, W)."""
        if self._network is None:
            raise ValueError("the backend is closed")
        ready = checked(batch, self._interface)
        # torch warns of arrays that it could not write to, and filtering that is not safe beside other threads
        tensor = torch.from_numpy(ready if ready.flags.writeable else ready.copy())
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
    network = load_network(build.weights)
    run = in_bfloat16(network) if build.variant == "bf16" else network
    return TorchBackend(run, build.threads, build.weights.interface)


def in_bfloat16(network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the network with weights and activations in bfloat16, channels last; float32 goes in and comes out."""
    halved: Any = network.to(torch.bfloat16).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(batch: torch.Tensor) -> torch.Tensor:
        depth: torch.Tensor = halved(batch.to(torch.bfloat16, memory_format=torch.channels_last))
        return depth.float()

    return run
