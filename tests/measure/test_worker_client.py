"""The parent's end of a worker process."""

import os
import signal
import sys
import time

import psutil
import pytest

from midas_bench.measure.worker import queued_s
from midas_bench.measure.worker_client import TimedCall, Worker
from midas_bench.processes import ProcessDiedError

A = TimedCall("a", "one")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot pin")
def test_a_pinned_worker_runs_on_the_core_it_was_given(arm):
    core = max(os.sched_getaffinity(0))
    with Worker(arm("a"), core) as worker:
        worker.open()
        assert psutil.Process(worker._process.pid).cpu_affinity() == [core]


@pytest.mark.parametrize(("queued_s", "startup_s"), [(None, 2.0), (0.5, 1.5)])
def test_start_up_ends_when_the_worker_is_ready_and_leaves_out_its_waiting_for_the_core(
    arm, monkeypatch, queued_s, startup_s
):
    with Worker(arm("a"), None) as worker:
        reply = {"ready": {}, "at_s": worker._start_s + 2.0, "queued_s": queued_s}
        monkeypatch.setattr(worker, "_receive", lambda _: reply)
        worker.open()
        assert worker.startup_s == pytest.approx(startup_s)


@pytest.mark.skipif(queued_s() is None, reason="this kernel does not count the time in the queue")
def test_workers_that_start_on_one_core_do_not_count_each_others_time(arm):
    core = max(os.sched_getaffinity(0))
    start_s = time.perf_counter()
    with Worker(arm("a", busy_start_s=0.5), core) as a, Worker(arm("b", busy_start_s=0.5), core) as b:
        for worker in (a, b):
            worker.begin_opening()
        for worker in (a, b):
            worker.finish_opening()
        took_s = time.perf_counter() - start_s
        # with the time of the other, each would have taken nearly all of it
        assert 0.9 < a.startup_s + b.startup_s < 1.4 * took_s


def test_what_a_call_returns_can_be_written_for_comparing(arm, tmp_path):
    with Worker(arm("a"), None) as worker:
        assert worker.open() == {"one": ["inference", "pipeline"]}
        saved = worker.save(A, tmp_path / "pixels")
        assert (saved.shapes, saved.dtype) == ([(2, 2, 3), (1, 1, 3)], "uint8")
    assert (tmp_path / "pixels").read_bytes() == bytes(12) + b"\1\1\1"


def test_the_parts_that_a_call_timed_itself_are_calls_of_their_own(arm):
    with Worker(arm("a", elsewhere_s=8.0), None) as worker:
        worker.open()
        assert worker.call_in_parts(A) == {A: 8.0, A.part("decode"): 2.0}
        assert worker.call(A) == 8.0
    with Worker(arm("b"), None) as worker:
        worker.open()
        assert worker.call_in_parts(TimedCall("b", "one")).keys() == {TimedCall("b", "one")}


def test_a_worker_that_is_killed_while_it_waits_is_a_dead_one(arm):
    with Worker(arm("a"), None) as worker:
        worker.open()
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(ProcessDiedError, match=r"arm a: killed by SIGKILL .*: what libraries say"):
            worker.call(A)


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
@pytest.mark.parametrize("worker_dies", [False, True])
def test_what_a_worker_starts_ends_with_it_and_does_not_hold_up_its_end(arm, package, log, worker_dies):
    calls = package / "midas_bench/depth/calls.py"
    starting = """log("open")
    pid = os.fork()  # which holds the pipe of the replies, as a worker of multiprocessing does
    if not pid:
        time.sleep(600)
    log(f"child {pid}")"""
    calls.write_text(calls.read_text().replace('log("open")', starting))
    with Worker(arm("a"), None) as worker:
        worker.open()
        [child] = [psutil.Process(int(line.split()[-1])) for line in log.read_text().splitlines() if "child" in line]
        if worker_dies:
            worker._process.send_signal(signal.SIGKILL)
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
