"""The readings around a group of cells, and what they say of it."""

import pytest

from midas_bench.measure.noise_probe import Best, Reading
from midas_bench.measure.plugin.noise import MAX_RERUNS, NoiseMonitor, Shared

LOUD, QUIET = 1.3, 1.0


class Scripted:
    best = Best(1.0, 1.0)

    def __init__(self, *matrix_s):
        self.left = list(matrix_s)
        self.idle_s = []

    def read(self, idle_s=0.0):
        self.idle_s.append(idle_s)
        return Reading(self.left.pop(0), 1.0, 0.0, 0.0, 0.0, 0.0)


def around(monitor, work=lambda: None):
    """Do some work as a group of cells, and return its result and what disturbed it."""
    monitor.begin()
    return work(), monitor.end()


def test_one_reading_ends_a_group_and_starts_the_next():
    probe = Scripted(QUIET, LOUD, QUIET, QUIET)
    monitor = NoiseMonitor(probe)
    assert [around(monitor)[1].noisy for _ in range(3)] == [True, True, False]
    assert probe.left == []
    assert monitor.judged == 3


def test_the_probe_waits_for_the_threads_of_open_pipelines():
    probe = Scripted(QUIET, QUIET)
    around(NoiseMonitor(probe))
    assert probe.idle_s == [0.1, 0.1]


def test_another_attempt_starts_with_a_reading_of_its_own():
    probe = Scripted(QUIET, LOUD, QUIET, QUIET)
    monitor = NoiseMonitor(probe)
    assert around(monitor)[1].noisy
    assert monitor.prepare_rerun()
    assert not around(monitor)[1].noisy
    assert probe.idle_s == [0.1] * 4


def test_shared_data_are_measured_once_and_their_noise_goes_with_them():
    monitor = NoiseMonitor(Scripted(QUIET, LOUD, LOUD, QUIET, QUIET))
    shared = Shared(monitor, iter(range(9)).__next__)
    results = [around(monitor, shared) for _ in range(3)]
    assert [value for value, _ in results] == [0, 0, 0]
    assert [noise.noisy for _, noise in results] == [True, True, True]


def test_a_group_of_several_shared_data_has_the_noise_of_all():
    monitor = NoiseMonitor(Scripted(QUIET, LOUD, QUIET, QUIET, QUIET))
    one, other = (Shared(monitor, lambda: 1.0) for _ in range(2))
    around(monitor, one)
    around(monitor)
    assert not around(monitor, other)[1].noisy
    assert around(monitor, lambda: (one(), other()))[1].noisy


def test_another_attempt_measures_disturbed_shared_data_anew_but_not_for_ever():
    monitor = NoiseMonitor(Scripted(*[LOUD] * 20))
    shared = Shared(monitor, iter(range(9)).__next__)
    results = []
    for _ in range(2):
        results.append(around(monitor, shared)[0])
        while monitor.prepare_rerun():
            results.append(around(monitor, shared)[0])
    assert results == [0, 1, 2, 2]
    assert shared.attempts == 1 + MAX_RERUNS


def test_shared_data_of_a_failed_cell_are_not_kept():
    monitor = NoiseMonitor(Scripted(QUIET, QUIET, QUIET))
    shared = Shared(monitor, iter(range(9)).__next__)
    monitor.begin()
    with pytest.raises(ZeroDivisionError):
        shared() / 0
    monitor.end(failed=True)
    assert monitor.judged == 0
    assert around(monitor, shared)[0] == 1
