"""A user's own model, called once when it is opened: what it declares need not be what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from midas_bench.depth.preprocess import INPUT_SIZE
from midas_bench.errors import UserError

if TYPE_CHECKING:
    from midas_bench.depth.backends.registry import Backend

ADVICE = f"export it from float32 (N or 1, 3, {INPUT_SIZE}, {INPUT_SIZE}) to float32 (N, {INPUT_SIZE}, {INPUT_SIZE})"

WORDS = 40
"""Of what a runtime says, which can be pages."""


def tried(load: Callable[[], Backend], path: str) -> Backend:
    """Load a backend and call it on one photo of zeros.

    Raises:
        UserError: the runtime cannot run the model at `path`, or its depth has another shape, NaN or infinity.
    """
    try:
        backend = load()
        depth = backend(np.zeros((1, 3, INPUT_SIZE, INPUT_SIZE), np.float32))
    except UserError:
        raise
    except Exception as error:  # each runtime raises types of its own
        said = " ".join(str(error).split()[:WORDS])
        raise UserError(path, f"cannot be run ({said})", ADVICE) from error
    if depth.shape != (1, INPUT_SIZE, INPUT_SIZE):
        backend.close()
        raise UserError(path, f"gives depth of {depth.shape} for one photo", ADVICE)
    if not np.isfinite(depth).all():
        backend.close()
        raise broken(path)
    return backend


def broken(path: str) -> UserError:
    """Say that the model at `path` gives what is no depth."""
    return UserError(path, "gives NaN or infinity in place of depth", "check how it was trained and exported")
