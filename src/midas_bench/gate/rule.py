"""When is a difference a verdict? The group-sequential rule over a family of figures.

The unit is the block: one log-ratio head / base a figure. After 12 blocks (more in a large family), and then whenever a
quarter more have come, each undecided figure is looked at. The chance of a false alarm is spent over the looks, so that
looking again costs nothing that was promised, and corrected for the number of figures by Holm's method.
docs/gate-method.md holds the reasoning and the sources.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from midas_bench.results.intervals import Interval, signed_rank_interval

FIRST_LOOK = 12
"""The fewest blocks that are looked at, so that no bound rests on a few restarts alone."""
GROWTH = 1.25

POWER = 0.8
"""Of the smallest detectable effect: the usual convention (J. Cohen, Statistical Power Analysis, 1988)."""

UNDECIDED = "inconclusive"
REGRESSED = "regressed"
IMPROVED = "improved"
PASSED = "not slower"
INVALID = "invalid"
MISSING = "missing"
TIED, FASTER, SLOWER = "tied", "faster", "slower"
"""Verdicts of a comparison, which takes no side for what there was before."""


@dataclass(frozen=True)
class Figure:
    """One quantity that both sides have: a cell's time, a backend's peak memory or its start-up.

    Attributes:
        name: as tables show it.
        threshold: the share by which it may grow; what is less than that is not worth an alarm.
        unit: s or bytes.
        compared: whether both sides are alternatives, and neither is what there was before.
    """

    name: str
    threshold: float
    unit: str = "s"
    compared: bool = False


@dataclass(frozen=True)
class Judgement:
    """What is known of one figure.

    Attributes:
        figure: which one.
        verdict: regressed, not slower, improved, inconclusive, invalid or missing; of a comparison: tied, faster,
            slower, inconclusive, invalid or missing.
        ratio: head / base with the bounds that the verdict rests on; None before the first look.
        blocks: how many log-ratios stand behind it.
        detectable: the smallest growth, as a share, whose lower bound would be above 1 with a chance of `POWER` after
            so many blocks; below the threshold it would be no alarm.
        reason: for invalid and missing ones.
    """

    figure: Figure
    verdict: str = UNDECIDED
    ratio: Interval | None = None
    blocks: int = 0
    detectable: float | None = None
    reason: str = ""

    @property
    def decided(self) -> bool:
        """Whether more blocks would change nothing."""
        return self.verdict != UNDECIDED


def first_look(alpha: float, figures: int) -> int:
    """Return how many blocks a family of so many figures needs before a look can decide anything.

    Blocks that all agree are as unlikely as 2**-n; while that is above what the first look may spend on one figure, a
    look would cost half of `alpha` and say nothing.
    """
    return max(FIRST_LOOK, math.ceil(-math.log2(spent(alpha, 1) / max(1, figures))))


def is_look(blocks: int, first: int = FIRST_LOOK) -> bool:
    """Tell whether figures are looked at after so many blocks: 12, 15, 18, 22, 27, ..."""
    at = first
    while at < blocks:
        at = int(at * GROWTH)
    return at == blocks


def spent(alpha: float, look: int) -> float:
    """Return the share of `alpha` that the look 1, 2, 3, ... may spend: alpha / 2, / 6, / 12, ...; they add up to it.

    A spending function in the sense of K. K. G. Lan and D. L. DeMets, Biometrika 70, 1983, with the looks' errors
    simply added, which assumes nothing of how they hang together.
    """
    return alpha / (look * (look + 1))


class Family:
    """Figures that are judged together: the chance of one false alarm or more among them is at most `alpha`.

    So is the chance that one or more pass although they grew by their threshold.

    Attributes:
        judgements: by the figure's name.
        first_look: after how many blocks they are looked at first.
    """

    def __init__(self, figures: Sequence[Figure], alpha: float) -> None:
        self._alpha = alpha
        self.judgements = {figure.name: Judgement(figure) for figure in figures}
        self.first_look = first_look(alpha, len(figures))

    def is_look(self, blocks: int) -> bool:
        """Tell whether these figures are looked at after so many blocks."""
        return is_look(blocks, self.first_look)

    @property
    def undecided(self) -> set[str]:
        """Names of the figures that more blocks could settle."""
        return {name for name, judgement in self.judgements.items() if not judgement.decided}

    def set_aside(self, name: str, verdict: str, reason: str) -> None:
        """Give a figure a verdict that does not come from its blocks."""
        self.judgements[name] = replace(self.judgements[name], verdict=verdict, reason=reason)

    def count(self, name: str, blocks: int) -> None:
        """Say how many blocks a figure has that is still undecided."""
        self.judgements[name] = replace(self.judgements[name], blocks=blocks)

    def look(self, look: int, log_ratios: Mapping[str, Sequence[float]]) -> None:
        """Judge the undecided among these figures by their blocks so far.

        Each figure that regressed leaves a larger share to those that are left (S. Holm, Scand. J. Statist. 6, 1979),
        for further alarms: their lower bounds. What passes does so by upper bounds that share alpha among all figures,
        because Holm's steps promise nothing of those.

        Args:
            look: 1 for the first look at these figures, and so on.
            log_ratios: natural logarithms of head / base, one a block, by the figure's name.
        """
        high_tail = spent(self._alpha, look) / len(self.judgements)
        regressed = -1
        while regressed != self._regressed:
            regressed = self._regressed
            low_tail = spent(self._alpha, look) / max(1, len(self.judgements) - regressed)
            for name in self.undecided & log_ratios.keys():
                self.judgements[name] = judged(self.judgements[name].figure, log_ratios[name], low_tail, high_tail)

    @property
    def _regressed(self) -> int:
        return sum(judgement.verdict == REGRESSED for judgement in self.judgements.values())


def judged(figure: Figure, log_ratios: Sequence[float], low_tail: float, high_tail: float) -> Judgement:
    """Judge one figure, the bounds of its ratio being wrong with a chance of at most `low_tail` and `high_tail`."""
    logs = signed_rank_interval(log_ratios, low_tail, high_tail)
    n = len(log_ratios)
    margin = logs.estimate - logs.low
    error = float(np.std(log_ratios, ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    detectable = math.expm1(margin + float(special.ndtri(POWER)) * error) if math.isfinite(margin) else None
    decide = comparison if figure.compared else verdict
    return Judgement(figure, decide(logs, figure.threshold), ratio_of(logs), n, detectable)


def verdict(logs: Interval, threshold: float) -> str:
    """Return the verdict that the bounds of a log-ratio head / base allow."""
    if logs.high < 0:
        return IMPROVED
    if logs.high < math.log1p(threshold):
        return PASSED
    return REGRESSED if logs.low > 0 else UNDECIDED


def comparison(logs: Interval, threshold: float) -> str:
    """Return what the bounds of a log-ratio head / base say of two alternatives; within the threshold they tie."""
    tie = math.log1p(threshold)
    if -tie < logs.low and logs.high < tie:
        return TIED
    if logs.high < 0:
        return FASTER
    return SLOWER if logs.low > 0 else UNDECIDED


def ratio_of(logs: Interval) -> Interval:
    """Return the interval of the ratio whose logarithm's interval this is."""
    low, high = (math.exp(bound) if bound < math.inf else math.inf for bound in (logs.low, logs.high))
    return Interval(math.exp(logs.estimate), low, high, logs.confidence)
