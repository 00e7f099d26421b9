"""What every backend has in common: the protocol, what one is opened with, and the shapes of a batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.interface import MIDAS, Batch, NetworkInterface
from midas_bench.depth.weights import Weights


class Backend(Protocol):
    """The network in one runtime: loaded once, then called."""

    @property
    def threads(self) -> int:
        """How many threads the runtime says it uses, whatever it was asked for."""
        ...

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Map the network's input, by default float32 (N, 3, 256, 256), to new inverse depth, float32 (N, H, W)."""
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


T = TypeVar("T")


class Requests(Generic[T]):
    """What one call must have to itself, made as calls side by side need more of it, up to a number.

    Args:
        make: returns another one.
        most: how many calls may run at a time; further ones wait.
        at_once: make all of them now.
    """

    def __init__(self, make: Callable[[], T], most: int, at_once: bool = False) -> None:
        self._make = make
        self._room = threading.Semaphore(most)
        self._lock = threading.Lock()
        self._idle = [make() for _ in range(most)] if at_once else []
        self._closed = False

    @contextmanager
    def one(self) -> Iterator[T]:
        """Lend one to a call.

        Raises:
            ValueError: the backend is closed.
        """
        with self._room:
            with self._lock:
                if self._closed:
                    raise ValueError("the backend is closed")
                request = self._idle.pop() if self._idle else self._make()
            try:
                yield request
            finally:
                with self._lock:
                    if not self._closed:
                        self._idle.append(request)

    def close(self) -> None:
        """Drop all; a call under way still ends well."""
        with self._lock:
            self._closed = True
            self._idle.clear()


def checked(batch: Batch, interface: NetworkInterface = MIDAS) -> Batch:
    """Return the batch in C order.

    Raises:
        ValueError: it has not the interface's shape and type, with N of at least 1.
    """
    sizes = interface.shape(1)[1:]
    if batch.dtype != interface.dtype or batch.shape[1:] != sizes or not len(batch):
        expected = f"{interface.dtype} (N, {', '.join(map(str, sizes))})"
        raise ValueError(f"expected {expected}, got {batch.dtype} {batch.shape}")
    return np.ascontiguousarray(batch)


def checked_float32(batch: Batch, interface: NetworkInterface) -> NDArray[np.float32]:
    """Return what a converted graph takes: the batch in C order, as float32, which holds all its numbers.

    Raises:
        ValueError: as `checked`.
    """
    return checked(batch, interface).astype(np.float32, copy=False)


def in_batches(run: Callable[[Batch], NDArray[np.float32]], batch: Batch, one_by_one: bool) -> NDArray[np.float32]:
    """Run a batch at once, or one by one where the graph was exported for a single input."""
    if not one_by_one or len(batch) == 1:
        return run(batch)
    return np.concatenate([run(batch[n : n + 1]) for n in range(len(batch))])
