"""A fleet's runs on a cluster of three nodes of two altered kinds, with a backend that needs no network."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from midas_bench.fleet.runs import STATE

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
FAKES = PROJECT / "tests/measure/plugin/project"
SITES = Path(__file__).with_name("sites")
CELLS = [f"bench/test_pipeline.py::test_pipeline[fake-b1-{scene}]" for scene in ("street", "indoor", "pet", "portrait")]
TINY = ("test_pipeline.py", "-k", "b1", "--backend", "fake", "--weights", "seeded")
ONE, OTHER = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
HELD_AFTER = "5"
"""Visits of eight, after which the fake backend's next call does not return; what is left after them is fewer."""


@pytest.fixture
def fleet(start_cluster, tmp_path):
    """Start nodes of these kinds, each with variables of its own, and give the cluster."""
    with ExitStack() as started:

        def start(*nodes):
            variables = {
                "PYTHONPATH": os.pathsep.join(map(str, (SITES, FAKES))),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTEST_ADDOPTS": "-p benchmark -p fakes -p no:cacheprovider "
                "--benchmark-min-rounds=3 --benchmark-max-time=0.01",
                "FAKE_EVENTS": str(tmp_path / "events"),
            }
            arguments = [
                {"num_cpus": 1, "resources": {f"node{number}": 1}, "env_vars": {"FAKE_MACHINE": kind, **own}}
                for number, (kind, own) in enumerate(nodes)
            ]
            return started.enter_context(start_cluster(arguments, **variables))

        yield start


def saved(output, name):
    [path] = (output / name).rglob("*.json")
    return json.loads(path.read_text())


def states(output):
    state = output / STATE
    return {row["name"]: row for row in map(json.loads, state.read_text().splitlines())} if state.exists() else {}


def journalled(output, name):
    """Give the whole visits in the copy of a run's journal."""
    lines = [line for path in (output / name).rglob("journal-*.jsonl") for line in path.read_text().split("\n")[:-1]]
    return [row["visit"] for row in map(json.loads, lines) if "visit" in row]


def visits(output, name):
    return len(journalled(output, name))


def suites():
    """Find the processes of the suite that fleets started."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "midas_bench.cli.main" in words and "run" in words and "fleet" not in words and "fake" in words:
            found.append(process)
    return found


def held(output):
    """Tell whether nothing is left but a run that waits, and all of its visits are here."""
    running = [name for name, row in states(output).items() if row["state"] == "running"]
    return len(running) == 1 and visits(output, running[0]) >= int(HELD_AFTER)


HOLDS = {"FAKE_HOLD_AFTER": HELD_AFTER}


def victim_of(cluster):
    """Give the raylet that a waiting suite runs below."""
    [suite] = suites()
    worker = suite.parent()
    return next(raylet for raylet in cluster.raylets if psutil.Process(raylet) in worker.parents())


def test_what_a_lost_node_had_begun_goes_on_on_another_of_its_kind(fleet, tmp_path, until):
    cluster = fleet((OTHER, {}), (ONE, HOLDS), (ONE, {}))
    output = tmp_path / "fleet"
    command = cluster.start("fleet", "run", "-o", output, *TINY)
    until(lambda: command.poll() is not None or held(output))
    [name] = [name for name, row in states(output).items() if row["state"] == "running"]
    kept = journalled(output, name)
    os.kill(victim_of(cluster), signal.SIGKILL)
    out, err = command.communicate(timeout=240)
    assert command.returncode == 0, out + err
    assert "fleet: 3 of 3 runs are whole" in out
    assert f"{output}/report/report.html\n" in out
    assert (output / "report/report.html").exists()
    assert len(kept) >= int(HELD_AFTER)
    for number in (1, 2, 3):
        status = saved(output, f"run-{number}")["midas_bench"]
        assert (status["status"], status["finished"]) == ("complete", CELLS)
    rows = states(output)
    assert len(rows[name]["hosts"]) == 2
    assert rows[name]["fingerprint"] == ONE
    assert [row["state"] for row in rows.values()] == ["ended"] * 3
    # what was on disk was not measured again
    rounds = {row["fullname"]: row["stats"]["data"] for row in saved(output, name)["benchmarks"]}
    for visit in kept:
        assert set(visit["stats"]["data"]) <= set(rounds[visit["fullname"]])
    assert f"{name}: goes on on " in out
    assert list(output.rglob("journal-*.jsonl")) == []
    assert suites() == []


def test_what_cannot_go_on_and_what_fails_is_named(fleet, tmp_path, until):
    cluster = fleet((OTHER, {"FAKE_CALLS_S": '"no list"'}), (ONE, HOLDS))
    output = tmp_path / "fleet"
    command = cluster.start("fleet", "run", "-o", output, *TINY)
    until(lambda: command.poll() is not None or held(output))
    os.kill(victim_of(cluster), signal.SIGKILL)
    out, err = command.communicate(timeout=240)
    assert command.returncode == 3, out + err
    assert "fleet: 1 of 2 runs are whole" in out
    [line] = [line for line in err.splitlines() if "cells are missing" in line]
    assert f"kind {ONE}" in line
    assert "was lost" in line
    assert [text for text in err.splitlines() if "  missing: " in text] == [
        f"midas-bench:   missing: {cell}" for cell in CELLS
    ]
    assert err.count("  failed: bench/test_pipeline.py") == len(CELLS)
    # the journal stays for a machine of the kind that may come back
    [name] = [name for name, row in states(output).items() if row["state"] == "left"]
    assert len(list((output / name).rglob("journal-*.jsonl"))) == 1
    assert suites() == []


def test_ctrl_c_leaves_no_process_and_the_runs_go_on_later(fleet, tmp_path, until):
    cluster = fleet((ONE, HOLDS))
    output = tmp_path / "fleet"
    command = cluster.start("fleet", "run", "-o", output, *TINY)
    until(lambda: command.poll() is not None or held(output))
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert command.returncode == 130, out + err
    assert "the same command with --resume goes on" in err
    until(lambda: not suites())
    assert visits(output, "run-1") >= int(HELD_AFTER)
    # the fake would hold after as many visits again, and fewer are left
    ran = cluster.run("fleet", "run", "--resume", "-o", output, *TINY)
    assert "run-1: goes on on " in ran.out


def test_where_no_cluster_answers_one_line_says_so(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "midas_bench.cli.main", "fleet", "run", "--address", address]
        ran = subprocess.run([*command, "-o", str(tmp_path / "fleet")], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"midas-bench: --address {address}: no Ray cluster answers (")
    assert ran.stderr.count("\n") == 1
    assert not (tmp_path / "fleet").exists()
