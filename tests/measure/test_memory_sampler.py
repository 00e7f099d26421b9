import subprocess
import sys
from types import SimpleNamespace

import pytest

from midas_bench.measure import memory_sampler
from midas_bench.measure.memory_sampler import MemorySampler
from midas_bench.processes import ask
from midas_bench.results.units import MIB

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's high-water mark is Linux's")

ALLOCATED_MIB = 300
PATIENCE_S = 60.0

CALLEE = """
import sys, time
from midas_bench.measure import memory_sampler
from midas_bench.processes import answer

def handle(request):
    baseline = memory_sampler.resident_bytes()
    block = bytearray(request["mib"] << 20)
    block[::4096] = b"x" * len(block[::4096])  # a page that is not touched is not resident
    time.sleep(request.get("sleep_s", 0))
    held = memory_sampler.resident_bytes()
    del block
    time.sleep(request.get("sleep_s", 0))
    after, peak = memory_sampler.resident_bytes(), memory_sampler.peak_bytes()
    return {"baseline": baseline, "held": held, "after": after, "peak": peak}

if __name__ == "__main__":
    sys.exit(answer(handle))
"""
LARGE_PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from midas_bench.processes import ask
block = bytearray(600 << 20)
block[::4096] = b"x" * len(block[::4096])
print(ask("callee", {"mib": 0}, 60)["peak"])
"""


@pytest.fixture
def callee(tmp_path, monkeypatch):
    (tmp_path / "callee.py").write_text(CALLEE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "callee"


@linux
def test_the_peak_is_what_was_allocated_within_five_percent(callee):
    reply = ask(callee, {"mib": ALLOCATED_MIB}, PATIENCE_S)
    assert reply["held"] - reply["baseline"] == pytest.approx(ALLOCATED_MIB * MIB, rel=0.05)
    assert reply["peak"] - reply["baseline"] == pytest.approx(ALLOCATED_MIB * MIB, rel=0.05)


@linux
def test_the_peak_stays_when_the_memory_is_given_back(callee):
    reply = ask(callee, {"mib": ALLOCATED_MIB}, PATIENCE_S)
    assert reply["after"] - reply["baseline"] < 0.1 * ALLOCATED_MIB * MIB
    assert reply["peak"] == pytest.approx(reply["held"], rel=0.01)  # the kernel counts in batches of pages


@linux
def test_the_peak_is_not_inherited_from_a_large_parent(callee, tmp_path):
    assert callee == "callee"
    ran = subprocess.run([sys.executable, "-c", LARGE_PARENT, str(tmp_path)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert 5 * MIB < int(ran.stdout) < 100 * MIB


@pytest.mark.parametrize("status", [b"", b"Name:\tpython\nVmRSS:\t 1024 kB\n", b"Name:\tcaf\xe9\n"])
def test_a_status_without_the_mark_has_no_peak(tmp_path, monkeypatch, status):
    monkeypatch.setattr(memory_sampler.psutil, "Process", lambda _: SimpleNamespace(memory_info=lambda: ()))
    (tmp_path / "7").mkdir()
    (tmp_path / "7/status").write_bytes(status)
    assert memory_sampler.peak_bytes(7, tmp_path) is None


def test_the_kernels_mark_is_read_in_bytes(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7/status").write_text(
        "Name:\tpython\nVmPeak:\t  999999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"
    )
    assert memory_sampler.peak_bytes(7, tmp_path) == 2 * MIB


def test_a_system_without_proc_has_no_peak(tmp_path):
    assert memory_sampler.peak_bytes(proc=tmp_path / "no_proc") is None


def test_the_peak_on_windows_is_peak_wset(tmp_path, monkeypatch):
    class Process:
        def __init__(self, pid):
            assert pid is None

        def memory_info(self):
            return type("Info", (), {"peak_wset": 3 * MIB})()

    monkeypatch.setattr(memory_sampler.psutil, "Process", Process)
    assert memory_sampler.peak_bytes(proc=tmp_path / "no_proc") == 3 * MIB


def test_memory_over_time_is_seen_from_outside(callee):
    sampler = MemorySampler()
    reply = ask(callee, {"mib": ALLOCATED_MIB, "sleep_s": 0.8}, PATIENCE_S, started=sampler.start)
    sampler.finish()
    assert len(sampler.t_s) == len(sampler.rss_bytes) >= 5
    assert sampler.t_s[0] == 0
    assert sampler.t_s == sorted(sampler.t_s)
    assert sampler.t_s[-1] >= 1.2
    # it rises and falls again, and its highest is the peak where a system keeps no mark
    assert max(sampler.rss_bytes) == pytest.approx(reply["held"], rel=0.05)
    assert sampler.rss_bytes[0] < 0.5 * reply["held"]
    assert min(sampler.rss_bytes[len(sampler.rss_bytes) // 2 :]) < 0.5 * reply["held"]
    assert all(isinstance(size, int) for size in sampler.rss_bytes)


def test_the_memory_sampler_ends_with_its_process():
    sampler = MemorySampler()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], text=True) as child:
        sampler.start(child)
        child.kill()
    sampler.finish()
    assert not sampler._thread.is_alive()


def test_a_memory_sampler_that_was_not_started_finishes_at_once():
    sampler = MemorySampler()
    sampler.finish()
    assert sampler.rss_bytes == []


def test_resident_bytes_of_this_process_are_plausible():
    assert 5 * MIB < memory_sampler.resident_bytes() < 64 << 30
