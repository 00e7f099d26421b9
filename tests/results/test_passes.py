"""Passes as the unit of every interval."""

import math

import numpy as np
import pytest
from scipy import stats

from midas_bench.results.passes import ENOUGH, mean_over_cells, pass_interval, pass_medians

EIGHT = [8.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0, 4.0]


def test_the_median_of_each_passs_rounds():
    assert pass_medians([1.0, 9.0, 2.0, 4.0, 6.0, 5.0], [3, 2, 1]).tolist() == [2.0, 5.0, 5.0]


@pytest.mark.parametrize("counts", [[], [3, 2], [3, 3, 1], [6, 0], [7, -1]])
def test_counts_that_do_not_fit_give_no_passes(counts):
    assert len(pass_medians([1.0] * 6, counts)) == 0


def test_from_six_passes_on_the_interval_is_of_signed_ranks():
    interval = pass_interval(EIGHT)
    # the third of the 36 averages of two logarithms from either end: P(T <= 2) = 3 / 256, below 1.6 %
    expected = (4.5, math.sqrt(1 * 3), 7.0)
    assert (interval.estimate, interval.low, interval.high) == pytest.approx(expected)


def test_signed_ranks_hold_the_median_although_it_is_no_average_of_pairs():
    low_median = pass_interval([1.0, 1.0, 1.0, 1.0, 50.0, 60.0, 70.0])
    assert low_median.low <= low_median.estimate <= low_median.high


@pytest.mark.parametrize("values", [[1.0, 1.1], [1.0, 1.2, 1.1], [2.0, 2.2, 2.1, 2.3, 1.9]])
def test_fewer_passes_have_students_interval_of_the_logarithms_and_at_least_their_range(values):
    interval = pass_interval(values)
    logarithms = np.log(values)
    low, high = np.exp(stats.t.interval(0.95, len(values) - 1, logarithms.mean(), stats.sem(logarithms)))
    assert interval.estimate == np.median(values)
    assert interval.low == pytest.approx(min(low, *values))
    assert interval.high == pytest.approx(max(high, *values))


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 0.0, 2.0]])
def test_no_interval_below_two_passes_or_of_a_time_of_zero(values):
    assert pass_interval(values) is None


DRIFT = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
QUIET = np.zeros((2, 8), bool)


def test_drift_that_both_sides_meet_alike_is_in_no_ratio():
    interval = mean_over_cells(np.stack([3.0 * DRIFT / DRIFT, 5.0 * DRIFT / DRIFT]), QUIET)
    assert (interval.low, interval.estimate, interval.high) == (4.0, 4.0, 4.0)


def test_disturbed_visits_are_left_aside_where_enough_passes_have_others():
    values, disturbed = np.tile([[2.0], [4.0]], 8), QUIET.copy()
    values[0, :3] *= 9.0
    disturbed[0, :3] = True
    interval = mean_over_cells(values, disturbed)
    assert interval.estimate == pytest.approx(3.0)
    assert (interval.low, interval.high) == (pytest.approx(3.0), pytest.approx(3.0))
    # unseen by the probe, they stay in the spread
    assert mean_over_cells(values, QUIET).high > 10


def test_with_too_few_quiet_passes_none_is_left_aside():
    values, disturbed = np.tile([[2.0], [4.0]], 8), QUIET.copy()
    values[:, :3] *= 9.0
    disturbed[:, :3] = True
    assert ENOUGH > 8 - 3
    assert mean_over_cells(values, disturbed).high == 27.0


@pytest.mark.parametrize("values", [[1.0, 2.0], [[1.0], [2.0]], [[1.0, 0.0], [1.0, 1.0]]])
def test_no_mean_of_one_pass_or_of_a_time_of_zero(values):
    assert mean_over_cells(values, np.zeros(np.shape(values), bool)) is None
