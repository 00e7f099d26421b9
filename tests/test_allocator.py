import io
import os
import subprocess
import sys
import tempfile

import pytest

from midas_bench import allocator, processes
from midas_bench.measure import machine
from midas_bench.measure.worker_client import Worker, WorkerSpec

GLIBC = allocator.takes_effect()
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@pytest.fixture(autouse=True)
def glibc(monkeypatch):
    monkeypatch.setattr(allocator, "takes_effect", lambda: True)
    for name in allocator.OWN_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def started(monkeypatch):
    """Start nothing, and give the environments that processes were to be started with."""
    environments = []

    class NotStarted(Exception):  # noqa: N818
        pass

    def popen(*_, env, **__):
        environments.append(env)
        raise NotStarted

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_, **__: io.StringIO())

    def start(environment=None):
        with pytest.raises(NotStarted):
            processes.ask("some.module", {}, 1, environment=environment)
        with pytest.raises(NotStarted):
            Worker(WorkerSpec("an arm", {}, environment), None)
        return environments

    return start


def test_huge_pages_are_asked_for_where_glibc_reads_it(monkeypatch):
    assert allocator.settings({"PATH": "/bin"}) == HUGE_PAGES
    monkeypatch.setattr(allocator, "takes_effect", lambda: False)
    assert allocator.settings({"PATH": "/bin"}) == {}


@pytest.mark.parametrize("name", allocator.OWN_VARIABLES)
def test_whoever_has_chosen_an_allocator_keeps_it(name):
    assert allocator.settings({name: "anything, or nothing"}) == {}
    assert allocator.settings({name: ""}) == {}


def test_processes_that_the_suite_starts_get_it(started):
    ours = started()
    assert [environment["GLIBC_TUNABLES"] for environment in ours] == ["glibc.malloc.hugetlb=1"] * 2
    assert "GLIBC_TUNABLES" not in os.environ


def test_a_callers_or_users_own_setting_wins(started, monkeypatch):
    ours = started({"GLIBC_TUNABLES": "glibc.malloc.check=3"})
    assert [environment["GLIBC_TUNABLES"] for environment in ours] == ["glibc.malloc.check=3"] * 2
    ours.clear()
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    assert all("GLIBC_TUNABLES" not in environment for environment in started())


def test_a_run_records_what_was_set_and_for_whom(monkeypatch):
    environment = machine.inspect().environment
    assert environment["GLIBC_TUNABLES (started processes)"] == "glibc.malloc.hugetlb=1"
    assert environment["mallopt (pytest's process)"].startswith("M_MMAP_MAX=0 ")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=3")
    environment = machine.inspect().environment
    assert environment["GLIBC_TUNABLES"] == "glibc.malloc.check=3"
    assert set(environment) & {"GLIBC_TUNABLES (started processes)", "mallopt (pytest's process)"} == set()


FAULTS = """
import os, resource, sys
from midas_bench import allocator
kept = allocator.keep_memory(os.environ) if sys.argv[1] == "keep" else None
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range(6):
    before = faults()
    blocks = [b"." * (size << 20) for size in (2, 30, 60)]
    del blocks
print(kept, faults() - before)
"""


@pytest.mark.skipif(not GLIBC, reason="needs glibc")
def test_memory_that_is_kept_is_not_mapped_again():
    def ran(how, **more):
        environment = {**os.environ, **more}
        command = [sys.executable, "-c", FAULTS, how]
        kept, faults = subprocess.check_output(command, env=environment, text=True).split()
        return kept, int(faults)

    assert ran("keep")[0] == "True"
    assert ran("keep")[1] < 100
    assert ran("leave")[1] > 10_000
    assert ran("keep", MALLOC_TOP_PAD_="1")[0] == "False"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_whether_it_takes_effect_is_asked_of_the_c_library(monkeypatch):
    monkeypatch.undo()
    ran = subprocess.run(["getconf", "GNU_LIBC_VERSION"], capture_output=True, text=True, check=False)
    assert allocator.takes_effect() == (ran.returncode == 0)
