from __future__ import annotations

import numpy as np
import pytest

from midas_bench.results import units
from midas_bench.results.intervals import (
    Interval,
    block_ratio,
    bootstrap_medians,
    bootstrap_ratio,
    file_ratio,
    holm,
    mean_interval,
    median_interval,
)


class about:  # noqa: N801 - reads like pytest.approx
    """Compare an interval's three numbers to six digits."""

    def __init__(self, *expected: float) -> None:
        self.expected = expected

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Interval)
        return (other.estimate, other.low, other.high) == pytest.approx(self.expected, rel=2e-6)

    def __repr__(self) -> str:
        return f"about{self.expected}"


def test_the_interval_of_a_median_is_made_of_order_statistics():
    # 1 - 2 P(Binomial(10, 1/2) < 2) = 1 - 22/1024 = 97.9 %; with the third values it would be 89.1 %
    assert median_interval([10, 3, 1, 2, 5, 4, 7, 6, 9, 8]) == Interval(5.5, 2, 9)


@pytest.mark.parametrize(("n", "expected"), [(1, None), (5, None), (6, Interval(3.5, 1, 6)), (9, Interval(5, 2, 8))])
def test_few_values_give_a_wide_interval_or_none(n, expected):
    assert median_interval(range(1, n + 1)) == expected


def test_the_interval_of_a_median_covers_it_as_often_as_it_says():
    generator = np.random.default_rng(1)
    intervals = [median_interval(generator.exponential(size=15)) for _ in range(2000)]
    assert np.mean([interval is not None and interval.holds(np.log(2)) for interval in intervals]) >= 0.95


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_medians_are_drawn_as_a_bootstrap_would(n):
    values = np.arange(n) ** 2.0
    generator = np.random.default_rng(2)
    drawn = bootstrap_medians(values, generator, 200_000)
    resampled = np.median(generator.choice(values, (200_000, n)), axis=1)
    for level in np.unique(resampled):
        assert np.mean(drawn <= level) == pytest.approx(np.mean(resampled <= level), abs=0.006)


def test_a_ratio_of_medians_has_its_estimate_inside():
    ratio = bootstrap_ratio([10, 11, 12, 13, 14], [5, 5.5, 6, 6.5, 7])
    assert ratio.estimate == 2
    assert ratio.low < 2 < ratio.high


def test_block_ratios_have_students_interval():
    # mean 0, standard error 0.1 / sqrt(3), t(0.975, 2) = 4.30265: exp(-+0.248414)
    assert block_ratio([-0.1, 0.0, 0.1]) == about(1, 0.780037, 1.281990)
    assert block_ratio([0.3]) is None


def test_files_are_compared_by_welchs_interval():
    # equal variances of two files each: 2 degrees of freedom, error ln(1.1) / sqrt(2), t = 4.30265
    compared = file_ratio([2.0, 2.2], [1.0, 1.1])
    assert compared is not None
    assert compared.interval == about(2, 1.496566, 2.672786)
    # P(|t| > 10.285) with 2 degrees of freedom = 1 - t / sqrt(t**2 + 2)
    assert compared.p_value == pytest.approx(0.009321, abs=2e-5)
    assert file_ratio([2.0], [1.0, 1.1]) is None


def test_files_without_spread_have_a_ratio_only_where_they_are_equal():
    compared = file_ratio([1.0, 1.0], [1.0, 1.0])
    assert compared is not None
    assert (compared.interval.estimate, compared.p_value) == (1.0, 1.0)
    assert file_ratio([2.0, 2.0], [1.0, 1.0]) is None


def test_holm_corrects_for_the_family():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_half_widths_of_a_mean_add_in_squares():
    mean = mean_interval([Interval(10, 7, 11), Interval(20, 16, 22)])
    assert mean == about(15, 15 - 2.5, 15 + 5**0.5 / 2)


def test_an_interval_can_be_mapped_and_inverted():
    assert Interval(0.5, 0.4, 0.8).mapped(-1, 1) == about(0.5, 0.2, 0.6)
    assert Interval(0.5, 0.4, 0.8).inverted() == about(2, 1.25, 2.5)


@pytest.mark.parametrize(("low", "estimate", "high"), [(0.0, 0.0, 0.0), (0.0, 0.0, 2.0), (0.0, 1.0, 2.0)])
def test_inverse_of_an_interval_that_reaches_0_is_infinite(low, estimate, high):
    inverted = Interval(estimate, low, high).inverted()
    assert inverted.high == np.inf
    assert inverted.estimate == (1 / estimate if estimate else np.inf)
    assert inverted.low == (1 / high if high else np.inf)
    assert units.rate_span(inverted)
