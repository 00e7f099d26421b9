"""A user's own model, called once when it is opened: what it declares need not be what it does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from midas_bench.depth.backends.base import Backend
from midas_bench.depth.fitting_size import advice_on_size
from midas_bench.depth.refusals import advice_on
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError

ADVICE = (
    "try another --size where the graph leaves it free (many networks want multiples of 14 or 32), or export it again"
)
LEAST_SIDE = 2
"""Of a map of depth, in pixels: one number for a whole photo is something else."""

WORDS = 40
"""The number of words that are quoted of a runtime's message, which can be pages."""


def load_validated(load: Callable[[], Backend], weights: Weights) -> Backend:
    """Load a backend and call it on one photo of zeros.

    Raises:
        UserError: the runtime cannot run the model, or its depth has another shape, NaN or infinity.
    """
    path, interface = weights.path or "", weights.interface
    try:
        backend = load()
    except UserError:
        raise
    # each runtime raises types of its own
    except Exception as error:
        advice = advice_on(f"{type(error).__name__} {error}") or advice_on_size(weights)
        raise _cannot_be_run(path, error, advice or "export it again, or choose another backend") from error
    try:
        depth = backend(np.zeros(interface.shape(1), interface.dtype))
    except Exception as error:
        backend.close()
        raise _cannot_be_run(path, error, advice_on_size(weights) or ADVICE) from error
    if len(depth) != 1 or min(depth.shape[1:]) < LEAST_SIDE:
        backend.close()
        raise UserError(path, f"gives depth of {depth.shape} for one photo", ADVICE)
    if not np.isfinite(depth).all():
        backend.close()
        raise non_finite_depth(path)
    return backend


def _cannot_be_run(path: str, error: Exception, advice: str) -> UserError:
    words = " ".join(str(error).split()[:WORDS]) or type(error).__name__
    return UserError(path, f"cannot be run ({words})", advice)


def non_finite_depth(path: str) -> UserError:
    """Say that the model at `path` gives what is no depth."""
    return UserError(path, "gives NaN or infinity in place of depth", "check how it was trained and exported")
