"""The readings around a cell, and what they say of it."""

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


def test_one_reading_ends_a_cell_and_starts_the_next():
    probe = Scripted(QUIET, LOUD, QUIET, QUIET)
    monitor = NoiseMonitor(probe)
    noisy = [monitor.around(name, lambda: None, backend_alive=False)[1].noisy for name in "abc"]
    assert noisy == [True, True, False]
    assert probe.left == []
    assert [name for name, noise in monitor.noise.items() if noise.noisy] == ["a", "b"]


def test_the_probe_waits_only_for_the_threads_of_a_live_backend():
    probe = Scripted(QUIET, QUIET, QUIET)
    monitor = NoiseMonitor(probe)
    monitor.around("a", lambda: None, backend_alive=True)
    monitor.around("b", lambda: None, backend_alive=False)
    assert probe.idle_s == [0.1, 0.1, 0.0]


def test_the_noise_monitor_returns_the_result_of_the_work():
    assert NoiseMonitor(Scripted(QUIET, QUIET)).around("a", lambda: 42, backend_alive=False)[0] == 42


def test_another_attempt_starts_with_a_reading_of_its_own():
    probe = Scripted(QUIET, LOUD, QUIET, QUIET)
    monitor = NoiseMonitor(probe)
    assert monitor.around("a", lambda: None, backend_alive=True)[1].noisy
    assert monitor.prepare_rerun("a")
    assert not monitor.around("a", lambda: None, backend_alive=True)[1].noisy
    assert probe.idle_s == [0.1] * 4


def test_shared_data_are_measured_once_and_their_noise_goes_with_them():
    monitor = NoiseMonitor(Scripted(QUIET, LOUD, LOUD, QUIET, QUIET))
    shared = Shared(monitor, iter(range(9)).__next__)
    results = [monitor.around(name, shared, backend_alive=False) for name in "abc"]
    assert [value for value, _ in results] == [0, 0, 0]
    assert [noise.noisy for _, noise in results] == [True, True, True]


def test_a_cell_of_several_shared_data_has_the_noise_of_all():
    monitor = NoiseMonitor(Scripted(QUIET, LOUD, QUIET, QUIET, QUIET))
    one, other = (Shared(monitor, lambda: 1.0) for _ in range(2))
    monitor.around("a", one, backend_alive=False)
    monitor.around("b", lambda: None, backend_alive=False)
    assert not monitor.around("c", other, backend_alive=False)[1].noisy
    assert monitor.around("d", lambda: (one(), other()), backend_alive=False)[1].noisy


def test_another_attempt_measures_disturbed_shared_data_anew_but_not_for_ever():
    monitor = NoiseMonitor(Scripted(*[LOUD] * 20))
    shared = Shared(monitor, iter(range(9)).__next__)
    results = []
    for name in "ab":
        results.append(monitor.around(name, shared, backend_alive=False)[0])
        while monitor.prepare_rerun(name):
            results.append(monitor.around(name, shared, backend_alive=False)[0])
    assert results == [0, 1, 2, 2]
    assert shared.attempts == 1 + MAX_RERUNS


def test_shared_data_of_a_failed_cell_are_not_kept():
    monitor = NoiseMonitor(Scripted(QUIET, QUIET, QUIET))
    shared = Shared(monitor, iter(range(9)).__next__)
    with pytest.raises(ZeroDivisionError):
        monitor.around("a", lambda: shared() / 0, backend_alive=False)
    assert monitor.around("b", shared, backend_alive=False)[0] == 1
