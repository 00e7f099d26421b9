"""Passes: a run visits each of its cells several times, minutes apart, and these visits are the unit of every interval.

The rounds of one visit follow each other within a second, so they all meet the same machine: whatever else it does just
then is in none of their spread. The passes of a run meet it at different times.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midas_bench.results.intervals import CONFIDENCE, Interval, block_ratio, median_interval


def pass_medians(rounds_s: ArrayLike, rounds_by_pass: Sequence[int]) -> NDArray[np.float64]:
    """Return float64 (passes,): the median of each pass's rounds, in their unit; empty where the counts do not fit."""
    rounds = np.asarray(rounds_s, np.float64)
    if not rounds_by_pass or min(rounds_by_pass) < 1 or sum(rounds_by_pass) != len(rounds):
        return np.empty(0)
    ends = [0, *accumulate(rounds_by_pass)]
    return np.array([np.median(rounds[start:end]) for start, end in pairwise(ends)])


def pass_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the median over passes of positive values, with an interval from their spread; None below two passes.

    From six passes on the interval is the distribution-free one of the median, which a disturbed minority cannot move
    far. Fewer passes allow none at 95 %: then it is Student's t interval of the logarithms, no narrower than the range.
    """
    of_pass = np.asarray(values, np.float64)
    if len(of_pass) < 2 or not (of_pass > 0).all():
        return None
    free = median_interval(of_pass, confidence)
    if free is not None:
        return free
    spread = block_ratio(np.log(of_pass).tolist(), confidence)
    assert spread is not None
    low, high = min(spread.low, float(of_pass.min())), max(spread.high, float(of_pass.max()))
    return Interval(float(np.median(of_pass)), low, high, confidence)


def pass_ratio(numerators: ArrayLike, denominators: ArrayLike, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the median over passes of a ratio that is taken within each pass, where drift meets both sides alike.

    Values stand in the order of the passes; a pass that only one side has is left out. None below two passes in common.
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    common = min(len(above), len(below))
    if not (below[:common] > 0).all():
        return None
    return pass_interval(above[:common] / below[:common], confidence)
