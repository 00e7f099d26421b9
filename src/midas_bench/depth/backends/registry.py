"""Which backends there are, and how one is opened."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.artifacts import Artifact, artifact, is_cached
from midas_bench.depth.preprocess import INPUT_SIZE
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError


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


@dataclass(frozen=True)
class Row:
    """One backend.

    Attributes:
        name: how users call it.
        module: dotted name; it has a function `load(build) -> Backend`.
        variant: what `module` shall load.
        library: the distribution's import name, looked up without importing it.
        artifact: the kind of graph it loads, or None where it builds the network itself.
        exact: whether its depth must agree with eager's within rounding (`MAX_RELATIVE_ERROR`).
    """

    name: str
    module: str
    variant: str
    library: str
    exact: bool = True
    artifact: str | None = None


ROWS = (
    Row("eager", "midas_bench.depth.backends.torch_eager", "fp32", "torch"),
    Row("jit", "midas_bench.depth.backends.torchscript", "trace", "torch", artifact="jit"),
    Row("onnx", "midas_bench.depth.backends.onnx_runtime", "fp32", "onnxruntime", artifact="onnx"),
)
REGISTRY = {row.name: row for row in ROWS}

MAX_RELATIVE_ERROR = 1e-3
"""Of the depth range: far above what reordering fp32 sums does (1e-5 seen), far below what shows in a heat map."""


def select(names: Iterable[str]) -> tuple[str, ...]:
    """Check names of backends and keep each once, in the order given; `all` takes every one present.

    Raises:
        UserError: a name is unknown, or its library is missing.
    """
    chosen: dict[str, None] = {}
    for name in names:
        if name == "all":
            chosen |= dict.fromkeys(row.name for row in ROWS if missing(row) is None)
            continue
        row = find(name)
        reason = missing(row)
        if reason:
            raise UserError(f"backend {name}", reason, "install it or leave the backend out")
        chosen[name] = None
    return tuple(chosen)


def find(name: str) -> Row:
    """Return a backend's row.

    Raises:
        UserError: there is none of that name.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise UserError(f"backend {name!r}", "is unknown", f"choose from {', '.join(REGISTRY)}") from None


def missing(row: Row) -> str | None:
    """Say why a backend cannot run here, or return None."""
    if importlib.util.find_spec(row.library) is None:
        return f"needs {row.library}, which is not installed"
    return None


def is_prepared(name: str, weights: Weights, cache_dir: Path) -> bool:
    """Tell whether `prepare` has nothing to make."""
    kind = find(name).artifact
    return kind is None or is_cached(kind, weights, cache_dir)


def prepare(name: str, weights: Weights, cache_dir: Path) -> Artifact | None:
    """Make the backend's graph unless the cache has it: done once, and apart from loading it.

    Raises:
        UserError: the cache cannot be written, the weights do not fit, or making it failed.
    """
    kind = find(name).artifact
    return artifact(kind, weights, cache_dir) if kind else None


def load(name: str, weights: Weights, threads: int, cache_dir: Path) -> Backend:
    """Import the backend's module and load the network into it.

    Raises:
        UserError: the backend is unknown or missing, or its artifact cannot be made.
    """
    row = find(select([name])[0])
    backend: Backend = runtime(name).load(Build(row.variant, weights, threads, cache_dir))
    return backend


def runtime(name: str) -> Any:
    """Import the backend's module, and its runtime with it, without loading a network.

    Raises:
        UserError: the backend is unknown.
    """
    return importlib.import_module(find(name).module)


def checked(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the batch in C order.

    Raises:
        ValueError: it is not float32 (N, 3, 256, 256) with N of at least 1.
    """
    if batch.dtype != np.float32 or batch.ndim != 4 or batch.shape[1:] != (3, INPUT_SIZE, INPUT_SIZE) or not len(batch):
        raise ValueError(f"expected float32 (N, 3, {INPUT_SIZE}, {INPUT_SIZE}), got {batch.dtype} {batch.shape}")
    return np.ascontiguousarray(batch)
