"""How close is a backend's depth to eager's, on the same weights and photos?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.backends import registry

PAIRS = 100_000
"""Pixel pairs per photo. The share of flips is then known to 0.3 points (95 %, binomial) where it is largest."""
SEED = 7


@dataclass(frozen=True)
class Fidelity:
    """Agreement over a batch; the names are those of `CellInfo`.

    Attributes:
        max_relative_error: max|depth - eager's| / range of eager's.
        mean_relative_error: mean|depth - eager's| / range of eager's.
        rank_correlation: Spearman's, over the pixels of a photo; the lowest of all photos.
        flipped_pairs: share of random pixel pairs whose order is reversed; the highest of all photos.
    """

    max_relative_error: float
    mean_relative_error: float
    rank_correlation: float
    flipped_pairs: float


def fidelity(depth: NDArray[np.float32], reference: NDArray[np.float32]) -> Fidelity:
    """Compare float32 (N, H, W) with eager's of the same shape; the pixel pairs are the same in every call."""
    error = np.abs(depth - reference)
    span = max(float(np.ptp(reference)), np.finfo(np.float32).tiny)
    photos = list(zip(depth, reference, strict=True))
    return Fidelity(
        max_relative_error=float(error.max() / span),
        mean_relative_error=float(error.mean(dtype=np.float64) / span),
        rank_correlation=min(rank_correlation(ours, eagers) for ours, eagers in photos),
        flipped_pairs=max(_flipped_pairs(ours, eagers) for ours, eagers in photos),
    )


def problem(backend: str, measured: Fidelity, weights_source: str, reference: str) -> str | None:
    """Say why a backend's depth is not good enough, or None where it is.

    Where precision is reduced on purpose only official weights can be judged: the depth of random ones is noise.

    Args:
        backend: its name.
        measured: its depth against the reference's.
        weights_source: of both: official, seeded, ...
        reference: the backend that it is compared with.
    """
    row = registry.find(backend)
    if row.exact and not measured.max_relative_error <= registry.MAX_RELATIVE_ERROR:
        return (
            f"{row.name} differs from {reference} by {measured.max_relative_error:.2g} of the depth range, more than "
            f"{registry.MAX_RELATIVE_ERROR:g}"
        )
    judged = not row.exact and weights_source == "official"
    if judged and not measured.rank_correlation >= registry.MIN_RANK_CORRELATION:
        return (
            f"{row.name} has a rank correlation of {measured.rank_correlation:.4f} with {reference}, less than "
            f"{registry.MIN_RANK_CORRELATION:g}"
        )
    return None


def rank_correlation(ours: NDArray[Any], reference: NDArray[Any]) -> float:
    """Return Spearman's coefficient: 0 where a map is flat or not finite, unless both maps are equal."""
    if np.array_equal(ours, reference):
        return 1.0
    if not np.ptp(ours) > 0 or not np.ptp(reference) > 0 or not np.isfinite(ours).all():
        return 0.0
    # the import takes a second, which runs without such an output should not spend
    from scipy.stats import spearmanr

    return float(spearmanr(ours, reference, axis=None).statistic)


def pair_orders(ours: NDArray[Any], reference: NDArray[Any]) -> NDArray[Any]:
    """Return what becomes of pixel pairs: 1 where ours keeps the order, -1 where it reverses it, 0 where it has none.

    The pairs are at random places, the same in every call. They are those of `PAIRS` that the reference puts in an
    order: none where it is flat.

    Source: W. Chen et al., "Single-Image Depth Perception in the Wild", 2016, section 5, who judge depth by such pairs.
    """
    first, second = np.random.default_rng(SEED).integers(0, reference.size, (2, PAIRS))
    orders = [np.sign(depth.ravel()[first] - depth.ravel()[second]) for depth in (ours, reference)]
    return np.asarray((orders[0] * orders[1])[orders[1] != 0])


def _flipped_pairs(ours: NDArray[np.float32], eagers: NDArray[np.float32]) -> float:
    """Return the share of pairs in the opposite order, among those that eager puts in an order."""
    orders = pair_orders(ours, eagers)
    return float(np.mean(orders == -1)) if orders.size else 0.0
