"""The readings around a cell, and what they say of it."""

import pytest

from midas_bench.measure.noise_probe import Best, Reading
from midas_bench.measure.plugin.noise import MAX_RERUNS, Shared, Watch

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
    sentinel = Scripted(QUIET, LOUD, QUIET, QUIET)
    watch = Watch(sentinel)
    noisy = [watch.around(name, lambda: None, backend_alive=False)[1].noisy for name in "abc"]
    assert noisy == [True, True, False]
    assert sentinel.left == []
    assert [name for name, noise in watch.noise.items() if noise.noisy] == ["a", "b"]


def test_the_sentinel_waits_for_a_live_backend_to_fall_asleep_and_for_nothing_else():
    sentinel = Scripted(QUIET, QUIET, QUIET)
    watch = Watch(sentinel)
    watch.around("a", lambda: None, backend_alive=True)
    watch.around("b", lambda: None, backend_alive=False)
    assert sentinel.idle_s == [0.1, 0.1, 0.0]


def test_what_the_work_returns_comes_back():
    assert Watch(Scripted(QUIET, QUIET)).around("a", lambda: 42, backend_alive=False)[0] == 42


def test_another_attempt_starts_with_a_reading_of_its_own():
    sentinel = Scripted(QUIET, LOUD, QUIET, QUIET)
    watch = Watch(sentinel)
    assert watch.around("a", lambda: None, backend_alive=True)[1].noisy
    assert watch.again("a")
    assert not watch.around("a", lambda: None, backend_alive=True)[1].noisy
    assert sentinel.idle_s == [0.1] * 4


def test_shared_data_are_measured_once_and_their_noise_goes_with_them():
    watch = Watch(Scripted(QUIET, LOUD, LOUD, QUIET, QUIET))
    shared = Shared(watch, iter(range(9)).__next__)
    found = [watch.around(name, shared, backend_alive=False) for name in "abc"]
    assert [value for value, _ in found] == [0, 0, 0]
    assert [noise.noisy for _, noise in found] == [True, True, True]


def test_a_cell_of_several_shared_data_has_the_noise_of_all():
    watch = Watch(Scripted(QUIET, LOUD, QUIET, QUIET, QUIET))
    one, other = (Shared(watch, lambda: 1.0) for _ in range(2))
    watch.around("a", one, backend_alive=False)
    watch.around("b", lambda: None, backend_alive=False)
    assert not watch.around("c", other, backend_alive=False)[1].noisy
    assert watch.around("d", lambda: (one(), other()), backend_alive=False)[1].noisy


def test_another_attempt_measures_disturbed_shared_data_anew_but_not_for_ever():
    watch = Watch(Scripted(*[LOUD] * 20))
    shared = Shared(watch, iter(range(9)).__next__)
    found = []
    for name in "ab":
        found.append(watch.around(name, shared, backend_alive=False)[0])
        while watch.again(name):
            found.append(watch.around(name, shared, backend_alive=False)[0])
    assert found == [0, 1, 2, 2]
    assert shared.attempts == 1 + MAX_RERUNS


def test_data_of_which_nobody_knows_what_disturbed_them_are_not_kept():
    watch = Watch(Scripted(QUIET, QUIET, QUIET))
    shared = Shared(watch, iter(range(9)).__next__)
    with pytest.raises(ZeroDivisionError):
        watch.around("a", lambda: shared() / 0, backend_alive=False)
    assert watch.around("b", shared, backend_alive=False)[0] == 1
