import cv2
import numpy as np
import pytest
from scipy.stats import spearmanr

from midas_bench.measure.accuracy import compare
from midas_bench.measure.teacher import Agreement, agreement


@pytest.fixture
def teacher():
    return np.random.default_rng(0).normal(10, 3, (24, 36)).astype(np.float32)


@pytest.fixture
def noisy(teacher):
    return teacher + np.random.default_rng(1).normal(0, 2, teacher.shape).astype(np.float32)


def test_a_student_that_equals_its_teacher_agrees_in_all(teacher):
    same = agreement(teacher.copy(), teacher)
    assert (same.rank_correlation, same.ordered_pairs_kept) == (1, 1)
    assert same.aligned_error < 1e-9


def test_scale_and_shift_of_the_student_do_not_matter(teacher, noisy):
    expected = agreement(noisy, teacher)
    assert 0.01 < expected.aligned_error < 0.5
    for scale, shift in ((0.001, 7), (300, -5000)):
        moved = agreement(noisy * np.float32(scale) + np.float32(shift), teacher)
        assert moved.rank_correlation == pytest.approx(expected.rank_correlation, abs=1e-4)
        assert moved.aligned_error == pytest.approx(expected.aligned_error, rel=1e-3)
        assert moved.ordered_pairs_kept == pytest.approx(expected.ordered_pairs_kept, abs=1e-3)


def test_scale_and_shift_of_the_teacher_do_not_matter(teacher, noisy):
    expected, moved = agreement(noisy, teacher), agreement(noisy, teacher * 50 - 3)
    assert moved.aligned_error == pytest.approx(expected.aligned_error, rel=1e-3)


def test_aligned_error_is_the_one_that_a_hand_computes():
    # the least-squares line through (0, 1), (1, .5), (2, .25) is 0.9583 - 0.375 x
    error = agreement(np.array([[0, 1, 2]], np.float32), np.array([[1, 0.5, 0.25]], np.float32)).aligned_error
    differences = [0.958333 - 1, 0.583333 - 0.5, 0.208333 - 0.25]
    assert error == pytest.approx(np.mean(np.abs(differences)) / 0.75, rel=1e-4)


def test_pairs_and_ranks_are_those_of_all_pixels(teacher, noisy):
    rows, columns = np.triu_indices(teacher.size, 1)
    ours, theirs = noisy.ravel(), teacher.ravel()
    kept = np.mean((ours[rows] - ours[columns]) * (theirs[rows] - theirs[columns]) > 0)
    found = agreement(noisy, teacher)
    assert found.ordered_pairs_kept == pytest.approx(kept, abs=0.005)
    assert found.rank_correlation == pytest.approx(spearmanr(ours, theirs).statistic)
    assert agreement(noisy, teacher) == found


def test_an_inverted_student_keeps_no_pair(teacher):
    found = agreement(-teacher, teacher)
    assert (found.ordered_pairs_kept, found.rank_correlation) == (0, pytest.approx(-1))


def test_pixels_that_the_student_does_not_tell_apart_are_pairs_lost():
    teacher = np.arange(8, dtype=np.float32).reshape(2, 4)
    # of 28 pairs, those within the two halves are lost: 6 each
    assert agreement(teacher // 4, teacher).ordered_pairs_kept == pytest.approx(16 / 28, abs=0.01)


@pytest.mark.parametrize("shape", [(48, 36), (24, 18), (12, 72)])
def test_maps_are_compared_at_the_larger_of_their_sizes(teacher, shape):
    smooth = cv2.GaussianBlur(teacher, (0, 0), 4)
    student = cv2.resize(smooth, shape[::-1], interpolation=cv2.INTER_CUBIC)
    found = agreement(student, smooth)
    assert found.rank_correlation > 0.98
    assert found.aligned_error < 0.02
    size = max(24, shape[0]), max(36, shape[1])
    at_size = [cv2.resize(one, size[::-1], interpolation=cv2.INTER_CUBIC) for one in (student, smooth)]
    assert found == agreement(*at_size)


@pytest.mark.parametrize("value", [0, 3.3, np.nan, np.inf])
@pytest.mark.parametrize("shape", [(24, 36), (7, 11)])
def test_a_student_that_says_nothing_has_the_error_of_the_mean(teacher, value, shape):
    student = np.full(shape, value, np.float32)
    if not np.isfinite(value):
        student[0, :5] = np.arange(5)
    mean_error = np.abs(teacher - teacher.mean()).mean() / np.ptp(teacher)
    assert agreement(student, teacher) == Agreement(0, pytest.approx(mean_error, rel=1e-4), 0)


@pytest.mark.parametrize(
    ("teacher", "said"),
    [(np.full((4, 4), 2.5), "is constant"), (np.full((4, 4), np.nan), "NaN"), (np.array([[1, np.inf]]), "NaN")],
)
def test_a_teacher_that_says_nothing_is_refused(teacher, said):
    for sides in ((4, 4), (9, 7)):
        student = np.arange(sides[0] * sides[1], dtype=np.float32).reshape(sides)
        with pytest.raises(ValueError, match=said):
            agreement(student, teacher.astype(np.float32))


def test_a_constant_estimate_has_no_rank_correlation_with_the_truth():
    accuracy = compare(np.ones((3, 4), np.float32), 1 / np.linspace(1, 9, 12).reshape(3, 4))
    assert accuracy.spearman == 0
    assert np.isfinite(accuracy.abs_rel)
