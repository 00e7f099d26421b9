"""What every backend has in common: the protocol, what one is opened with, and the shapes of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.preprocess import INPUT_SIZE
from midas_bench.depth.weights import Weights


class Backend(Protocol):
    """The network in one runtime: loaded once, then called."""

    @property
    def threads(self) -> int:
        """How many threads the runtime says it uses, whatever it was asked for."""
        ...

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map float32 (N, 3, 256, 256) to new float32 (N, 256, 256): inverse relative depth."""
        ...

    def close(self) -> None:
        """Free the session and its threads."""
        ...


@dataclass(frozen=True)
class Build:
    """What a backend is opened with."""

    variant: str
    weights: Weights
    threads: int
    cache_dir: Path
    calibration: tuple[str, ...] = ()


def checked(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the batch in C order.

    Raises:
        ValueError: it is not float32 (N, 3, 256, 256) with N of at least 1.
    """
    if batch.dtype != np.float32 or batch.ndim != 4 or batch.shape[1:] != (3, INPUT_SIZE, INPUT_SIZE) or not len(batch):
        raise ValueError(f"expected float32 (N, 3, {INPUT_SIZE}, {INPUT_SIZE}), got {batch.dtype} {batch.shape}")
    return np.ascontiguousarray(batch)


def in_batches(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]], batch: NDArray[np.float32], one_by_one: bool
) -> NDArray[np.float32]:
    """Run a batch at once, or one by one where the graph was exported for a single input."""
    if not one_by_one or len(batch) == 1:
        return run(batch)
    return np.concatenate([run(batch[n : n + 1]) for n in range(len(batch))])
