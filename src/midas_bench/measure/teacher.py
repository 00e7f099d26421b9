"""How closely does a student's depth follow its teacher's? One map against another, of any sizes and scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.heatmap import enlarged
from midas_bench.measure.accuracy import aligned
from midas_bench.measure.fidelity import pair_orders, rank_correlation


@dataclass(frozen=True)
class Agreement:
    """How closely a map of inverse depth follows a teacher's.

    Attributes:
        rank_correlation: Spearman's, over the pixels; needs no alignment.
        aligned_error: mean of |student - teacher| as a share of the teacher's range, after the scale and the shift that
            fit the student best.
        ordered_pairs_kept: share of random pixel pairs that the student orders as the teacher does.
    """

    rank_correlation: float
    aligned_error: float
    ordered_pairs_kept: float


def can_be_followed(teacher: NDArray[np.float32]) -> bool:
    """Tell whether a teacher's map is finite and puts pixels in an order, so that `agreement` with it is defined."""
    return bool(np.isfinite(teacher).all() and pair_orders(teacher, teacher).size)


def agreement(student: NDArray[np.float32], teacher: NDArray[np.float32]) -> Agreement:
    """Compare two maps of inverse depth of the same photo, float32 (h, w) and (H, W), with scales and shifts of any.

    Both are enlarged to the larger height and the larger width, by bicubic interpolation as heat maps are. A student's
    map that is constant or not finite orders nothing: its correlation and its pairs are 0, and its error is that of the
    teacher's mean.

    Sources: `aligned` for scale and shift, `pair_orders` for the pairs.

    Raises:
        ValueError: the teacher's map is not finite or as good as constant, so that there is nothing to follow.
    """
    if not np.isfinite(teacher).all():
        raise ValueError("the teacher's map holds NaN or infinity")
    says_something = np.isfinite(student).all() and np.ptp(student) > 0
    ours, theirs = _of_one_size(student if says_something else np.zeros_like(student), teacher)
    orders = pair_orders(ours, theirs)
    # enlarging a constant map adds rounding errors, which have an order
    if not np.ptp(teacher) > 0 or not orders.size:
        raise ValueError("the teacher's map is constant")
    # in float64, for the range of float32 may be beyond it
    error = np.abs(aligned(ours, theirs) - theirs)
    return Agreement(
        rank_correlation=rank_correlation(ours, theirs),
        aligned_error=float(np.mean(error) / np.ptp(theirs.astype(np.float64))),
        ordered_pairs_kept=float(np.mean(orders == 1)),
    )


def _of_one_size(*maps: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Enlarge maps to the largest height and width among them; to shrink one would leave out pixels of it."""
    height, width = (max(sides) for sides in zip(*(one.shape for one in maps), strict=True))
    return [enlarged(one, width, height) for one in maps]
