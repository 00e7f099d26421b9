"""Passes: a run visits each of its cells several times, minutes apart, and these visits are the unit of every interval.

The rounds of one visit follow each other within a second, so they all meet the same machine: whatever else it does just
then is in none of their spread. The passes of a run meet it at different times.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midas_bench.results.intervals import CONFIDENCE, Interval, block_ratio, signed_rank_interval

ENOUGH = 6
"""Passes that allow an interval by signed ranks at 95 %: all on one side of the truth have a chance of 2**(1 - 6)."""
NOMINAL_TAILS = 0.64
"""Share of the chance to miss that signed ranks are given: disturbances that end within a pass skew its figures. With
all of it, 95 % intervals beside a neighbour who comes and goes hold the truth in 91.6 % of simulated runs, with this
share in 93.9 %; a smaller one would leave six passes without an interval."""
ENOUGH_OF_ROW = 3
"""Undisturbed visits of a cell, from which on they alone say what is usual for it."""


def pass_medians(rounds_s: ArrayLike, rounds_by_pass: Sequence[int]) -> NDArray[np.float64]:
    """Return float64 (passes,): the median of each pass's rounds, in their unit; empty where the counts do not fit."""
    rounds = np.asarray(rounds_s, np.float64)
    if not rounds_by_pass or min(rounds_by_pass) < 1 or sum(rounds_by_pass) != len(rounds):
        return np.empty(0)
    ends = [0, *accumulate(rounds_by_pass)]
    return np.array([np.median(rounds[start:end]) for start, end in pairwise(ends)])


def pass_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the median over passes of positive values, with an interval from their spread; None below two passes.

    From `ENOUGH` passes on the interval is that of Wilcoxon's signed ranks, over the logarithms. Fewer allow none at
    95 %: then it is Student's t interval of the logarithms, no narrower than the range.
    """
    of_pass = np.asarray(values, np.float64)
    if len(of_pass) < 2 or not (of_pass > 0).all():
        return None
    logs, median = np.log(of_pass), float(np.median(of_pass))
    tail = NOMINAL_TAILS * (1 - confidence) / 2
    if len(of_pass) >= ENOUGH:
        ranked = signed_rank_interval(logs, tail, tail)
        low, high = float(np.exp(ranked.low)), float(np.exp(ranked.high))
        return Interval(median, min(low, median), max(high, median), confidence)
    spread = block_ratio(logs.tolist(), confidence)
    assert spread is not None
    low, high = min(spread.low, float(of_pass.min())), max(spread.high, float(of_pass.max()))
    return Interval(median, low, high, confidence)


def mean_over_cells(values: ArrayLike, disturbed: ArrayLike, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the mean over cells of positive values, as the median over passes, with an interval from their spread.

    A visit that was disturbed is left aside where `ENOUGH` passes have others: a busy neighbour slows one backend more
    than another, and no number of passes would average that out. The cells of a pass that are left stand for all of
    it, each by how it differs from what is usual for it.

    Args:
        values: float64 (cells, passes), times or ratios; `cells` are those of the scenes, for example.
        disturbed: bool (cells, passes), by a probe that does not look at the values.
        confidence: of the interval.
    """
    given, calm = np.asarray(values, np.float64), ~np.asarray(disturbed, bool)
    if given.ndim != 2 or given.shape[1] < 2 or not (given > 0).all():
        return None
    left = calm.any(axis=0)
    if calm.all() or left.sum() < ENOUGH:
        return pass_interval(given.mean(axis=0), confidence)
    logs = np.log(given)
    usual = np.array([
        np.median(row[aside] if aside.sum() >= ENOUGH_OF_ROW else row) for row, aside in zip(logs, calm, strict=True)
    ])  # fmt: skip
    differences = np.ma.array(logs - usual[:, None], mask=~calm).mean(axis=0).compressed()
    return pass_interval(np.exp(usual).mean() * np.exp(differences), confidence)
