import math
import os
import random
import subprocess
import sys
import time
from collections import Counter
from itertools import islice, pairwise, permutations
from pathlib import Path

import numpy as np
import psutil
import pytest

from midas_bench.measure import blocks as module
from midas_bench.measure.blocks import WARM_UP_CALLS, Arm, Probe, balanced_orders, blocks, log_ratios
from midas_bench.processes import ProcessDiedError

A, B = Probe("a", "one"), Probe("b", "one")
CALL_S = 0.002


@pytest.fixture
def package(tmp_path):
    """Put a package named like ours, with nothing but calls that sleep, where a worker finds it first."""
    folder = tmp_path / "tree/midas_bench/depth"
    folder.mkdir(parents=True)
    for path in (folder.parent / "__init__.py", folder / "__init__.py"):
        path.touch()
    (folder / "calls.py").write_text((Path(__file__).parent / "fake_calls.py").read_text())
    return tmp_path / "tree"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def arm(package, log):
    """Make an arm of one pipeline: `arm("a", call_s=0.01)`."""

    def made(name, **config):
        how = {"photos": [], "config": {"name": name, "log": str(log), "call_s": CALL_S, **config}}
        return Arm(name, {"one": how}, {"PYTHONPATH": str(package)})

    return made


def events(log):
    """Give (arm, process id, event) of each line."""
    return [tuple(line.split()) for line in log.read_text().splitlines()]


def nobody_left(log):
    pids = {int(pid) for _, pid, _ in events(log)}
    assert pids
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def take(count, arms, probes, rounds=2, seed=1, **how):
    return list(islice(blocks(arms, probes, rounds, seed, **how), count))


def test_workers_are_started_anew_for_each_block_and_none_is_left(arm, log):
    found = take(2, [arm("a"), arm("b")], [A, B])
    assert [block.keys() for block in found] == [{A, B}, {A, B}]
    assert all(CALL_S <= seconds < 1 for block in found for seconds in block.values())
    opened = [(name, pid) for name, pid, event in events(log) if event == "open"]
    assert Counter(name for name, _ in opened) == {"a": 2, "b": 2}
    assert len({pid for _, pid in opened}) == 4
    nobody_left(log)


def test_each_probe_is_warmed_up_and_then_called_as_often_as_asked(arm, log):
    take(1, [arm("a"), arm("b")], [A, B], rounds=4)
    begun = [name for name, _, event in events(log) if event == "begin"]
    assert begun[: 2 * WARM_UP_CALLS] == ["a"] * WARM_UP_CALLS + ["b"] * WARM_UP_CALLS
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

    def open(self):
        self.log.append(("open", self.arm.name, self.core))

    def call(self, probe):
        self.log.append(("call", probe.arm, self.core))
        return {"a": 2.0, "b": 3.0}[probe.arm]


@pytest.fixture
def fake_workers(monkeypatch):
    log = []
    monkeypatch.setattr(module, "Worker", lambda arm, core: Fake(arm, core, log))
    monkeypatch.setattr(module.time, "sleep", lambda seconds: log.append(("sleep", seconds, None)))
    return log


ARMS = [Arm("a", {}), Arm("b", {})]


def test_the_arm_that_starts_first_is_drawn_anew_for_each_block(fake_workers):
    take(200, ARMS, [A, B])
    started = [name for event, name, _ in fake_workers if event == "start"]
    first = Counter(started[::2])
    assert 60 < first["a"] < 140  # 100 expected, 7 the standard deviation
    assert all({one, two} == {"a", "b"} for one, two in zip(started[::2], started[1::2], strict=True))


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


def test_unpinned_arms_wait_for_the_others_threads_to_sleep(fake_workers):
    take(1, ARMS, [A, B], rounds=2, pinned=False)
    timed = fake_workers[4 + 2 * WARM_UP_CALLS : -2]
    calls = [name for event, name, _ in timed if event == "call"]
    changes = 1 + sum(one != other for one, other in pairwise(calls))
    assert [event for event, *_ in timed].count("sleep") == changes
    assert {core for _, _, core in fake_workers} == {None}


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot pin")
def test_a_pinned_worker_runs_on_the_core_it_was_given(arm):
    core = max(os.sched_getaffinity(0))
    with module.Worker(arm("a"), core) as worker:
        worker.open()
        assert psutil.Process(worker._process.pid).cpu_affinity() == [core]


def test_each_probe_precedes_each_other_equally_often():
    probes = [A, B, Probe("a", "four"), Probe("b", "four")]
    before = Counter()
    for order in balanced_orders(probes, 10, random.Random(5)):
        assert sorted(order, key=str) == sorted(probes, key=str)
        before.update((order[i], order[j]) for i in range(4) for j in range(i + 1, 4))
    assert before == dict.fromkeys(permutations(probes, 2), 5)


def test_a_blocks_figure_is_the_median_of_its_calls(monkeypatch):
    seconds = iter([9.0] * WARM_UP_CALLS + [5.0, 1.0, 2.0])
    monkeypatch.setattr(Fake, "call", lambda *_: next(seconds))
    monkeypatch.setattr(module, "Worker", lambda arm, core: Fake(arm, core, []))
    assert take(1, ARMS[:1], [A], rounds=3) == [{A: 2.0}]


def test_log_ratios_are_one_a_block():
    assert log_ratios([{A: 2.0, B: 1.0}, {A: 1.0, B: 1.0}], lambda block: block[A] / block[B]) == [math.log(2), 0.0]


def test_an_injected_slowdown_of_a_fifth_is_found(arm):
    found = take(3, [arm("a", call_s=0.012), arm("b", call_s=0.010)], [A, B], rounds=6)
    logs = log_ratios(found, lambda block: block[A] / block[B])
    assert float(np.median(logs)) == pytest.approx(math.log(1.2), abs=0.1)


@pytest.mark.parametrize(
    ("how", "words"),
    [("refuse", "ValueError: it will not open"), ("die", "MemoryError: no room for a tensor")],
)
def test_a_worker_that_dies_is_named_with_its_last_words_and_takes_the_others_along(arm, log, how, words):
    with pytest.raises(ProcessDiedError, match=f"arm b: {words}"):
        take(1, [arm("a"), arm("b", **{how: True})], [A, B])
    nobody_left(log)


def test_a_worker_that_is_killed_while_it_waits_is_a_dead_one(arm):
    with module.Worker(arm("a"), None) as worker:
        worker.open()
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(ProcessDiedError, match="arm a: "):
            worker.call(A)


def test_a_worker_that_hangs_is_given_up(arm, log, monkeypatch):
    monkeypatch.setattr(module, "CALL_TIMEOUT_S", 0.5)
    with pytest.raises(ProcessDiedError, match="arm a: no answer within"):
        take(1, [arm("a", hang=True)], [A])
    nobody_left(log)


def test_a_worker_that_says_a_lot_is_not_stuck(arm, package):
    calls = package / "midas_bench/depth/calls.py"
    calls.write_text(calls.read_text().replace('"what libraries say"', '"what libraries say" * 100_000'))
    assert take(1, [arm("a")], [A])


def test_ctrl_c_ends_the_workers(arm, package, log):
    """Interrupt a process in the middle of a call, and see that it takes its workers along."""
    script = f"""
from itertools import islice
from midas_bench.measure.blocks import Arm, Probe, blocks
how = {arm("a", hang=True).pipelines!r}
list(islice(blocks([Arm("a", how, {{"PYTHONPATH": {str(package)!r}}})], [Probe("a", "one")], 2, 1), 1))
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
    endless = blocks([arm("a")], [A], 2, 1)
    next(endless)
    endless.close()
    nobody_left(log)
