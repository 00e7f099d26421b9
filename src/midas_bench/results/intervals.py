"""How sure a figure is: intervals of medians, of ratios of medians, and of block ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

CONFIDENCE = 0.95
RESAMPLES = 4000


@dataclass(frozen=True)
class Interval:
    """An estimate and the range that holds the true value in `confidence` of all repetitions; unit of the estimate."""

    estimate: float
    low: float
    high: float
    confidence: float = CONFIDENCE

    def mapped(self, factor: float, shift: float = 0.0) -> Interval:
        """Return the interval of `factor * x + shift`; a negative factor swaps its ends."""
        low, high = sorted((self.low * factor + shift, self.high * factor + shift))
        return Interval(self.estimate * factor + shift, low, high, self.confidence)

    def inverted(self) -> Interval:
        """Return the interval of `1 / x` for an x of at least zero; where that is zero, infinity."""
        estimate, low, high = (1 / x if x else np.inf for x in (self.estimate, self.high, self.low))
        return Interval(estimate, low, high, self.confidence)

    def holds(self, value: float) -> bool:
        """Tell whether a value lies in the interval."""
        return self.low <= value <= self.high


def median_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the distribution-free interval of the median, or None where too few can give one (below 6 for 95 %).

    The k-th smallest and k-th largest of n values enclose the median with probability
    1 - 2 P(Binomial(n, 1/2) < k); the largest k is taken that still reaches `confidence`.
    Source: H. A. David and H. N. Nagaraja, Order Statistics, 3rd edition, section 7.1.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    ks = np.arange(1, n // 2 + 1)
    reached = ks[1 - 2 * special.bdtr(ks - 1, n, 0.5) >= confidence]
    if not len(reached):
        return None
    k = int(reached[-1])
    return Interval(float(np.median(ordered)), float(ordered[k - 1]), float(ordered[n - k]), confidence)


def bootstrap_medians(
    values: ArrayLike, generator: np.random.Generator, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Draw float64 (resamples,): medians of bootstrap resamples of the values, without making the resamples.

    The k-th smallest of n draws with replacement from sorted x is x[floor(n U)], U being the k-th smallest of n
    uniform numbers, which is distributed as Beta(k, n - k + 1); the next one follows from U by
    1 - (1 - U) V**(1 / (n - k)). Source: L. Devroye, Non-Uniform Random Variate Generation, chapter V.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    k = (n + 1) // 2
    lower = generator.beta(k, n - k + 1, resamples)
    medians = ordered[np.minimum((n * lower).astype(int), n - 1)]
    if n % 2 == 0:
        upper = 1 - (1 - lower) * generator.random(resamples) ** (1 / (n - k))
        medians = (medians + ordered[np.minimum((n * upper).astype(int), n - 1)]) / 2
    return np.asarray(medians, np.float64)


def bootstrap_interval(estimate: float, draws: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return the percentile interval of bootstrap draws around an estimate.

    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, chapter 13.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.asarray(draws, float), [tail, 1 - tail])
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)), confidence)


def bootstrap_ratio(
    numerator: ArrayLike, denominator: ArrayLike, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """Return the ratio of two medians with its percentile bootstrap interval.

    It covers the spread of the rounds and nothing that differs from run to run: it holds within these runs.
    """
    generator = np.random.default_rng(seed)
    draws = bootstrap_medians(numerator, generator) / bootstrap_medians(denominator, generator)
    estimate = float(np.median(np.asarray(numerator, float)) / np.median(np.asarray(denominator, float)))
    return bootstrap_interval(estimate, draws, confidence)


def block_ratio(log_ratios: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Return exp of the mean of block log-ratios with Student's t interval over the blocks; None below two blocks.

    Source: T. Kalibera and R. Jones, Rigorous Benchmarking in Reasonable Time, ISMM 2013: the restart is the unit.
    """
    logs = np.asarray(log_ratios, float)
    if len(logs) < 2:
        return None
    error = float(logs.std(ddof=1)) / np.sqrt(len(logs))
    return _log_interval(float(logs.mean()), error, len(logs) - 1, confidence)


def signed_rank_interval(values: ArrayLike, low_tail: float, high_tail: float) -> Interval:
    """Return the Hodges-Lehmann estimate of the centre of symmetry, each bound missing it with at most its tail.

    The bounds are averages of pairs (Walsh averages), chosen by the exact distribution of Wilcoxon's signed-rank
    statistic: they hold for any symmetric distribution, however heavy its tails or however many its peaks, and are
    infinite where so few values can promise nothing (`2**-n` above the tail).
    Source: M. Hollander, D. A. Wolfe and E. Chicken, Nonparametric Statistical Methods, 3rd edition, section 3.3.
    """
    x = np.asarray(values, float)
    n = len(x)
    firsts, seconds = _pairs(n)
    walsh = np.sort((x[firsts] + x[seconds]) / 2)
    estimate = float(walsh[(len(walsh) - 1) // 2] + walsh[len(walsh) // 2]) / 2
    low_rank, high_rank = (_signed_rank_quantile(n, tail) for tail in (low_tail, high_tail))
    low = float(walsh[low_rank - 1]) if low_rank else -np.inf
    high = float(walsh[-high_rank]) if high_rank else np.inf
    return Interval(estimate, low, high, 1 - low_tail - high_tail)


@cache  # gates are drawn by the ten thousand
def _pairs(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(n)


@cache
def _signed_rank_quantile(n: int, tail: float) -> int:
    """Return how many values 0, 1, ... the signed-rank statistic of n falls up to with a chance of at most `tail`."""
    counts = np.ones(1)
    for rank in range(1, n + 1):  # each rank counts for one sign or the other
        counts = np.convolve(counts, np.concatenate([[0.5], np.zeros(rank - 1), [0.5]]))
    return int((np.cumsum(counts) <= tail).sum())


@dataclass(frozen=True)
class FileRatio:
    """A ratio of two sides of several files each.

    Attributes:
        interval: of the ratio.
        p_value: of no difference, two-sided, not corrected for the number of cells.
    """

    interval: Interval
    p_value: float


def file_ratio(
    numerators: Sequence[float], denominators: Sequence[float], confidence: float = CONFIDENCE
) -> FileRatio | None:
    """Compare the files of two sides by Welch's t interval of the logarithms.

    None below two files a side, and where the sides differ but neither has any spread: such files are no repetitions.

    Source: B. L. Welch, The generalization of Student's problem, Biometrika 34, 1947.
    """
    above, below = np.log(np.asarray(numerators, float)), np.log(np.asarray(denominators, float))
    if min(len(above), len(below)) < 2:
        return None
    parts = np.array([side.var(ddof=1) / len(side) for side in (above, below)])
    difference, error = float(above.mean() - below.mean()), float(np.sqrt(parts.sum()))
    if error == 0:
        return FileRatio(Interval(1.0, 1.0, 1.0), 1.0) if difference == 0 else None
    freedom = float(parts.sum() ** 2 / (parts**2 / [len(above) - 1, len(below) - 1]).sum())
    p_value = 2 * float(special.stdtr(freedom, -abs(difference) / error))
    return FileRatio(_log_interval(difference, error, freedom, confidence), p_value)


def _log_interval(mean: float, error: float, freedom: float, confidence: float) -> Interval:
    half = float(special.stdtrit(freedom, (1 + confidence) / 2)) * float(error)
    return Interval(float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half)), confidence)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected so that the whole family errs at most as often as one test would.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979.
    """
    order = np.argsort(p_values)
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def mean_interval(parts: Sequence[Interval]) -> Interval:
    """Return the mean of independent estimates; their half-widths add in squares, each side of its own.

    Source: JCGM 100:2008 (Guide to the expression of uncertainty in measurement), section 5.1.2.
    """
    n = len(parts)
    estimate = sum(part.estimate for part in parts) / n
    below = sum((part.estimate - part.low) ** 2 for part in parts) ** 0.5 / n
    above = sum((part.high - part.estimate) ** 2 for part in parts) ** 0.5 / n
    return Interval(estimate, estimate - below, estimate + above, min(part.confidence for part in parts))
