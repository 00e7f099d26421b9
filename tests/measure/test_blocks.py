import math
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise, permutations

import psutil
import pytest

from midas_bench.measure import blocks as module
from midas_bench.measure import worker_client
from midas_bench.measure.blocks import (
    WARM_UP_CALLS,
    Block,
    balanced_orders,
    blocks,
    interleaved,
    log_ratios,
    start_order,
)
from midas_bench.measure.worker_client import TimedCall, Worker, WorkerSpec
from midas_bench.processes import ProcessDiedError
from midas_bench.results.units import MIB

A, B = TimedCall("a", "one"), TimedCall("b", "one")
FOURS = TimedCall("a", "four"), TimedCall("b", "four")


def events(log):
    """Give (arm, process id, event) of each line."""
    return [tuple(line.split()) for line in log.read_text().splitlines()]


def nobody_left(log):
    pids = {int(pid) for _, pid, _ in events(log)}
    assert pids
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def take(count, arms, probes, rounds=2, seed=1, **how):
    return blocks(arms, [probes], rounds, seed, count, **how)


def test_workers_are_started_anew_for_each_block_and_none_is_left(arm, log):
    measured = take(2, [arm("a", call_s=0.002), arm("b", call_s=0.002)], [A, B])
    rounds = [each for block in measured for each in block.rounds]
    assert [each.keys() for each in rounds] == [{A, B}] * 4
    assert all(0.002 <= seconds < 1 for each in rounds for seconds in each.values())
    opened = [(name, pid) for name, pid, event in events(log) if event == "open"]
    assert Counter(name for name, _ in opened) == {"a": 2, "b": 2}
    assert len({pid for _, pid in opened}) == 4
    nobody_left(log)


def test_each_probe_is_warmed_up_and_then_called_as_often_as_asked(arm, log):
    take(1, [arm("a"), arm("b")], [A, B], rounds=4)
    begun = [name for name, _, event in events(log) if event == "begin"]
    warm_up = begun[: 2 * WARM_UP_CALLS]
    assert warm_up in (["a"] * WARM_UP_CALLS + ["b"] * WARM_UP_CALLS, ["b"] * WARM_UP_CALLS + ["a"] * WARM_UP_CALLS)
    rounds = begun[2 * WARM_UP_CALLS :]
    assert [sorted(rounds[i : i + 2]) for i in range(0, 8, 2)] == [["a", "b"]] * 4
    assert rounds[0:2] == rounds[2:4][::-1]
    assert rounds[4:6] == rounds[6:8][::-1]


def test_only_one_arm_runs_at_a_time(arm, log):
    take(1, [arm("a"), arm("b")], [A, B], rounds=6)
    running = [event for _, _, event in events(log) if event in ("begin", "end")]
    assert running == ["begin", "end"] * (2 * (WARM_UP_CALLS + 6))


class Fake:
    """A worker without a process."""

    def __init__(self, arm, core, log):
        self.arm, self.core, self.log = arm, core, log

    def __enter__(self):
        self.log.append(("start", self.arm.name, self.core))
        return self

    def __exit__(self, *_):
        self.log.append(("stop", self.arm.name, self.core))

    startup_s = 0.5

    def begin_opening(self):
        self.log.append(("begin", self.arm.name, self.core))

    def finish_opening(self):
        self.log.append(("open", self.arm.name, self.core))

    def peak_bytes(self):
        return 9

    def call(self, probe):
        self.log.append(("call", probe.arm, self.core))
        return {"a": 2.0, "b": 3.0}[probe.arm]

    def call_in_parts(self, probe):
        return {probe: self.call(probe)}


@pytest.fixture
def fake_workers(monkeypatch):
    log = []
    monkeypatch.setattr(module, "Worker", lambda arm, core: Fake(arm, core, log))
    monkeypatch.setattr(module.time, "sleep", lambda seconds: log.append(("sleep", seconds, None)))
    return log


ARMS = [WorkerSpec("a", {}), WorkerSpec("b", {})]


def test_each_arm_starts_first_in_half_of_the_blocks_and_chance_says_in_which(fake_workers):
    take(20, ARMS, [A, B])
    started = [name for event, name, _ in fake_workers if event == "start"]
    pairs = [tuple(started[i : i + 4]) for i in range(0, 40, 4)]
    assert set(pairs) == {("a", "b", "b", "a"), ("b", "a", "a", "b")}


def test_which_arm_warms_up_first_is_drawn(fake_workers):
    take(20, ARMS, [A, B])
    called = [name for event, name, _ in fake_workers if event == "call"]
    first = called[:: 2 * (WARM_UP_CALLS + 2)]
    assert 4 < first.count("a") < 16  # 10 expected, 2.2 the standard deviation; always the same, the seed being fixed


def test_of_several_arms_each_has_every_place_once_in_as_many_blocks():
    several = [WorkerSpec(name, {}) for name in "abcd"]
    orders = [[each.name for each in start_order(several, number, 4)] for number in range(12)]
    for first in range(0, 12, 4):
        for place in range(4):
            assert {order[place] for order in orders[first : first + 4]} == set("abcd")
    assert len({tuple(orders[first]) for first in (0, 4, 8)}) > 1
    assert start_order(several, 0, 4) != start_order(several, 0, 5)


def test_a_block_takes_the_order_it_is_given_and_rounds_alone_draw_one(fake_workers):
    draw = random.Random(1)
    for measure in [module.one_block] * 10 + [lambda *how: list(interleaved(*how))] * 10:
        measure(ARMS, [[A, B]], 2, draw, None)
    first = [name for event, name, _ in fake_workers if event == "start"][::2]
    assert first[:10] == ["a"] * 10
    assert set(first[10:]) == {"a", "b"}


def test_the_same_seed_gives_the_same_order_and_another_one_another(fake_workers):
    orders = []
    for seed in (1, 1, 2):
        fake_workers.clear()
        take(10, ARMS, [A, B], rounds=6, seed=seed)
        orders.append(list(fake_workers))
    assert orders[0] == orders[1] != orders[2]


def test_all_workers_share_one_core_if_they_are_pinned(fake_workers, monkeypatch):
    monkeypatch.setattr(module, "pinnable_core", lambda: 7)
    take(1, ARMS, [A, B])
    assert {core for _, _, core in fake_workers} == {7}
    assert not [event for event, *_ in fake_workers if event == "sleep"]  # on one core nothing spins


@pytest.mark.parametrize(
    ("core", "queued_s", "together"),
    [(7, 0.0, True), (7, None, False), (None, 0.0, False)],
)
def test_workers_that_share_a_core_start_side_by_side_where_their_waiting_is_counted(
    fake_workers, monkeypatch, core, queued_s, together
):
    monkeypatch.setattr(module, "queued_s", lambda: queued_s)
    module.one_block(ARMS, [[A, B]], 2, random.Random(1), core)
    opening = [event for event, *_ in fake_workers[:6]]
    assert opening == (["start", "begin"] * 2 + ["open"] * 2 if together else ["start", "begin", "open"] * 2)


def test_unpinned_arms_wait_for_the_others_threads_to_sleep(fake_workers):
    take(1, ARMS, [A, B], rounds=2, pinned=False)
    timed = fake_workers[6 + 2 * WARM_UP_CALLS : -2]
    calls = [name for event, name, _ in timed if event == "call"]
    changes = 1 + sum(one != other for one, other in pairwise(calls))
    assert [event for event, *_ in timed].count("sleep") == changes
    assert {core for _, _, core in fake_workers} == {None}


def test_each_probe_precedes_each_other_equally_often():
    probes = [A, B, *FOURS]
    for groups in ([probes], [(A, B), FOURS]):
        before = Counter()
        for order in balanced_orders(groups, 10, random.Random(5)):
            assert sorted(order, key=str) == sorted(probes, key=str)
            before.update((order[i], order[j]) for i in range(4) for j in range(i + 1, 4))
        assert before == dict.fromkeys(permutations(probes, 2), 5)


def test_calls_that_are_compared_stand_side_by_side_in_an_order_that_is_drawn():
    orders = list(balanced_orders([(A, B), FOURS], 40, random.Random(5)))
    assert {frozenset(order[i : i + 2]) for order in orders for i in (0, 2)} == {frozenset((A, B)), frozenset(FOURS)}
    assert len({tuple(order) for order in orders}) == 8  # two orders of the groups, two in each of both


def test_a_block_keeps_its_rounds_without_the_warm_up(monkeypatch):
    seconds = iter([9.0] * WARM_UP_CALLS + [5.0, 1.0, 2.0])
    monkeypatch.setattr(Fake, "call", lambda *_: next(seconds))
    monkeypatch.setattr(module, "Worker", lambda arm, core: Fake(arm, core, []))
    [block] = take(1, ARMS[:1], [A], rounds=3)
    assert block == Block([{A: 5.0}, {A: 1.0}, {A: 2.0}], {"a": 0.5}, {"a": 9})
    assert block.median_s(A) == 2.0


def a_over_b(seconds):
    return seconds[A] / seconds[B]


def test_log_ratios_are_one_a_block():
    measured = [Block([{A: a, B: 1.0}], {}, {}) for a in (2.0, 1.0)]
    assert log_ratios(measured, a_over_b) == [math.log(2), 0.0]


def test_a_block_is_judged_by_the_median_of_its_rounds():
    block = Block([{A: a, B: 2.0} for a in (2.0, 4.0, 400.0)], {}, {})
    assert block.log_ratio(a_over_b) == math.log(2)


def test_a_machine_that_turns_slow_half_way_through_leaves_the_ratio_alone():
    """The first and the last rounds took ten times as long; in the third it turned between a's call and b's."""
    times = [(10.0, 10.0), (1.0, 1.0), (1.0, 10.0), (10.0, 10.0), (1.0, 1.0)]
    block = Block([{A: 1.05 * a, B: b} for a, b in times], {}, {})
    assert block.log_ratio(a_over_b) == pytest.approx(math.log(1.05))
    assert block.median_s(A) / block.median_s(B) == pytest.approx(0.105)


@pytest.mark.slow
def test_an_arm_whose_calls_take_five_times_as_long_is_the_slower_one(arm):
    measured = take(3, [arm("a", call_s=0.1), arm("b", call_s=0.02)], [A, B], rounds=4)
    assert min(log_ratios(measured, a_over_b)) > math.log(2)


def test_a_block_says_how_long_each_side_took_to_start_and_how_much_memory_it_had(arm):
    [block] = take(1, [arm("a"), replace(arm("b"), environment={**arm("b").environment, "SLOW_START": "0.7"})], [A, B])
    assert block.startup_s["a"] > 0
    assert block.startup_s["b"] > 0.7
    assert all(MIB < peak < 200 * MIB for peak in block.peak_bytes.values())


@pytest.mark.parametrize(
    ("how", "words"),
    [("refuse", "ValueError: it will not open"), ("die", "MemoryError: no room for a tensor")],
)
def test_a_worker_that_dies_is_named_with_its_last_words_and_takes_the_others_along(arm, log, how, words):
    with pytest.raises(ProcessDiedError, match=f"arm b: {words}"):
        take(1, [arm("a"), arm("b", **{how: True})], [A, B])
    nobody_left(log)


def test_a_worker_that_hangs_is_given_up(arm, log, monkeypatch):
    monkeypatch.setattr(worker_client, "CALL_TIMEOUT_S", 0.5)
    with pytest.raises(ProcessDiedError, match="arm a: no answer within"):
        take(1, [arm("a", hang=True)], [A])
    nobody_left(log)


def test_a_call_is_given_the_time_that_the_caller_has(arm, log):
    with (
        pytest.raises(ProcessDiedError, match=r"arm a: no answer within 0\.5 s"),
        Worker(arm("a", hang=True), None) as a,
    ):
        a.open(60)
        a.call(A, 0.5)
    nobody_left(log)


def test_a_worker_with_much_output_is_not_blocked(arm, package):
    calls = package / "midas_bench/depth/calls.py"
    calls.write_text(calls.read_text().replace('"what libraries say"', '"what libraries say" * 100_000'))
    assert take(1, [arm("a")], [A])


def test_ctrl_c_ends_the_workers(arm, package, log):
    """Interrupt a process in the middle of a call, and see that it takes its workers along."""
    script = f"""
from midas_bench.measure.worker_client import TimedCall, WorkerSpec
from midas_bench.measure.blocks import blocks
how = {arm("a", hang=True).pipelines!r}
blocks([WorkerSpec("a", how, {{"PYTHONPATH": {str(package)!r}}})], [[TimedCall("a", "one")]], 2, 1, 1)
"""
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) as parent:
        end_s = time.monotonic() + 60
        while not log.exists() or "begin" not in log.read_text():
            assert parent.poll() is None
            assert time.monotonic() < end_s
            time.sleep(0.02)
        parent.send_signal(2)
        assert "KeyboardInterrupt" in parent.communicate(timeout=60)[1]
    nobody_left(log)


def test_stopping_early_ends_the_workers_too(arm, log):
    endless = interleaved([arm("a")], [[A]], 1000, random.Random(1), None)
    next(endless)
    endless.close()
    nobody_left(log)
