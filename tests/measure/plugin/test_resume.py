"""Nothing lost: runs that are ended in the middle, and what `--resume` makes of them."""

import json
import os
import random
import re
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from midas_bench.results.passes import ENOUGH

pytestmark = pytest.mark.slow  # each test is a run of pytest, or several

CELLS = [
    f"bench/test_cells.py::test_cells[fake-b{size}-{scene}]"
    for size in (1, 2, 3, 4)
    for scene in ("street", "indoor", "pet")
]
MOMENTS, RUNS = 20, 5
PASSES = 2
VISITS = PASSES * len(CELLS)
VISIT_S, START_S = 0.1, 1.5
"""About what a visit takes whose calls take 20 ms, and what a run takes to come to its first."""

FAILS = """
import pytest


def test_good(cell):
    cell.time("group", lambda: None)

def test_bad(cell):
    cell.time("group", lambda: 1 / 0)

def test_wrong(cell):
    cell.time("group", lambda: None)
    assert 1 == 2, "one is not two"

def test_absent(cell):
    pytest.skip("no such CPU flag")
"""
STUCK = """
import pytest

@pytest.fixture(scope="module")
def stuck():
    yield
    raise RuntimeError("it would not close")

def test_stuck(cell, stuck):
    cell.time("group", lambda: None)
"""
ALL_SKIPPED = """
import pytest

def test_absent(cell):
    pytest.skip("no such CPU flag")
"""
DEAD_CHILDREN = """
import pytest
from midas_bench.results.passes import ENOUGH
from midas_bench.processes import ask

@pytest.mark.parametrize("do", ["raise", "die", "live"])
def test_memory(cell, do):
    cell.describe(kind="memory")
    cell.record("memory", lambda: ask("words", {"do": do}, 60))
"""


def names(saved):
    return [row["fullname"] for row in saved["benchmarks"]]


def assert_whole(fake, cells=CELLS):
    """Check the newest file: complete, each cell once and in order, and no journal left."""
    saved = fake.saved()
    status = saved["midas_bench"]
    assert status["status"] == "complete"
    assert status["planned"] == status["finished"] == names(saved) == cells
    assert status["failed"] == status["skipped"] == []
    assert fake.journals() == []
    return {row["fullname"]: row for row in saved["benchmarks"]}


def assert_kept(visits, rows, passes=PASSES):
    """Check that the visits that were on disk begin the rounds of their cells, and all cells have the same passes."""
    for name, of_cell in visits.items():
        data = [seconds for visit in of_cell for seconds in visit["stats"]["data"]]
        assert rows[name]["stats"]["data"][: len(data)] == data
        counts = [len(visit["stats"]["data"]) for visit in of_cell]
        assert rows[name]["extra_info"]["rounds_by_pass"][: len(counts)] == counts
        first = of_cell[0]["extra_info"]
        assert {key: rows[name]["extra_info"][key] for key in ("load_s", "max_relative_error") if key in first} == {
            key: first[key] for key in ("load_s", "max_relative_error") if key in first
        }
    for row in rows.values():
        assert len(row["extra_info"]["rounds_by_pass"]) == passes
        assert sum(row["extra_info"]["rounds_by_pass"]) == len(row["stats"]["data"])


def test_a_finished_run_leaves_one_complete_file_and_no_journal(fake):
    assert fake.run().code == 0
    rows = assert_whole(fake)
    assert len(fake.files()) == 1
    assert all(len(row["stats"]["data"]) >= 3 for row in rows.values())


def test_a_killed_run_keeps_each_visit_and_resumes_to_the_same_as_an_uninterrupted_one(fake):
    fake.interrupted(5)
    assert fake.files() == []
    kept = fake.visits()
    assert len(kept) == 5
    assert fake.run("--resume").code == 0
    assert_kept(kept, assert_whole(fake))
    assert len(fake.files()) == 1
    # the rest was measured, and nothing twice
    assert fake.run("--benchmark-compare", "--resume").code == 0
    assert [names(json.loads(path.read_text())) for path in fake.files()] == [CELLS, CELLS]
    finished, uninterrupted = (json.loads(path.read_text()) for path in fake.files())
    assert finished.keys() == uninterrupted.keys()
    assert finished["machine_info"] == uninterrupted["machine_info"]
    for one, other in zip(finished["benchmarks"], uninterrupted["benchmarks"], strict=True):
        assert one.keys() == other.keys()
        assert one["extra_info"].keys() == other["extra_info"].keys()
        assert one["options"] == other["options"]


def test_photos_of_any_name_are_measured_interrupted_and_resumed(fake, odd_names, encode):
    folder = fake.root / odd_names[0]
    scenes = ("street", "indoor", "pet", "portrait")
    for number, name in enumerate(odd_names):
        place = folder / scenes[number % 4]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.jpg").write_bytes(encode(np.full((8, 12, 3), number, np.uint8), "JPEG"))
        (place / f"{name[:200]}.txt").write_text("no photo")
    line = [f"--photos={folder}", "-k", "b4"]
    fake.interrupted(2, *line)
    ran = fake.run("--resume", *line)
    assert ran.code == 0, ran.output
    [left_out] = [line for line in ran.output.splitlines() if "left out: " in line]
    assert left_out.startswith("! left out: 14 video or other: indoor/")
    assert left_out.endswith(" and 4 more")
    photos = [photo["file"] for row in fake.saved()["benchmarks"] for photo in row["extra_info"]["photos"]]
    assert set(photos) == {f"{name}.jpg" for name in odd_names}
    assert fake.journals() == []


def test_pytest_benchmark_compares_a_resumed_file_without_a_warning(fake):
    fake.interrupted(5)
    fake.run("--resume")
    ran = fake.run("--benchmark-compare", FAKE_BUSY="0.9")  # what changes by the second is no part of machine_info
    assert ran.code == 0, ran.output
    assert "Comparing against benchmarks from" in ran
    assert "0001_unversioned" in ran
    assert "machine_info" not in ran
    assert "Warning" not in ran


def test_a_comparison_without_a_baseline_or_with_another_machine_is_no_more_than_a_warning(fake):
    for message, machine in (("Can't compare. No benchmark files", "one"), ("machine_info is different", "another")):
        ran = fake.run("--benchmark-compare", "-k", "b1-street", FAKE_MACHINE=machine)
        assert ran.code == 0, ran.output
        assert message in ran
    assert len(fake.files()) == 2


def test_a_resumed_run_can_be_killed_and_resumed_again(fake):
    for _ in range(3):
        fake.interrupted(2, "--resume")
    kept = fake.visits()
    assert len(kept) == 6
    assert fake.run("--resume").code == 0
    assert_kept(kept, assert_whole(fake))


def test_a_torn_line_is_passed_over_and_stays_harmless(fake):
    fake.interrupted(3)
    with fake.journal().open("a") as file:
        file.write('{"visit":{"fullname":"bench/te')
    whole = len(fake.rows("visit"))
    fake.interrupted(2, "--resume")
    assert len(fake.rows("visit")) == whole + 2
    ran = fake.run("--resume")
    assert ran.code == 0, ran.output
    assert_whole(fake)


def test_a_header_that_is_torn_holds_nothing_to_resume(fake):
    fake.interrupted(1)
    path = fake.journal()
    path.write_bytes(path.read_bytes().split(b"\n")[0][:40])
    ran = fake.run("--resume")
    assert ran.code == 0, ran.output
    assert_whole(fake)


def test_a_damaged_line_in_the_middle_is_a_usage_error(fake):
    fake.interrupted(3)
    lines = fake.journal().read_text().split("\n")
    fake.journal().write_text("\n".join([*lines[:2], lines[2][:50], *lines[3:]]))
    ran = fake.run("--resume")
    assert ran.code == pytest.ExitCode.USAGE_ERROR, ran.output
    assert "is damaged in line 3; remove it and run again" in ran
    assert "Traceback" not in ran
    assert len(fake.journals()) == 1


@pytest.mark.parametrize(
    ("visits", "message"),
    [
        (9, "partial: 3 of 12 cells are missing; add --resume to go on"),
        (16, "partial: the last pass is not whole; add --resume to go on"),
    ],
    ids=["first pass", "second pass"],
)
def test_ctrl_c_saves_the_finished_visits_and_the_run_goes_on_in_the_middle_of_the_pass(fake, visits, message):
    ran = fake.interrupted(visits, signal_number=signal.SIGINT)
    assert ran.code == pytest.ExitCode.INTERRUPTED, ran.output
    assert message in ran
    saved = fake.saved()
    assert saved["midas_bench"]["status"] == "partial"
    assert saved["midas_bench"]["planned"] == CELLS
    kept = fake.visits()
    assert sum(map(len, kept.values())) == visits
    assert names(saved) == saved["midas_bench"]["finished"] == [name for name in CELLS if name in kept]
    for row in saved["benchmarks"]:
        of_cell = kept[row["fullname"]]
        assert row["stats"]["data"] == [seconds for visit in of_cell for seconds in visit["stats"]["data"]]
    # nothing that is on disk is measured again
    assert fake.run("--resume").code == 0
    assert_kept(kept, assert_whole(fake))


def test_ctrl_c_within_a_hook_of_another_plugin_is_no_different(fake):
    (fake.root / "bench/conftest.py").write_text(
        "import pytest, signal\n"
        "@pytest.hookimpl(hookwrapper=True)\n"
        "def pytest_runtest_makereport(item, call):\n"
        "    yield\n"
        f"    if item.nodeid == {CELLS[4]!r} and call.when == 'setup':\n"
        "        signal.raise_signal(signal.SIGINT)\n"
    )
    ran = fake.run()
    assert ran.code == pytest.ExitCode.INTERRUPTED, ran.output
    assert names(fake.saved()) == [name for name in CELLS if name in fake.visits()]
    assert CELLS[4] not in fake.visits()


def test_resuming_what_is_all_there_succeeds_and_saves_it(fake):
    fake.run()
    # as if the last run had been killed between its last cell and its file
    whole = fake.saved()
    fake.interrupted(3)
    head = fake.journal().read_text().split("\n")[0]
    rows = [json.dumps({"cell": row}) for row in whole["benchmarks"]]
    fake.journal().write_text("\n".join([head, *rows, ""]))
    for path in fake.files():
        path.unlink()
    events = len(fake.events())
    ran = fake.run("--resume")
    assert ran.code == 0, ran.output
    assert list(assert_whole(fake).values()) == whole["benchmarks"]
    assert "call" not in fake.events()[events:]


def test_with_nothing_to_resume_everything_runs(fake):
    assert fake.run("--resume").code == 0
    assert_whole(fake)


SIX_PASSES = """
from pathlib import Path

import scripted

def time_in_a_group_of_its_own(cell, name):
    lines = [line for path in Path(".benchmarks").rglob("journal-*") for line in path.read_text().splitlines()]
    visits = sum('"visit"' in line and name in line for line in lines)

    def call():
        scripted.hold()
        # each pass a little longer or shorter: after six of them the price is settled
        scripted.sleep([64, 65, 64.5][visits % 3] / 1024)

    cell.describe(kind="stage", stage="decode")
    cell.time("group", call)

def test_one(cell):
    time_in_a_group_of_its_own(cell, "test_one")

def test_two(cell):
    time_in_a_group_of_its_own(cell, "test_two")

def test_three(cell):
    time_in_a_group_of_its_own(cell, "test_three")
"""


def of_six_passes(project):
    """Make a project of a new one whose three cells are settled after six passes."""
    project.bench(SIX_PASSES)
    options = "-p benchmark -p fakes -p no:cacheprovider --benchmark-timer=scripted.now"
    project.environment |= {"FAKE_CLOCK": "yes", "PYTEST_ADDOPTS": options}
    return project


@pytest.fixture(scope="module")
def whole_rows(new_project):
    """Give the rows of such a project's uninterrupted run."""
    project = of_six_passes(new_project())
    ran = project.run()
    assert ran.code == 0, ran.output
    rows = {row["fullname"]: row for row in project.saved()["benchmarks"]}
    assert [row["extra_info"]["rounds_by_pass"] for row in rows.values()] == [[3] * 6] * 3
    return rows


@pytest.mark.parametrize(
    ("visits", "end_is_known"),
    [(2, False), (5, False), (14, False), (18, False), (18, True)],
    ids=["first pass", "second pass", "later pass", "after the last", "after the decision that it was the last"],
)
def test_sigkill_in_any_pass_or_after_the_last_resumes_to_the_same_rounds(fake, whole_rows, visits, end_is_known):
    of_six_passes(fake).interrupted(visits)
    journal = fake.journal()
    head, *rows = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([head, *[row for row in rows if end_is_known or '"visit"' in row]]))
    assert fake.rows("passes") == ([6] if end_is_known else [])
    kept = fake.visits()
    assert sum(map(len, kept.values())) == visits
    ran = fake.run("--resume")
    assert ran.code == 0, ran.output
    resumed = assert_whole(fake, list(whole_rows))
    assert_kept(kept, resumed, passes=6)
    for name, row in resumed.items():
        assert row["stats"]["data"] == whole_rows[name]["stats"]["data"]
        assert row["extra_info"].keys() == whole_rows[name]["extra_info"].keys()


BESIDE_ANSWERS = """
import scripted

def test_pipeline(cell, opened, batch, batch_size):
    cell.time(f"batch {batch_size}", opened.pipeline, batch.data)

def test_beside(cell):
    cell.describe(kind="stage", stage="decode")
    cell.time("group", lambda: scripted.sleep(0.0625))
"""


def test_passes_that_kept_to_the_answers_cells_are_resumed_without_the_others(fake):
    """The journal is made that of a run which had no time for more than two visits to the cell beside them."""
    fake.bench(BESIDE_ANSWERS)
    options = "-p benchmark -p fakes -p no:cacheprovider --benchmark-timer=scripted.now"
    fake.environment |= {"FAKE_CLOCK": "yes", "FAKE_CALLS_S": "[0.0625]", "PYTEST_ADDOPTS": options}
    flags = ("--backend=fake,other", "-k", "b1-street or beside", "--budget=1h")
    fake.interrupted(11, *flags)
    journal = fake.journal()
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    beside = [row for row in rows if row.get("visit", {}).get("name") == "test_beside"]
    for row in beside[:2]:
        row["took_s"] = 3000
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows if row not in beside[2:]))
    begun = {name: len(visits) for name, visits in fake.visits().items()}
    assert min(begun.values()) == 2 < max(begun.values())
    ran = fake.run(*flags, "--resume")
    assert ran.code == 0, ran.output
    passes = {row["fullname"]: len(row["extra_info"]["rounds_by_pass"]) for row in fake.saved()["benchmarks"]}
    assert passes.pop(next(name for name in passes if "beside" in name)) == 2
    assert list(passes.values()) == [ENOUGH] * 2


@pytest.fixture(scope="module")
def killed(new_project):
    """Give a project whose run was killed, for copies."""
    project = new_project()
    project.interrupted(3)
    return project


@pytest.fixture
def interrupted(killed, tmp_path):
    """Give a project whose run was killed."""
    shutil.copytree(killed.root, tmp_path / "project")
    return replace(killed, root=tmp_path / "project")


CHANGES = {
    "code": ([], {}, r"code: [0-9a-f]{12} then, [0-9a-f]{12} now"),
    "photos": ([], {}, r"photos: [0-9a-f]{12} then, [0-9a-f]{12} now"),
    "cells": (["-k", "street"], {}, r"cells: 12 were planned, now 4, without .*fake-b1-indoor"),
    "options": (["--benchmark-min-rounds=4"], {}, "benchmark_min_rounds: 3 then, 4 now"),
    "calibration": (["--benchmark-calibration-precision=3"], {}, "benchmark_calibration_precision: 10 then, 3 now"),
    "environment": ([], {"OMP_NUM_THREADS": "7"}, "OMP_NUM_THREADS: None then, 7 now"),
    "machine": ([], {"FAKE_MACHINE": "123456abcdef"}, "machine: abcdef012345 then, 123456abcdef now"),
    "weights": (["--weights=other.pt"], {}, r"weights: 6a0e7afcef0a then, [0-9a-f]{12} now"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_resuming_under_other_conditions_is_refused_with_the_difference_named(interrupted, what):
    arguments, variables, message = CHANGES[what]
    if what == "code":
        interrupted.bench((interrupted.root / "bench/test_cells.py").read_text() + "\n# another line\n")
    if what == "photos":
        manifest = interrupted.root / "fixtures/images/manifest.toml"
        manifest.write_text(manifest.read_text().split("[[photo]]\n", 2)[0])
        for number, scene in enumerate(("street", "indoor", "pet"), start=7):
            interrupted.add_photo(scene, number)
    if what == "weights":
        (interrupted.root / "other.pt").write_bytes(b"PK\3\4 other weights")
    before = interrupted.journal().read_bytes()
    ran = interrupted.run("--resume", *arguments, **variables)
    assert ran.code == pytest.ExitCode.USAGE_ERROR, ran.output
    [line] = [line for line in ran.output.splitlines() if "was made under other conditions" in line]
    assert re.search(message, line)
    assert line.count(" then, ") + line.count("planned") == 1
    assert "run without --resume to start again, or with --resume=force to mix them" in line
    assert interrupted.journal().read_bytes() == before
    assert interrupted.files() == []


def test_resume_force_resumes_under_other_conditions(interrupted):
    kept = interrupted.visits()
    assert interrupted.run("--resume=force", "--benchmark-min-rounds=4").code == 0
    rows = assert_whole(interrupted)
    assert_kept(kept, rows)
    assert {row["options"]["min_rounds"] for row in rows.values()} == {3, 4}


def test_without_resume_a_new_run_leaves_the_old_journal_alone(interrupted):
    before = interrupted.journal().read_bytes()
    assert interrupted.run().code == 0
    assert interrupted.saved()["midas_bench"]["status"] == "complete"
    assert interrupted.journal().read_bytes() == before


def test_two_runs_at_once_do_not_mix(fake):
    # one saves after the other: the second would otherwise resume what the first left behind
    from_first = fake.start(FAKE_HOLD_AFTER="1")
    fake.until(lambda: fake.rows("visit"), from_first)
    second = fake.run("--resume", "-k", "street")
    assert second.code == 0, second.output
    assert from_first.poll() is None
    assert names(fake.saved()) == [name for name in CELLS if "street" in name]
    (fake.root / "release").touch()
    output, _ = from_first.communicate(timeout=60)
    assert from_first.returncode == 0, output
    assert len(fake.files()) == 2
    assert_whole(fake)


def test_a_cell_that_fails_is_listed_with_its_reason_and_is_no_result(fake):
    fake.bench(FAILS)
    (fake.root / "bench/test_stuck.py").write_text(STUCK)
    assert fake.run().code == pytest.ExitCode.TESTS_FAILED
    saved = fake.saved()
    assert [row["name"] for row in saved["benchmarks"]] == ["test_good"]
    status = saved["midas_bench"]
    assert status["status"] == "partial"
    assert {entry["cell"].partition("::")[2]: entry["reason"] for entry in status["failed"]} == {
        "test_bad": "ZeroDivisionError: division by zero",
        "test_wrong": "AssertionError: one is not two",
        "test_stuck": "RuntimeError: it would not close",
    }
    assert status["skipped"] == [{"cell": "bench/test_cells.py::test_absent", "reason": "no such CPU flag"}]
    # what failed runs again, even if it failed after it was timed
    fake.run("--resume")
    assert {entry["cell"] for entry in fake.saved()["midas_bench"]["failed"]} == {
        entry["cell"] for entry in status["failed"]
    }


def test_a_child_that_dies_fails_its_cell_with_its_last_words_and_the_run_goes_on(fake):
    fake.bench(DEAD_CHILDREN)
    assert fake.run().code == pytest.ExitCode.TESTS_FAILED
    saved = fake.saved()
    assert [row["name"] for row in saved["benchmarks"]] == ["test_memory[live]"]
    assert saved["benchmarks"][0]["extra_info"]["peak_rss_bytes"] == 3 << 20
    reasons = {entry["cell"].partition("[")[2]: entry["reason"] for entry in saved["midas_bench"]["failed"]}
    raised, died = reasons["raise]"], reasons["die]"]
    assert raised.endswith("exit code 1: MemoryError: no room for a tensor of 3 GiB")
    assert "killed by SIGKILL (out of memory?)" in died


@pytest.mark.parametrize(
    ("source", "arguments", "code"),
    [
        (ALL_SKIPPED, [], 5),
        (None, ["-k", "no_such_cell"], 5),
        (None, ["--benchmark-disable", "-k", "street"], 0),
        (None, ["--benchmark-skip"], 0),
        (None, ["--collect-only"], 0),
    ],
    ids=["all skipped", "none chosen", "disabled", "skipped", "collected"],
)
def test_a_run_that_measures_nothing_succeeds_only_if_that_was_asked_for(fake, source, arguments, code):
    if source:
        fake.bench(source)
    ran = fake.run(*arguments)
    assert ran.code == code, ran.output
    assert fake.files() == []
    assert fake.journals() == [] or code


@pytest.mark.parametrize(("rows", "visits"), [(5, 4), (25, 24)], ids=["visit", "end of passes"])
def test_a_full_disk_ends_the_run_in_one_line_and_loses_nothing(fake, rows, visits):
    ran = fake.run(FAKE_ROWS_UNTIL_FULL=str(rows))  # the header is one
    assert ran.code == 3
    lines = [line for line in ran.output.splitlines() if "No space left on device" in line]
    assert len(lines) == 1
    assert "then go on with --resume" in lines[0]
    assert "Traceback" not in ran
    kept = fake.visits()
    assert sum(map(len, kept.values())) == visits
    assert names(fake.saved()) == [name for name in CELLS if name in kept]
    assert fake.run("--resume").code == 0
    assert_kept(kept, assert_whole(fake))


def test_sigkill_at_twenty_moments_loses_no_finished_cell(fake):
    """Kill runs, and what resumes them, at random moments: before, within and between their visits."""
    assert fake.run().code == 0
    expected = {row["fullname"]: row["extra_info"].keys() for row in assert_whole(fake).values()}
    draw = random.Random(3)
    finished_counts = []
    for run in range(RUNS):
        for path in fake.files():
            path.unlink()
        kept = {}
        count = 0
        for moment in range(run, MOMENTS, RUNS):
            resumed = moment >= RUNS
            reached = moment * VISITS // MOMENTS
            if resumed:
                # one visit more tells that it has started; the last ones end the run
                reached = max(reached, min(count + 1, VISITS - 2))
            process = fake.start(*["--resume"] * resumed, FAKE_CALLS_S="[0.02]")
            fake.until(lambda: len(fake.rows("visit")) >= reached, process)  # noqa: B023 - called at once
            time.sleep(draw.uniform(0, VISIT_S if reached else START_S))
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            before, kept = kept, fake.visits()
            count = sum(map(len, kept.values()))
            assert count >= reached
            assert {name: kept[name][: len(visits)] for name, visits in before.items()} == before
            finished_counts.append(count)
        saved_before = fake.files()
        ran = fake.run("--resume")
        assert ran.code == 0, ran.output
        rows = assert_whole(fake)
        assert_kept(kept, rows)
        assert {name: row["extra_info"].keys() for name, row in rows.items()} == expected
        assert len(fake.files()) == 1 + len(saved_before)
    assert len(set(finished_counts)) >= 5, f"the moments were not spread: {finished_counts}"


@pytest.mark.usefixtures("graphs")
def test_sigkill_loses_no_finished_cell_of_a_real_backend(fake):
    arguments = ["--backend=onnx", "-k", "(street or indoor) and not b4"]
    fake.environment["REAL_REFERENCE"] = "yes"
    cells = [name.replace("fake", "onnx") for name in CELLS if "pet" not in name and "b4" not in name]
    fake.interrupted(3, *arguments)
    kept = fake.visits()
    assert 3 <= len(kept) < len(cells)
    assert fake.run("--resume", *arguments).code == 0
    assert_kept(kept, assert_whole(fake, cells))
