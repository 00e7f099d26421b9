"""Cells marked, or measured again, by what the probe says and nothing else."""

import json
import os
import subprocess
import sys

import pytest

from midas_bench.measure.plugin.noise import MAX_RERUNS

pytestmark = pytest.mark.slow  # each test is a run of pytest, or several


LOUD, QUIET = 1.3, 1.0
ONE_CELL = ["-k", "b1-street"]


def marked(saved):
    return {row["param"]: row["extra_info"]["noise"]["noisy"] for row in saved["benchmarks"]}


NOTES = """
import scripted

def test_cells(cell, opened, batch, batch_size):
    scripted.note(f"visit {batch.photos[0].scene}")
    cell.check(lambda: opened.pipeline.run(batch.data).depth, batch)
    cell.time(f"batch {batch_size}", opened.pipeline, batch.data)
"""


def test_a_disturbed_cell_is_marked_with_the_reason_in_file_and_terminal(fake):
    """One reading before the first cell and one after each of two passes of three: the third is loud."""
    fake.bench(NOTES)
    ran = fake.run("-k", "b1", FAKE_MATRIX_S=json.dumps([QUIET, QUIET, LOUD, QUIET]))
    assert ran.code == 0
    saved = fake.saved()
    first, *disturbed = [event.removeprefix("visit ") for event in fake.events() if event.startswith("visit ")][:3]
    assert marked(saved) == {f"fake-b1-{first}": False} | {f"fake-b1-{scene}": True for scene in disturbed}
    reason = "a fixed matrix product took 1.3 times its best"
    for row in saved["benchmarks"]:
        noisy = not row["param"].endswith(first)
        assert row["extra_info"]["noise"]["reasons"] == [reason] * noisy
        assert row["extra_info"]["noise"]["disturbed_passes"] == [1] * noisy
    # both have the same reason; the first that was visited is named
    assert f"noisy: test_cells[fake-b1-{disturbed[0]}] and 1 more: {reason}" in ran
    assert f"noisy: test_cells[fake-b1-{first}]" not in ran
    assert "--noise rerun measures noisy cells again" in ran


def test_noisy_cells_beyond_those_shown_are_counted_and_the_json_is_named_only_where_one_is_saved(fake):
    # a reason of its own for each cell of the first pass, but for the last two
    loud = json.dumps([1.3 + number / 10 for number in range(12)] + [QUIET])
    assert "noisy: 9 more of 12 cells; the JSON names them in extra_info.noise\n" in fake.run(FAKE_MATRIX_S=loud)
    fake.saves = False
    ran = fake.run(FAKE_MATRIX_S=loud)
    assert "noisy: 9 more of 12 cells\n" in ran
    assert "JSON" not in ran
    assert "not saved: add --benchmark-autosave for tables and charts" in ran
    ran = fake.run("--benchmark-json=out.json", FAKE_MATRIX_S=loud)
    assert "noisy: 9 more of 12 cells; the JSON names them in extra_info.noise\n" in ran


def test_cells_that_have_their_reasons_in_common_share_a_line(fake):
    ran = fake.run(FAKE_MATRIX_S=json.dumps([LOUD]))
    [line] = [line for line in ran.output.splitlines() if line.startswith("noisy: ")]
    assert line.endswith(" and 11 more: a fixed matrix product took 1.3 times its best")


def test_a_quiet_run_reports_that_no_cell_was_disturbed(fake):
    assert "quiet: no cell was disturbed" in fake.run(*ONE_CELL)


@pytest.mark.parametrize(
    ("matrix_s", "attempts", "noisy"),
    [
        ([QUIET, QUIET], 2, False),
        ([QUIET, LOUD, QUIET, QUIET], 3, False),
        ([LOUD, QUIET, QUIET], 3, False),
        ([LOUD], 2 * (1 + MAX_RERUNS), True),
    ],
    ids=["quiet", "disturbed at the end", "disturbed at the start", "disturbed for ever"],
)
def test_a_disturbed_cell_is_measured_again_until_it_is_quiet_but_not_for_ever(fake, matrix_s, attempts, noisy):
    """The cell is visited in two passes."""
    fake.bench(NOTES)
    ran = fake.run("--noise=rerun", *ONE_CELL, "--benchmark-json=out.json", FAKE_MATRIX_S=json.dumps(matrix_s))
    assert ran.code == 0, ran.output
    assert fake.events().count("visit street") == attempts
    assert fake.events().count("check") == 1
    [row] = json.loads((fake.root / "out.json").read_text())["benchmarks"]
    assert row["extra_info"]["noise"]["noisy"] == noisy
    assert fake.saved()["benchmarks"] == [row]
    assert "1 passed" in ran


def test_the_last_attempt_is_what_is_kept_and_journalled_once(fake):
    """Each call takes longer than the one before."""
    calls_s = [number / 1024 for number in range(1, 60)]
    fake.environment |= {"FAKE_CLOCK": "yes"}
    fake.environment["PYTEST_ADDOPTS"] += " --benchmark-max-time=0 --benchmark-timer=scripted.now"
    # the first pass is disturbed twice; the run is killed after its third attempt, when the journal can be seen
    fake.interrupted(
        1, "--noise=rerun", *ONE_CELL, FAKE_MATRIX_S="[1.3, 1.3, 1.3, 1.3, 1.0]", FAKE_CALLS_S=str(calls_s)
    )
    [visit] = fake.rows("visit")
    assert visit["extra_info"]["noise"]["noisy"] is False
    # call 1 opens; the first attempt checks, warms up twice and takes two rounds; others warm up once
    first_attempt, other_attempt = 1 + 2 + 2, 1 + 2
    last_attempt = [1 + first_attempt + other_attempt + 1 + number for number in (1, 2)]
    assert visit["stats"]["data"] == pytest.approx([number / 1024 for number in last_attempt], abs=1e-6)


def test_a_slow_result_alone_is_no_reason_to_measure_again(fake):
    fake.bench(NOTES)
    calls_s = [0.001] * 4 + [0.001, 0.05, 0.001] * 20
    fake.run("--noise=rerun", *ONE_CELL, FAKE_CALLS_S=json.dumps(calls_s))
    assert fake.events().count("visit street") == 2


def test_without_rerun_a_disturbed_cell_is_measured_once_in_each_pass(fake):
    fake.bench(NOTES)
    fake.run(*ONE_CELL, FAKE_MATRIX_S=str([LOUD]))
    assert fake.events().count("visit street") == 2


def test_a_cell_that_fails_is_not_measured_again_for_the_noise_of_the_one_before(fake):
    ran = fake.run("--noise=rerun", *ONE_CELL, FAKE_MATRIX_S=str([LOUD]), FAKE_REFERENCE="2")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert fake.events().count("check") == 1
    assert "1 failed" in ran


SHARED = """
from itertools import count

import pytest

measurements = count(1)
pytestmark = pytest.mark.expected_seconds(1)

@pytest.fixture(scope="module")
def shared(measured_once):
    return measured_once(lambda: next(measurements))

@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_shared(cell, shared, name):
    cell.describe(kind="ratio")
    cell.record("shared", lambda: {"block_log_ratios": [float(shared())]})
"""


@pytest.mark.parametrize(
    ("flag", "matrix_s", "measured", "noisy"),
    [
        ("mark", [QUIET, LOUD, QUIET, QUIET], [1, 1, 1], True),
        ("mark", [QUIET, QUIET, LOUD, QUIET], [1, 1, 1], False),
        ("rerun", [QUIET, LOUD, QUIET, QUIET], [2, 2, 2], False),
        ("rerun", [LOUD], [3, 3, 3], True),
    ],
    ids=["marked", "measured before", "measured again", "disturbed for ever"],
)
def test_cells_that_share_data_share_what_disturbed_them(fake, flag, matrix_s, measured, noisy):
    fake.bench(SHARED)
    ran = fake.run(f"--noise={flag}", FAKE_MATRIX_S=json.dumps(matrix_s))
    assert ran.code == 0, ran.output
    infos = [row["extra_info"] for row in fake.saved()["benchmarks"]]
    assert [info["noise"]["noisy"] for info in infos] == [noisy] * 3
    assert [info["block_log_ratios"] for info in infos] == [[number] for number in measured]


def test_load_from_other_processes_marks_each_cell(fake):
    """Two processes that compute without end, as on a machine that somebody else uses."""
    command = [sys.executable, "-c", "while True: sum(range(10000))"]
    others = [subprocess.Popen(command) for _ in range(os.cpu_count() or 2)]
    try:
        fake.run("-k", "b1", "--benchmark-max-time=0.3", REAL_PROBE="yes")
    finally:
        for process in others:
            process.kill()
            process.wait()
    saved = fake.saved()
    assert marked(saved) == dict.fromkeys(["fake-b1-street", "fake-b1-indoor", "fake-b1-pet"], True)
    for row in saved["benchmarks"]:
        assert any(reason.startswith("other processes used ") for reason in row["extra_info"]["noise"]["reasons"])
        assert row["extra_info"]["noise"]["others_fraction"] > 0.5
