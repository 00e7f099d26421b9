import mmap
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest

from midas_bench.measure import noise_probe
from midas_bench.measure.noise_probe import (
    COPY_LIMIT,
    MATRIX_LIMIT,
    OTHERS_LIMIT,
    REPEATS,
    SECOND_LOOK_AFTER_S,
    STEAL_LIMIT,
    Best,
    NoiseProbe,
    Reading,
    judge,
    own_disturbance,
)

BEST = Best(matrix_s=2.0, copy_s=0.5)
BEFORE = Reading(matrix_s=2.0, copy_s=0.5, at_s=1000.0, busy_s=500.0, own_s=50.0, steal_s=7.0)
AFTER = replace(BEFORE, at_s=1010.0, busy_s=510.0, own_s=60.0)  # ten seconds, one core, all of it ours
EPSILON = 1e-6


def test_a_cell_that_nothing_disturbed_is_quiet():
    noise = judge(BEFORE, AFTER, BEST)
    assert not noise.noisy
    assert (noise.matrix_ratio, noise.copy_ratio, noise.steal_fraction, noise.others_fraction) == (1, 1, 0, 0)


RULE = {
    "matrix": (
        MATRIX_LIMIT,
        lambda by: {"matrix_s": BEST.matrix_s * by},
        "a fixed matrix product took 1.3 times its best",
    ),
    "copy": (COPY_LIMIT, lambda by: {"copy_s": BEST.copy_s * by}, "a fixed memory copy took 2.0 times its best"),
    "steal": (STEAL_LIMIT, lambda by: {"steal_s": 7.0 + 10.0 * by}, "the hypervisor took 2% of a core"),
    "others": (OTHERS_LIMIT, lambda by: {"busy_s": 510.0 + 10.0 * by}, "other processes used 10% of a core"),
}


@pytest.mark.parametrize("what", RULE)
def test_each_limit_decides_alone_and_exactly(what):
    limit, changed, reason = RULE[what]
    below = judge(BEFORE, replace(AFTER, **changed(limit - EPSILON)), BEST)
    assert below.reasons == []
    above = judge(BEFORE, replace(AFTER, **changed(limit + EPSILON)), BEST)
    assert above.reasons == [reason]
    assert above.noisy


@pytest.mark.parametrize("what", ["matrix", "copy"])
def test_the_slower_of_the_two_readings_counts(what):
    limit, changed, _ = RULE[what]
    assert judge(replace(BEFORE, **changed(limit * 2)), AFTER, BEST).noisy


def test_several_disturbances_are_all_named():
    after = replace(AFTER, matrix_s=4.0, copy_s=2.0, steal_s=8.0, busy_s=520.0)
    assert len(judge(BEFORE, after, BEST).reasons) == 4


def test_cpu_time_of_the_cell_itself_is_no_disturbance():
    assert not judge(BEFORE, replace(AFTER, busy_s=520.0, own_s=70.0), BEST).noisy


def test_counters_that_run_backwards_are_taken_for_still():
    noise = judge(BEFORE, replace(AFTER, steal_s=6.0, busy_s=505.0), BEST)
    assert (noise.steal_fraction, noise.others_fraction) == (0, 0)


def test_two_readings_at_the_same_moment_are_judged():
    assert not judge(BEFORE, BEFORE, BEST).noisy


def test_the_verdict_goes_to_json_with_its_figures():
    document = judge(BEFORE, replace(AFTER, matrix_s=4.0), BEST).to_json()
    assert document == {
        "noisy": True,
        "reasons": ["a fixed matrix product took 2.0 times its best"],
        "matrix_ratio": 2.0,
        "copy_ratio": 1.0,
        "steal_fraction": 0.0,
        "others_fraction": 0.0,
    }


class ScriptedClock:
    """Give the spans one after the other: a clock that is read before and after each piece of work."""

    def __init__(self, spans_s):
        self.readings_s = [at_s for span_s in spans_s for at_s in (0.0, span_s)]

    def __call__(self):
        return self.readings_s.pop(0)


def test_a_reading_is_the_best_of_a_few_and_the_run_keeps_the_best_of_all():
    clock = ScriptedClock([3, 2, 4, 0.7, 0.9, 0.8, 2.2, 2.3, 2.1, 0.6, 0.5, 0.7])
    watched = NoiseProbe(clock)
    assert watched.best == Best(float("inf"), float("inf"))
    first, second = watched.read(), watched.read()
    assert (first.matrix_s, first.copy_s) == (2, 0.7)
    assert (second.matrix_s, second.copy_s) == (2.1, 0.5)
    assert watched.best == Best(2, 0.5)
    assert clock.readings_s == []
    assert REPEATS == 3


QUIET = [2.0] * REPEATS + [0.5] * REPEATS
SLOW_COPY = [2.0] * REPEATS + [1.5] * REPEATS
SLOW_MATRIX = [4.0] * REPEATS + [0.5] * REPEATS


@pytest.mark.parametrize(
    ("spans_s", "read_s", "rests"),
    [
        ([*QUIET], (2.0, 0.5), 0),
        ([*SLOW_COPY, *QUIET], (2.0, 0.5), 1),
        ([*SLOW_MATRIX, *SLOW_COPY], (2.0, 0.5), 1),  # each piece of work was quiet once
        ([*SLOW_COPY, *SLOW_COPY, *SLOW_COPY], (2.0, 1.5), 2),
        ([*SLOW_MATRIX, *SLOW_MATRIX, *SLOW_MATRIX], (4.0, 0.5), 2),
    ],
)
def test_a_reading_over_a_limit_is_repeated_after_a_pause(monkeypatch, spans_s, read_s, rests):
    clock = ScriptedClock([*QUIET, *spans_s])
    slept = []
    monkeypatch.setattr(noise_probe.time, "sleep", slept.append)
    watched = NoiseProbe(clock)
    watched.read()
    reading = watched.read()
    assert (reading.matrix_s, reading.copy_s) == read_s
    assert clock.readings_s == []
    assert slept == [0.0, 0.0] + [SECOND_LOOK_AFTER_S] * rests


def test_the_work_is_done_on_one_thread_after_a_rest(monkeypatch):
    happened = []
    watched = NoiseProbe(ScriptedClock([1] * 6))

    class Limit:
        def __init__(self, **how):
            self.how = how

        def __enter__(self):
            happened.append(self.how)

        def __exit__(self, *_):
            happened.append("free")

    monkeypatch.setattr(noise_probe.time, "sleep", happened.append)
    monkeypatch.setattr(watched._blas, "limit", Limit)
    monkeypatch.setattr(noise_probe.np, "copyto", lambda *_: happened.append("copy"))
    watched.read(0.1)
    assert happened == [0.1, {"limits": 1, "user_api": "blas"}, "free", *["copy"] * REPEATS]


def test_the_libraries_threads_are_given_back():
    watched = NoiseProbe()
    before = [(library["prefix"], library["num_threads"]) for library in watched._blas.info()]
    watched.read()
    assert [(library["prefix"], library["num_threads"]) for library in watched._blas.info()] == before


def test_real_readings_have_real_figures_and_move_on():
    watched = NoiseProbe()
    first = watched.read()
    assert all(value >= 0 for value in asdict(first).values())
    assert first.matrix_s > 0
    assert first.copy_s > 0
    start_s = time.process_time()
    while time.process_time() - start_s < 0.05:  # several ticks of the kernel's clock
        pass
    second = watched.read()
    assert second.at_s > first.at_s
    assert second.busy_s > first.busy_s
    assert second.own_s > first.own_s


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts no page faults this way")
def test_page_faults_of_this_process_are_counted():
    switches, faults = own_disturbance()
    with mmap.mmap(-1, 1 << 20) as fresh:  # what malloc gives may have been touched before
        fresh.write(b"x" * (1 << 20))
    switches_after, faults_after = own_disturbance()
    assert faults_after > faults
    assert switches_after >= switches


def test_cpu_time_of_a_running_child_counts_as_our_own():
    busy = "import time; t = time.process_time\nwhile t() < 0.3: pass\nprint(flush=True); input()"
    before = noise_probe._own_s()
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        running = noise_probe._own_s()
        child.communicate(b"\n")
    assert running - before >= 0.2  # the kernel counts in hundredths
    assert noise_probe._own_s() > running - 0.001, "what an ended child used stays ours"
