"""The control of a gate: the base against itself, which shows what harness and machine do without any change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from midas_bench.results.intervals import Interval, block_ratio, holm

LEAST_BLOCKS = 3
CHANCE = 0.001
"""Of calling a sound gate invalid: a tenth of what a false alarm may have."""
SMALLEST = 0.005
"""Share by which the base must differ from itself: less is no verdict's concern."""


def intervals(log_ratios: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """Return by what is measured the base's ratio to itself, with Student's t interval over the blocks at 95 %."""
    ratios = {name: block_ratio(logs) for name, logs in log_ratios.items() if len(logs) >= LEAST_BLOCKS}
    return {name: ratio for name, ratio in ratios.items() if ratio is not None}


def off(log_ratios: Mapping[str, Sequence[float]]) -> str:
    """Name the figures of which the base differs from itself by more than chance allows; empty where none does.

    Student's t test over the blocks, corrected by Holm's method: the few blocks of a control are too few for a test
    by ranks.

    Args:
        log_ratios: natural logarithms of control / base, one per block, by what is measured.
    """
    ratios = intervals(log_ratios)
    p_values = holm([_p_value(np.asarray(log_ratios[name])) for name in ratios])
    return ", ".join(
        f"{name} {ratio.estimate:.3f}" for (name, ratio), p in zip(ratios.items(), p_values, strict=True) if p < CHANCE
    )


def _p_value(logs: NDArray[np.float64]) -> float:
    mean, error = float(logs.mean()), float(logs.std(ddof=1)) / np.sqrt(len(logs))
    if abs(mean) < SMALLEST:
        return 1.0
    # figures of whole pages, such as memory, may not spread at all
    if error == 0:
        return 0.0
    return 2 * float(special.stdtr(len(logs) - 1, -abs(mean) / error))
