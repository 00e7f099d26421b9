import numpy as np
import pytest
from scipy.stats import spearmanr

from midas_bench.measure.fidelity import fidelity


@pytest.fixture
def eager():
    return np.random.default_rng(0).normal(10, 3, (2, 32, 48)).astype(np.float32)


def test_fidelity_of_equal_depth_is_perfect(eager):
    measured = fidelity(eager.copy(), eager)
    assert (measured.max_relative_error, measured.mean_relative_error, measured.flipped_pairs) == (0, 0, 0)
    assert measured.rank_correlation == 1


def test_errors_are_relative_to_the_range(eager):
    ours = eager.copy()
    ours[0, 0, 0] += 0.5
    measured = fidelity(ours, eager)
    assert measured.max_relative_error == pytest.approx(0.5 / np.ptp(eager), rel=1e-5)
    assert measured.mean_relative_error == pytest.approx(0.5 / np.ptp(eager) / eager.size, rel=1e-5)


def test_a_flat_reference_and_depth_that_is_no_number_are_not_taken_for_agreement():
    flat = np.ones((1, 2, 2), np.float32)
    measured = fidelity(flat + 1, flat)
    assert measured.max_relative_error > 1
    assert measured.rank_correlation == 0
    broken = fidelity(flat * np.nan, np.arange(4, dtype=np.float32).reshape(1, 2, 2))
    assert not broken.max_relative_error <= 1
    assert broken.rank_correlation == 0


def test_a_monotonic_change_of_depth_keeps_the_rank_correlation(eager):
    measured = fidelity(np.exp(eager / 10), eager)
    assert measured.rank_correlation == pytest.approx(1)
    assert measured.flipped_pairs == 0
    assert measured.max_relative_error > 0.1


def test_negated_depth_flips_every_pair(eager):
    measured = fidelity(-eager, eager)
    assert measured.rank_correlation == pytest.approx(-1)
    assert measured.flipped_pairs == 1


def test_fidelity_reports_the_worst_photo_of_a_batch(eager):
    ours = eager.copy()
    ours[1] = np.random.default_rng(1).permutation(eager[1].ravel()).reshape(eager[1].shape)
    measured = fidelity(ours, eager)
    assert measured.rank_correlation == pytest.approx(spearmanr(ours[1], eager[1], axis=None).statistic)
    assert 0.4 < measured.flipped_pairs < 0.6


def test_flips_of_sampled_pairs_are_those_of_all(eager):
    ours = eager + np.random.default_rng(2).normal(0, 1, eager.shape).astype(np.float32)
    of_all = []
    for one, other in zip(ours.reshape(2, -1), eager.reshape(2, -1), strict=True):
        rows, columns = np.triu_indices(len(one), 1)
        of_all.append(np.mean((one[rows] - one[columns]) * (other[rows] - other[columns]) < 0))
    measured = fidelity(ours, eager)
    assert measured.flipped_pairs == pytest.approx(max(of_all), abs=0.005)
    assert fidelity(ours, eager) == measured


def test_pixels_of_equal_depth_have_no_order_to_flip():
    eager = np.array([[[0.0, 0.0], [1.0, 1.0]]], np.float32)
    assert fidelity(np.array([[[0.1, 0.2], [0.9, 0.8]]], np.float32), eager).flipped_pairs == 0
