"""Is the depth right? An estimate against the truth of a rendered photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.heatmap import enlarged
from midas_bench.measure.fidelity import rank_correlation
from midas_bench.scene_photos import Photo

DELTA = 1.25


@dataclass(frozen=True)
class Accuracy:
    """How well an estimate fits the true depth, after scale and shift.

    Attributes:
        abs_rel: mean of |depth - true depth| / true depth.
        delta_125: share of pixels where max(depth / true, true / depth) is below 1.25.
        spearman: rank correlation of inverse depth, which needs no alignment; 0 where the estimate is constant.
    """

    abs_rel: float
    delta_125: float
    spearman: float


def compare(estimate: NDArray[np.float32], inverse_depth: NDArray[np.float64]) -> Accuracy:
    """Compare inverse relative depth with true inverse depth (1 / m) of the same shape; 0 is sky and left out.

    A scale and a shift fit the estimate by least squares in inverse depth. The result is cut at the farthest true point
    before it is turned into depth.

    Sources: Ranftl et al., "Towards Robust Monocular Depth Estimation", 2020, section 6. For AbsRel and delta: Eigen et
    al., "Depth Map Prediction from a Single Image", 2014, section 4.

    Raises:
        ValueError: the shapes differ, or nothing but sky is left.
    """
    if estimate.shape != inverse_depth.shape:
        raise ValueError(f"estimate {estimate.shape} and truth {inverse_depth.shape} differ in shape")
    below_sky = inverse_depth > 0
    if not below_sky.any():
        raise ValueError("the truth holds nothing but sky")
    truth = inverse_depth[below_sky]
    guess = estimate[below_sky].astype(np.float64)
    cut = np.maximum(aligned(guess, truth), truth.min())
    # in depth: |1/a - 1/t| / (1/t) = |t - a| / a
    ratio = np.maximum(cut / truth, truth / cut)
    return Accuracy(
        abs_rel=float(np.mean(np.abs(truth - cut) / cut)),
        delta_125=float(np.mean(ratio < DELTA)),
        spearman=rank_correlation(guess, truth),
    )


def against_truth(depth: NDArray[np.float32], photo: Photo) -> Accuracy:
    """Compare inverse relative depth of any size with a photo's true depth, enlarged to its size as heat maps are.

    Raises:
        UserError: the true depth is not known, or its file is missing or damaged.
    """
    truth = photo.true_inverse_depth()
    height, width = truth.shape
    return compare(enlarged(depth, width, height), truth)


def aligned(estimate: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """Return an estimate of inverse depth after the scale and the shift that fit it to a target by least squares.

    Both are float of one shape; a constant estimate becomes the target's mean. The scale may be negative.

    Source: Ranftl et al., "Towards Robust Monocular Depth Estimation", 2020, section 5, the scale- and shift-invariant
    losses.
    """
    guess = estimate.ravel().astype(np.float64)
    design = np.stack([guess, np.ones_like(guess)], axis=1)
    (scale, shift), *_ = np.linalg.lstsq(design, target.ravel().astype(np.float64), rcond=None)
    return np.asarray(scale * guess + shift).reshape(estimate.shape)
