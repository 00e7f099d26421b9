"""Compare what both sides' calls return for the same input: heat maps pixel by pixel, other arrays by their range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.backends.registry import MAX_RELATIVE_ERROR
from midas_bench.measure.worker_client import SavedArrays

VISIBLE_LEVELS = 8
"""Out of 255, in any channel. Two neighbouring colours of Inferno are up to 5 apart, so rounding stays below."""
TOLERATED_SHARE = 0.001
"""Of the pixels: a steep edge may move a little where sums are taken in another order."""
PIXELS = "uint8"


@dataclass(frozen=True)
class Difference:
    """How far two sides' outputs of one call are apart.

    Attributes:
        name: of the output.
        largest: of heat maps, the difference of any channel of any pixel, in levels of 255; None where shapes or types
            differ, and for other arrays.
        visible_share: of the pixels that differ by more than `VISIBLE_LEVELS`.
        relative_error: of other arrays than heat maps, the largest difference over the base's range; else None.
    """

    name: str
    largest: int | None
    visible_share: float
    relative_error: float | None = None

    @property
    def changed(self) -> bool:
        """Whether it is more than rounding."""
        if self.relative_error is not None:
            return not self.relative_error <= MAX_RELATIVE_ERROR
        return self.largest is None or self.visible_share > TOLERATED_SHARE

    @property
    def text(self) -> str:
        """Describe it in words."""
        if self.relative_error is not None:
            return (
                f"arrays differ by up to {self.relative_error:.2g} of their range" if self.relative_error else "equal"
            )
        if self.largest is None:
            return "outputs of another shape or type"
        if self.largest == 0:
            return "identical heat maps"
        levels = f"up to {self.largest} of 255 levels"
        return f"heat maps differ by {levels}, visibly in {self.visible_share:.2%} of the pixels"


def compare(name: str, base: SavedArrays, head: SavedArrays) -> Difference:
    """Compare what both sides' calls returned."""
    if list(base.shapes) != list(head.shapes) or base.dtype != head.dtype:
        return Difference(name, None, 1.0)
    ours, theirs = base.read(), head.read()
    if ours.size != theirs.size:
        return Difference(name, None, 1.0)
    if base.dtype != PIXELS:
        return Difference(name, None, 0.0, _relative_error(ours, theirs))
    # channel by channel, where they cannot be pixels
    channels = 1 if ours.size % 3 else 3
    apart = np.abs(ours.astype(np.int16) - theirs.astype(np.int16)).reshape(-1, channels).max(axis=1, initial=0)
    return Difference(name, int(apart.max(initial=0)), float((apart > VISIBLE_LEVELS).mean()) if len(apart) else 0.0)


def _relative_error(base: NDArray[np.generic], head: NDArray[np.generic]) -> float:
    """Return the largest difference over the base's range; infinity where only one side is finite."""
    if np.array_equal(base, head):
        return 0.0
    try:
        ours, theirs = base.astype(np.float64), head.astype(np.float64)
    except (TypeError, ValueError):
        return np.inf
    if not np.array_equal(np.isfinite(ours), np.isfinite(theirs)):
        return np.inf
    finite = np.isfinite(ours)
    error, span = np.abs(ours - theirs)[finite].max(initial=0.0), np.ptp(ours[finite])
    return float(error / max(span, np.finfo(np.float32).tiny))
