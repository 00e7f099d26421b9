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


def test_a_disturbed_cell_is_marked_with_the_reason_in_file_and_terminal(fake):
    ran = fake.run("-k", "b1", FAKE_MATRIX_S=json.dumps([QUIET, QUIET, LOUD, QUIET]))
    assert ran.code == 0
    saved = fake.saved()
    assert marked(saved) == {"fake-b1-street": False, "fake-b1-indoor": True, "fake-b1-pet": True}
    reason = "a fixed matrix product took 1.3 times its best"
    assert saved["benchmarks"][1]["extra_info"]["noise"]["reasons"] == [reason]
    assert f"noisy: test_cells[fake-b1-indoor]: {reason}" in ran
    assert "noisy: test_cells[fake-b1-street]" not in ran
    assert "--noise rerun measures noisy cells again" in ran


def test_noisy_cells_beyond_those_shown_are_counted_and_the_json_is_named_only_where_one_is_saved(fake):
    loud = json.dumps([LOUD])
    assert "noisy: 9 more of 12 cells; the JSON names them in extra_info.noise\n" in fake.run(FAKE_MATRIX_S=loud)
    fake.saves = False
    ran = fake.run(FAKE_MATRIX_S=loud)
    assert "noisy: 9 more of 12 cells\n" in ran
    assert "JSON" not in ran
    assert "not saved: add --benchmark-autosave for tables and charts" in ran
    ran = fake.run("--benchmark-json=out.json", FAKE_MATRIX_S=loud)
    assert "noisy: 9 more of 12 cells; the JSON names them in extra_info.noise\n" in ran


def test_a_quiet_run_reports_that_no_cell_was_disturbed(fake):
    assert "quiet: no cell was disturbed" in fake.run(*ONE_CELL)


@pytest.mark.parametrize(
    ("matrix_s", "attempts", "noisy"),
    [
        ([QUIET, QUIET], 1, False),
        ([QUIET, LOUD, QUIET, QUIET], 2, False),
        ([LOUD, QUIET, QUIET], 2, False),
        ([LOUD], 1 + MAX_RERUNS, True),
    ],
    ids=["quiet", "disturbed at the end", "disturbed at the start", "disturbed for ever"],
)
def test_a_disturbed_cell_is_measured_again_until_it_is_quiet_but_not_for_ever(fake, matrix_s, attempts, noisy):
    events = fake.root / "events"
    ran = fake.run("--noise=rerun", *ONE_CELL, "--benchmark-json=out.json", FAKE_MATRIX_S=json.dumps(matrix_s))
    assert ran.code == 0, ran.output
    assert events.read_text().split().count("check") == attempts
    [row] = json.loads((fake.root / "out.json").read_text())["benchmarks"]
    assert row["extra_info"]["noise"]["noisy"] == noisy
    assert fake.saved()["benchmarks"] == [row]
    assert "1 passed" in ran


def test_the_last_attempt_is_what_is_kept_and_journalled_once(fake):
    """Each attempt makes 9 calls: the first inference apart, each takes longer than the one before."""
    calls_s = [number / 1000 for number in range(1, 60)]
    fake.environment |= {"FAKE_CLOCK": "yes"}
    arguments = ["--noise=rerun", "-k", "b1-street or b1-indoor", "--benchmark-timer=scripted.now"]
    fake.environment["PYTEST_ADDOPTS"] += " --benchmark-max-time=0"
    # the first cell is disturbed twice; the run is killed by the second, which is when the journal can be seen
    fake.bench((fake.root / "bench/test_cells.py").read_text().replace("    cell.check", KILLER + "    cell.check"))
    killed = fake.run(*arguments, FAKE_MATRIX_S="[1.3, 1.3, 1.3, 1.3, 1.0]", FAKE_CALLS_S=json.dumps(calls_s))
    assert killed.code < 0
    [row] = fake.rows("cell")
    assert row["extra_info"]["noise"]["noisy"] is False
    first = row["stats"]["data"]
    assert len(first) == 3
    # call 1 opens; an attempt checks, warms up three times, calibrates, takes three rounds and calls once more
    last_attempt = [1 + 2 * 9 + 5 + number for number in (1, 2, 3)]
    assert first == pytest.approx([number / 1000 for number in last_attempt], abs=1e-6)


KILLER = """    if batch.photos[0].scene == "indoor":
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_slow_result_alone_is_no_reason_to_measure_again(fake):
    calls_s = [0.001] * 7 + [0.001, 0.05, 0.001] * 20
    fake.run("--noise=rerun", *ONE_CELL, FAKE_CALLS_S=json.dumps(calls_s))
    assert fake.events().count("check") == 1


def test_without_rerun_a_disturbed_cell_is_measured_once(fake):
    fake.run(*ONE_CELL, FAKE_MATRIX_S=str([LOUD]))
    assert fake.events().count("check") == 1


def test_a_cell_that_fails_is_not_measured_again_for_the_noise_of_the_one_before(fake):
    ran = fake.run("--noise=rerun", *ONE_CELL, FAKE_MATRIX_S=str([LOUD]), FAKE_REFERENCE="2")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert fake.events().count("check") == 1
    assert "1 failed" in ran


SHARED = """
from itertools import count

import pytest

measurements = count(1)

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
