"""What runs on a node: a suite that ends with the task that started it, in the node's own environment."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from midas_bench.fleet import node_run
from midas_bench.fleet.node_run import Ended, run_suite

SLEEPS = "import time; time.sleep(300)"
STARTS_OTHERS = f"""
import subprocess, sys
for session in (False, True):
    subprocess.Popen([sys.executable, "-c", {SLEEPS!r}], start_new_session=session)
print("ready", flush=True)
{SLEEPS}
"""
LAUNCHES = f"""
import subprocess, sys, time
waits = "print('up', flush=True); {SLEEPS}"
child = subprocess.Popen([sys.executable, "-m", {node_run.LAUNCHER!r}, "0", sys.executable, "-c", waits])
print(child.pid, flush=True)
time.sleep(300)
"""


def is_running(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_all_that_a_process_started_ends_with_it():
    process = subprocess.Popen([sys.executable, "-c", STARTS_OTHERS], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    children = psutil.Process(process.pid).children()
    assert len(children) == 2
    node_run.end(process)
    assert process.returncode == -signal.SIGKILL
    _, alive = psutil.wait_procs(children, timeout=30)
    assert [child for child in alive if is_running(child.pid)] == []
    process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's kernel")
def test_a_suite_dies_with_the_worker_that_started_it(until):
    worker = subprocess.Popen([sys.executable, "-c", LAUNCHES], stdout=subprocess.PIPE, text=True)
    told = {worker.stdout.readline().strip(), worker.stdout.readline().strip()}
    [pid] = [int(word) for word in told - {"up"}]
    assert is_running(pid)
    worker.kill()
    worker.communicate()
    until(lambda: not is_running(pid))


def test_the_suite_gets_the_variables_of_the_node_and_none_of_rays(monkeypatch):
    given = {"PATH": "/bin", "RAY_ADDRESS": "x", "MALLOC_ARENA_MAX": "1"}
    monkeypatch.setattr(psutil.Process, "environ", lambda _: given)
    assert node_run.node_environment() == {"PATH": "/bin", "MALLOC_ARENA_MAX": "1"}


def test_where_the_nodes_variables_cannot_be_read_rays_thread_count_is_left_out(monkeypatch):
    def denied(_):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "environ", denied)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_JOB_ID", "1")
    environment = node_run.node_environment()
    assert environment["PATH"] == os.environ["PATH"]
    assert not {"OMP_NUM_THREADS", "RAY_JOB_ID"} & environment.keys()


@pytest.fixture
def own_environment(monkeypatch):
    monkeypatch.setattr(node_run, "node_environment", lambda: dict(os.environ))


@pytest.mark.usefixtures("own_environment")
def test_what_the_suite_prints_and_its_end_are_sent():
    *pieces, ended = run_suite(["--collect-only", "-q", "test_pipeline.py", "-k", "b1", "--backend", "onnx"], {})
    text = b"".join(piece.content for some in pieces for piece in some).decode()
    assert "test_pipeline.py::test_pipeline[onnx-b1-street]" in text
    assert ended == Ended(0, (node_run.LOG,))


@pytest.mark.usefixtures("own_environment")
def test_a_run_that_is_abandoned_leaves_neither_process_nor_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(node_run.tempfile, "mkdtemp", lambda **_: str(tmp_path))
    started = []
    monkeypatch.setattr(node_run, "end", lambda process: (started.append(process), process.kill(), process.wait()))
    run = run_suite(["--help"], {".benchmarks/a/journal-1.jsonl": b"{}\n"})
    next(run)
    run.close()
    assert started[0].returncode is not None
    assert not tmp_path.exists()
