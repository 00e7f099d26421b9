"""The self-test of the answers: its machines are as scripted, and it would notice answers that are wrong."""

import json
import statistics

import pytest

from midas_bench.cli.main import main
from midas_bench.measure import answers_self_test
from midas_bench.measure.answers_self_test import BACKENDS, SCRIPTS, SimulatedMachine, outcome
from midas_bench.measure.answers_self_test_text import markdown

QUIET, THIRD, HIDDEN, SLOW, GOING, HALF = SCRIPTS


def busy_share(script, budget_s=360.0):
    """Return the share of a run during which counters show a neighbour."""
    machine = SimulatedMachine(script, 1, budget_s)
    while machine.now_s < budget_s:
        machine.idle(1.0)
    reading = machine.read()
    return (reading.busy_s - reading.own_s) / reading.at_s


@pytest.mark.parametrize(("script", "share"), [(QUIET, 0), (THIRD, 1 / 3), (HIDDEN, 0), (GOING, 1 / 3), (HALF, 0)])
def test_a_neighbour_is_there_as_long_as_the_script_says(script, share):
    assert busy_share(script) == pytest.approx(share, abs=0.1 if script is GOING else 0.01)


def test_a_call_takes_longer_beside_the_neighbour_and_on_the_slow_machine():
    machine = SimulatedMachine(HALF, 1, 100.0)
    before = statistics.median(machine.call(0.1, 1.0) for _ in range(99))
    machine.idle(100)
    after = statistics.median(machine.call(0.1, 1.0) for _ in range(99))
    assert after / before == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_run_keeps_its_budget_makes_passes_and_names_no_wrong_winner(script):
    one = outcome(script, 5)
    assert one.took_s <= 1.1 * 360
    assert one.passes >= 3
    assert not one.wrong
    assert len(one.covered) == len(BACKENDS) - 1


def test_the_same_seed_gives_the_same_run():
    assert outcome(GOING, 3) == outcome(GOING, 3)
    assert outcome(GOING, 3) != outcome(GOING, 4)


def test_answers_that_are_wrong_would_be_noticed(monkeypatch):
    """Intervals of the rounds of one visit miss the truth far too often beside a neighbour."""
    monkeypatch.setattr(answers_self_test, "another_pass", lambda made, *_: made < 1)
    outcomes = [outcome(THIRD, seed) for seed in range(20)]
    covered = [held for one in outcomes for held in one.covered]
    assert sum(covered) / len(covered) < 0.93


def test_the_command_prints_the_table_and_writes_the_figures(tmp_path, capsys):
    assert main(["self-test", "answers", "--runs", "2", "--budget", "2min", "-o", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    document = json.loads((tmp_path / "self-test-answers.json").read_text())
    assert printed.startswith(markdown(document))
    assert [row["disturbance"] for row in document["rows"]] == [script.name for script in SCRIPTS]
    assert all(row["covered"]["of"] == 2 * (len(BACKENDS) - 1) for row in document["rows"])


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--runs", "0"], "--runs 0: is no number of runs; give one such as 1000"),
        (["--budget", "soon"], "--budget soon: is not a time; give one as 90s, 5min or 1h"),
        (["-o", "/proc/nowhere"], "/proc/nowhere/self-test-answers.json: cannot be written"),
    ],
)
def test_bad_input_is_one_line(capsys, flags, line):
    assert main(["self-test", "answers", *flags]) == 2
    [printed] = capsys.readouterr().err.splitlines()
    assert line in printed
