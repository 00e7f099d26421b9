"""The loop over cells: what a run makes of its cells in several passes."""

import json
import re
from itertools import groupby
from statistics import median

import pytest

from midas_bench.measure.plugin.noise import MAX_RERUNS
from midas_bench.results.passes import ENOUGH

pytestmark = pytest.mark.slow  # each test is a run of pytest, or several

CLOCK = "--benchmark-timer=scripted.now"
NOTES = """
import scripted

def test_cells(cell, opened, batch, batch_size):
    scripted.note(f"visit {opened.pipeline.config.backend} {batch.photos[0].scene}")
    cell.check(lambda: opened.pipeline.run(batch.data).depth, batch)
    cell.time(f"batch {batch_size}", opened.pipeline, batch.data)
"""
SECOND_MODULE = """
import pytest
import scripted

@pytest.fixture(scope="module")
def of_module():
    scripted.note("set up")
    yield
    scripted.note("tear down")

@pytest.mark.parametrize("number", [1, 2, 3])
def test_more(cell, opened, one_photo, of_module, number):
    cell.time(f"more {number}", opened.pipeline, one_photo.data)
"""
FAILS_LATER = """
from collections import Counter

import pytest

visits = Counter()

@pytest.mark.parametrize("name", ["good", "bad", "other"])
def test_cells(cell, name):
    visits[name] += 1
    cell.time("group", lambda: 1 / (0 if name == "bad" and visits[name] == 2 else 1))
"""
FIRST_FAILS = """
import pytest

@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_cells(cell, name):
    cell.time("group", lambda: 1 / 0)
"""


def visited(fake, scene="street"):
    """List the backends of each pass, in the order of their visits to a scene."""
    events = [event.split() for event in fake.events()]
    backends = [event[1] for event in events if event[0] == "visit" and event[2] == scene]
    return [backends[i : i + 2] for i in range(0, len(backends), 2)]


def test_cells_that_are_compared_stand_side_by_side_in_an_order_that_changes(fake):
    """Calls differ so much that the price stays unsettled until the budget is spent, after dozens of passes."""
    fake.bench(NOTES)
    fake.environment["PYTEST_ADDOPTS"] = "-p benchmark -p fakes -p no:cacheprovider"
    calls_s = json.dumps([0.001, 0.05, 0.002, 0.03, 0.0005])
    ran = fake.run("--backend=fake,other", "-k", "b1 and not pet", "--budget=3s", FAKE_CALLS_S=calls_s)
    assert ran.code == 0, ran.output
    visits = [event.split()[1:] for event in fake.events() if event.startswith("visit")]
    scenes = [scene for scene, _ in groupby(visits, key=lambda visit: visit[1])]
    assert len(visits) % 4 == 0
    # a scene stands beside itself only where it ends one pass and begins the next
    for number in range(0, len(visits), 4):
        of_pass = visits[number : number + 4]
        assert of_pass[0][1] == of_pass[1][1] != of_pass[2][1] == of_pass[3][1]
        assert sorted(map(tuple, of_pass)) == [
            (backend, scene) for backend in ("fake", "other") for scene in ("indoor", "street")
        ]
    assert len(scenes) > 2
    assert {tuple(pair) for pair in visited(fake)} == {("fake", "other"), ("other", "fake")}
    counts = [row["extra_info"]["rounds_by_pass"] for row in fake.saved()["benchmarks"]]
    assert [len(of_cell) for of_cell in counts] == [len(visits) // 4] * 4
    for row in fake.saved()["benchmarks"]:
        assert sum(row["extra_info"]["rounds_by_pass"]) == len(row["stats"]["data"])


def test_passes_stop_when_prices_are_settled(fake):
    fake.environment["PYTEST_ADDOPTS"] = "-p benchmark -p fakes -p no:cacheprovider"
    fake.environment["FAKE_CLOCK"] = "yes"
    ran = fake.run("--backend=fake,other", "-k", "b1-street", CLOCK, "--budget=1h", FAKE_CALLS_S="[0.0625]")
    assert ran.code == 0, ran.output
    # the scripted clock gives each pass the same median, so the fewest that allow an interval settle it
    assert [row["extra_info"]["rounds_by_pass"] for row in fake.saved()["benchmarks"]] == [[3] * ENOUGH] * 2
    assert "about 60 min 00 s at most" in ran


def test_a_spent_budget_ends_the_passes_after_the_least(fake):
    fake.environment["PYTEST_ADDOPTS"] = "-p benchmark -p fakes -p no:cacheprovider"
    ran = fake.run("-k", "b1", "--budget=0.01s", FAKE_CALLS_S="[0.001, 0.05, 0.002]")
    assert ran.code == 0, ran.output
    assert [len(row["extra_info"]["rounds_by_pass"]) for row in fake.saved()["benchmarks"]] == [2] * 3
    assert "over the budget" in ran


def test_the_time_that_is_asked_for_is_that_of_rounds_of_many_calls_too(fake):
    """A call of nothing fills no round: that takes dozens of calls, whose time counts together."""
    fake.bench("def test_cells(cell):\n    cell.time('group', lambda: None)\n")
    ran = fake.run("--benchmark-max-time=0.2")
    assert ran.code == 0, ran.output
    [row] = fake.saved()["benchmarks"]
    assert row["stats"]["iterations"] > 1
    assert len(row["extra_info"]["rounds_by_pass"]) == 2


@pytest.mark.parametrize("budget", ["nonsense", "0", "5 parsecs", "-3s"])
def test_a_budget_that_is_no_time_is_a_usage_error_in_one_line(fake, budget):
    ran = fake.run(f"--budget={budget}")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert f"--budget {budget}: is not a time; give one as 90s, 5min or 1h" in ran
    assert "Traceback" not in ran
    assert fake.journals() == []


def test_a_run_of_one_cell_makes_several_passes(fake):
    ran = fake.run("-k", "b1-street", "--benchmark-min-rounds=8")
    assert ran.code == 0, ran.output
    assert "1 passed" in ran
    [row] = fake.saved()["benchmarks"]
    assert row["extra_info"]["rounds_by_pass"] == [4, 4]


def test_cells_of_several_modules_take_turns_and_each_shares_its_own_fixtures(fake):
    """Whatever comes next after a pass, or after an attempt at a disturbed group, may be in another module."""
    (fake.root / "bench/test_more.py").write_text(SECOND_MODULE)
    loud = json.dumps([1.0, 1.3] * 40)
    # as these are drawn, the first pass ends in one module and the second begins in the other
    ran = fake.run("-k", "(b1 and not pet) or more", "--noise=rerun", FAKE_MATRIX_S=loud)
    assert ran.code == 0, ran.output
    assert [row["extra_info"]["rounds_by_pass"] for row in fake.saved()["benchmarks"]] == [[2, 1]] * 5
    fixture = [event for event in fake.events() if event in ("set up", "tear down")]
    assert fixture == ["set up", "tear down"] * (len(fixture) // 2)
    assert fixture


def test_a_cell_that_fails_in_a_later_pass_is_no_result_and_is_reported_once(fake):
    fake.bench(FAILS_LATER)
    ran = fake.run()
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 2 passed" in ran
    assert len(re.findall(r"test_cells\[bad\] FAILED", ran.output)) == 1
    saved = fake.saved()
    assert [row["param"] for row in saved["benchmarks"]] == ["good", "other"]
    assert [len(row["extra_info"]["rounds_by_pass"]) for row in saved["benchmarks"]] == [2, 2]
    [failed] = saved["midas_bench"]["failed"]
    assert failed["reason"] == "ZeroDivisionError: division by zero"
    assert failed["cell"].endswith("[bad]")
    assert saved["midas_bench"]["status"] == "partial"
    # resumed, it begins anew and gets as many passes as the others
    fake.bench(FAILS_LATER.replace("visits[name] == 2", "False"))
    ran = fake.run("--resume=force")
    assert ran.code == 0, ran.output
    assert [len(row["extra_info"]["rounds_by_pass"]) for row in fake.saved()["benchmarks"]] == [2, 2, 2]
    assert fake.saved()["midas_bench"]["status"] == "complete"


def test_a_cell_that_fails_in_a_disturbed_group_is_visited_and_reported_once(fake):
    fake.bench(FAILS_LATER.replace("visits[name] == 2", "True"))
    ran = fake.run("--noise=rerun", FAKE_MATRIX_S="[1.3]")
    assert "1 failed, 2 passed" in ran
    assert len(re.findall(r"test_cells\[bad\] FAILED", ran.output)) == 1


@pytest.mark.parametrize(("flag", "failed"), [("-x", 1), ("--maxfail=2", 2)])
def test_the_run_ends_at_the_failure_that_was_asked_for(fake, flag, failed):
    fake.bench(FIRST_FAILS)
    ran = fake.run(flag)
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert f"{failed} failed" in ran
    assert f"stopping after {failed} failures" in ran


def test_what_was_measured_before_the_failure_that_ends_the_run_is_kept(fake):
    fake.bench(FAILS_LATER.replace("visits[name] == 2", "True"))
    assert fake.run("-x").code == pytest.ExitCode.TESTS_FAILED
    kept = fake.visits()
    fake.bench(FAILS_LATER.replace("visits[name] == 2", "False"))
    ran = fake.run("--resume=force")
    assert ran.code == 0, ran.output
    for row in fake.saved()["benchmarks"]:
        for visit in kept.get(row["fullname"], []):
            assert row["stats"]["data"][: len(visit["stats"]["data"])] == visit["stats"]["data"]
    # the order is drawn, and the same in each run
    assert [name.partition("[")[2] for name in kept] == ["other]"]


def test_the_passes_that_were_disturbed_are_named(fake):
    """One reading before the run and one after each of two passes."""
    fake.run("-k", "b1-street", FAKE_MATRIX_S="[1.0, 1.0, 1.3]")
    noise = fake.saved()["benchmarks"][0]["extra_info"]["noise"]
    assert noise["disturbed_passes"] == [2]
    assert noise["matrix_ratio"] == 1.3


def test_a_disturbed_group_is_visited_again_at_most_twice_in_each_pass(fake):
    fake.bench(NOTES)
    fake.run("--backend=fake,other", "-k", "b1-street", "--noise=rerun", FAKE_MATRIX_S="[1.3]")
    assert len(visited(fake)) == 2 * (1 + MAX_RERUNS)
    for row in fake.saved()["benchmarks"]:
        assert row["extra_info"]["rounds_by_pass"] == [2, 1]
        assert row["extra_info"]["noise"]["disturbed_passes"] == [1, 2]


def test_warnings_of_a_cell_are_those_of_pytest(fake):
    """What plugins do around each item, they do around each visit."""
    source = "import warnings\n\n\ndef test_cells(cell):\n    warnings.warn('hear')\n    cell.time('g', lambda: None)\n"
    fake.bench(source)
    assert "UserWarning: hear" in fake.run("-W", "default")
    assert "warnings summary" in fake.run("-W", "default")


def test_threads_of_the_process_alternate_with_the_pipelines(fake):
    fake.bench(
        NOTES.replace("scripted.note(f", "import cv2\n    scripted.note(f'threads {cv2.getNumThreads()}')\n    _ = (f")
    )
    assert fake.run("--threads=1,2", "-k", "b1").code == 0
    for row in fake.saved()["benchmarks"]:
        count = row["extra_info"]["threads"]
        assert row["extra_info"]["threads_reported"] == {"fake": count, "opencv": count}
    counts = [event for event in fake.events() if event.startswith("threads")]
    assert sorted(counts) == ["threads 1"] * 6 + ["threads 2"] * 6


def test_pytest_benchmarks_own_flags_go_on_working(fake):
    ran = fake.run("-k", "b1", "--benchmark-group-by=param:scene", "--benchmark-cprofile=cumtime")
    assert ran.code == 0, ran.output
    for scene in ("street", "indoor", "pet"):
        assert re.search(f"benchmark .*scene.*{scene}.*: 1 tests", ran.output)
    assert "cumtime" in ran
    saved = fake.saved()["benchmarks"]
    assert all(row["cprofile"] for row in saved)
    assert [row["stats"]["median"] for row in saved] == [median(row["stats"]["data"]) for row in saved]
