"""One arm of a comparison, spoken to as `blocks` does."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from midas_bench import NO_TELEMETRY
from midas_bench.measure import worker
from midas_bench.measure.worker_client import Worker, WorkerSpec

SCRIPT = Path(worker.__file__)
CALLS = ["inference", "pipeline"]


def spoken_to(package, *requests):
    ran = subprocess.run(
        [sys.executable, "-P", str(SCRIPT)],
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(package)},
    )
    return ran, [json.loads(line) for line in ran.stdout.splitlines()]


def opening(tmp_path, *names, **config):
    log = str(tmp_path / "log")
    pipelines = {n: {"photos": [], "config": {"name": n, "log": log, "call_s": 0.01, **config}} for n in names}
    return {"open": pipelines}


def test_a_worker_opens_pipelines_calls_them_and_closes_them_when_stdin_ends(package, tmp_path):
    request = opening(tmp_path, "two", "one")
    calls = [{"pipeline": "one", "call": "pipeline"}, {"pipeline": "two", "call": "inference"}]
    ran, replies = spoken_to(package, request, *calls)
    assert ran.returncode == 0, ran.stderr
    assert replies[0]["ready"] == {"one": CALLS, "two": CALLS}
    assert all(0.01 <= reply["seconds"] < 5 for reply in replies[1:])
    log = [line.split()[::2] for line in (tmp_path / "log").read_text().splitlines()]
    begun = [["one", "begin"], ["one", "end"], ["two", "begin"], ["two", "end"]]
    assert log == [["two", "open"], ["one", "open"], *begun, ["one", "close"], ["two", "close"]]


def test_what_libraries_print_is_kept_off_the_replies(package, tmp_path):
    ran, replies = spoken_to(package, opening(tmp_path, "one"))
    assert [reply["ready"] for reply in replies] == [{"one": CALLS}]
    assert "what libraries say" in ran.stderr


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2000000000 1500000000 42\n", 1.5), ("2000000000 0 42\n", 0.0), ("0 0 0\n", None), (None, None)],
)
def test_time_in_the_queue_for_a_core_is_read_where_the_kernel_counts_it(monkeypatch, text, seconds):
    def read_text(path, **_):
        assert path == Path("/proc/self/schedstat")
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(Path, "read_text", read_text)
    assert worker.queued_s() == seconds


def test_a_worker_reads_the_photos_of_its_pipelines(package, tmp_path):
    calls = package / "midas_bench/depth/calls.py"
    calls.write_text(calls.read_text().replace('log("open")', 'log("open" + b"".join(photos).decode())'))
    (tmp_path / "a.jpg").write_text("A")
    (tmp_path / "b.jpg").write_text("B")
    request = opening(tmp_path, "one")
    request["open"]["one"]["photos"] = [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]
    spoken_to(package, request)
    assert "openAB" in (tmp_path / "log").read_text()


def test_a_failing_call_ends_the_worker(package, tmp_path):
    ran, replies = spoken_to(package, opening(tmp_path, "one", die=True), {"pipeline": "one", "call": "pipeline"})
    assert ran.returncode == 1
    assert len(replies) == 1
    assert ran.stderr.strip().endswith("MemoryError: no room for a tensor")


def test_a_worker_refuses_a_package_from_outside_its_tree(package, tmp_path):
    other = tmp_path / "other"  # without __init__.py in its folders, so that Python prefers the one behind it
    (other / "midas_bench/depth").mkdir(parents=True)
    (other / "midas_bench/depth/calls.py").write_text("")
    ran, replies = spoken_to(f"{other}{os.pathsep}{package}", opening(tmp_path, "one") | {"tree": str(other)})
    assert (ran.returncode, replies) == (1, [])
    assert f"which is not in {other}: has a folder of its package no __init__.py?" in ran.stderr
    [reply] = spoken_to(package, opening(tmp_path, "one") | {"tree": str(package)})[1]
    assert reply["ready"] == {"one": CALLS}


def test_a_worker_of_an_older_revision_inherits_the_switches_of_telemetry(package, tmp_path):
    calls = package / "midas_bench/depth/calls.py"
    calls.write_text("import os\n" + calls.read_text().replace('log("open")', "log(repr(dict(os.environ)))"))
    how = {"photos": [], "config": {"name": "a", "log": str(tmp_path / "log"), "call_s": 0.0}}
    with Worker(WorkerSpec("old", {"one": how}, {"PYTHONPATH": str(package)}), None) as worker:
        worker.open()
    for name, value in NO_TELEMETRY.items():
        assert f"'{name}': '{value}'" in (tmp_path / "log").read_text()


def test_the_worker_imports_only_the_standard_library_and_depth_calls():
    tree = ast.parse(SCRIPT.read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    outside = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert outside == set()
    # by name when it opens, for a user's own calls take the place of the package's
    assert worker.PACKAGE_CALLS == "midas_bench.depth.calls:calls"


@pytest.mark.parametrize(("slowdown", "seconds"), [(0.0, 4.0), (0.5, 6.0)])
def test_a_slowdown_makes_each_call_longer_by_its_share(monkeypatch, slowdown, seconds):
    now_s = [100.0]

    def read():
        now_s[0] += 0.25  # reading the clock is all that time passes with, besides the call
        return now_s[0]

    def call():
        now_s[0] += 3.75

    monkeypatch.setattr(worker.time, "perf_counter", read)
    assert worker._timed(call, slowdown) == {"seconds": pytest.approx(seconds, abs=0.51)}


def test_what_a_call_timed_in_another_program_counts_in_place_of_this_ones_clock():
    returned = SimpleNamespace(timed_elsewhere_s=4.0, parts_s={"inference": 3.0})
    assert worker._timed(lambda: returned, 0.0) == {"seconds": 4.0, "parts": {"inference": 3.0}}


CALLS_OF_A_PEER = """
from contextlib import contextmanager


@contextmanager
def calls(photos=(), **config):
    yield {b"".join(photos).decode() + str(sorted(config.items())): lambda: None}
"""


@pytest.mark.parametrize(
    ("photos", "named"), [(["a.jpg"], "A[('peer', 'mine')]"), ([], "[]")], ids=["of a peer", "of a user"]
)
def test_a_worker_gives_named_calls_photos_and_configuration_where_it_has_photos(package, tmp_path, photos, named):
    (package / "peer_calls.py").write_text(CALLS_OF_A_PEER)
    (tmp_path / "a.jpg").write_text("A")
    how = {"photos": [str(tmp_path / photo) for photo in photos], "config": {"peer": "mine"}}
    ran, replies = spoken_to(package, {"open": {"one": how}, "calls": "peer_calls:calls"})
    assert ran.returncode == 0, ran.stderr
    assert replies[0]["ready"] == {"one": [named]}
