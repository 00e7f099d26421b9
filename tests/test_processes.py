import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from midas_bench.errors import UserError
from midas_bench.processes import ProcessDiedError, ask

CALLEE = """
import os, signal, sys, time
from midas_bench.errors import UserError
from midas_bench.processes import answer

def echo(request):
    print("noise on stdout")
    os.write(1, b"more of it, \\xff")
    return request

def refuse(request):
    raise UserError("Zoë.jpg", "is\\nodd", "look")

def crash(request):
    raise ZeroDivisionError("of all things")

def die(request):
    os.kill(os.getpid(), signal.SIGKILL)

def sleep(request):
    if "begun" in request:
        open(request["begun"], "w").close()
    time.sleep(600)

def variable(request):
    return {"value": os.environ.get(request["name"])}

if __name__ == "__main__":
    sys.exit(answer(lambda request: globals()[request["do"]](request)))
"""

PATIENCE_S = 60.0


@pytest.fixture
def callee(tmp_path, monkeypatch):
    (tmp_path / "callee.py").write_text(CALLEE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "callee"


def test_the_reply_comes_back_whatever_libraries_print(callee):
    request = {"do": "echo", "text": "Zoë ☃", "number": 1.5, "none": None}
    assert ask(callee, request, PATIENCE_S) == request


def test_the_childs_user_error_is_raised_as_its_parts(callee):
    with pytest.raises(UserError) as caught:
        ask(callee, {"do": "refuse"}, PATIENCE_S)
    assert (caught.value.thing, caught.value.reason, caught.value.next_step) == ("Zoë.jpg", "is\nodd", "look")


@pytest.mark.parametrize(
    ("do", "how", "next_step"),
    [
        ("crash", "exit code 1: ZeroDivisionError: of all things", ""),
        ("die", r"killed by SIGKILL \(out of memory\?\)", "free some memory, or raise its limit"),
    ],
)
def test_a_child_that_dies_says_how_and_what_to_do_where_that_tells(callee, do, how, next_step):
    with pytest.raises(ProcessDiedError, match=how) as caught:
        ask(callee, {"do": do}, PATIENCE_S)
    assert caught.value.next_step == next_step


def test_a_module_that_does_not_exist_is_no_answer():
    with pytest.raises(ProcessDiedError, match="no_such_module"):
        ask("no_such_module", {}, PATIENCE_S)


def test_a_child_that_does_not_answer_is_killed(callee):
    started = []
    with pytest.raises(ProcessDiedError, match="no answer within") as caught:
        ask(callee, {"do": "sleep"}, 0.1, started=started.append)
    assert caught.value.next_step == "try again when less runs here"
    assert started[0].returncode == -signal.SIGKILL


def test_a_child_does_not_outlive_an_interrupt(callee):
    started = []

    def interrupt(child):
        started.append(child)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(callee, {"do": "sleep"}, PATIENCE_S, started=interrupt)
    assert started[0].returncode == -signal.SIGKILL


def test_variables_are_set_for_the_child_alone(callee):
    reply = ask(callee, {"do": "variable", "name": "ODD"}, PATIENCE_S, environment={"ODD": "yes"})
    assert reply == {"value": "yes"}
    assert "ODD" not in os.environ


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_child_dies_with_a_parent_that_is_killed(callee, tmp_path):
    begun = tmp_path / "begun"
    script = f"""
from midas_bench.processes import ask
request = {{"do": "sleep", "begun": {str(begun)!r}}}
ask({callee!r}, request, 600, started=lambda child: print(child.pid, flush=True))
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        until(begun.exists)
        parent.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def until(happened, patience_s=20.0):
    end_s = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < end_s, "it never happened"
        time.sleep(0.05)


WITHOUT_ERRORS = """
import os, sys
from midas_bench.processes import STANDARD_ERROR, without_output
with without_output(STANDARD_ERROR):
    os.write(1, b"an answer")
    os.write(2, b"an announcement")
print("an error", file=sys.stderr)
"""


def test_what_they_print_to_standard_error_is_dropped_by_itself():
    ran = subprocess.run([sys.executable, "-c", WITHOUT_ERRORS], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("an answer", "an error\n")


WITHOUT_OUTPUT = """
import ctypes, os, sys
from midas_bench.processes import without_output
libc = ctypes.CDLL(None)
libc.printf(b"before, ")
with without_output():
    libc.printf(b"native, buffered")
    os.write(1, b"native, at once")
print("after")
"""


def test_what_native_libraries_print_is_dropped_and_no_more():
    ran = subprocess.run([sys.executable, "-c", WITHOUT_OUTPUT], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("before, after\n", "")


def test_dropping_output_needs_none():
    closed = "import os; os.close(1); from midas_bench.processes import without_output\nwith without_output(): pass"
    assert subprocess.run([sys.executable, "-c", closed], capture_output=True, text=True, check=True).stderr == ""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child outlives its parent's SIGKILL")
def test_another_program_that_is_tied_ends_with_its_parent():
    program = [sys.executable, "-c", "import time; print('runs', flush=True); time.sleep(600)"]
    parent_code = f"import subprocess\nfrom midas_bench.processes import tied\nsubprocess.run(tied({program!r}))"
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "runs\n"
        [child] = psutil.Process(parent.pid).children()
        # it became the program
        assert child.cmdline() == program
        parent.kill()
    gone, _ = psutil.wait_procs([child], 10)
    assert gone or child.status() == psutil.STATUS_ZOMBIE


ADOPT = """
import os, signal, subprocess, sys, time
import psutil
from midas_bench.processes import adopt_orphans, wait_for_ended

def own_s():
    used = os.times()
    return used.children_user + used.children_system

adopt_orphans()
# a child that ends at once, and leaves one behind that works
busy = "while True: pass"
left = (
    "import subprocess, sys; "
    "quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
    "print(subprocess.Popen([sys.executable, '-c', sys.argv[1]], **quiet).pid)"
)
orphan = int(subprocess.run([sys.executable, "-c", left, busy], capture_output=True, check=True).stdout)
while sum(psutil.Process(orphan).cpu_times()[:2]) < 0.5:
    time.sleep(0.01)
before_s = own_s()
os.kill(orphan, signal.SIGKILL)
wait_for_ended([orphan], 20)
print(psutil.pid_exists(orphan), own_s() - before_s >= 0.5)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")
def test_the_processor_seconds_of_adopted_orphans_count_as_ones_own():
    ran = subprocess.run([sys.executable, "-c", ADOPT], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stdout.split() == ["False", "True"], ran.stderr
