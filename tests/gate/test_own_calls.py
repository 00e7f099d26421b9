"""A user's own calls, in a repository that is not ours: real git, real processes."""

import json
import subprocess
import sys

import pytest

from midas_bench.cli.main import main

CALLS = """
import time
from contextlib import contextmanager

import numpy as np


def busy(call_s, value):
    end_s = time.perf_counter() + call_s
    while time.perf_counter() < end_s:
        pass
    return np.full((4, 5), value, np.float32)


@contextmanager
def calls():
    {opening}
    yield {{{yields}}}
"""
USUAL = {"opening": "pass", "yields": '"parse": lambda: busy({s}, 1), "no arrays": lambda: "text"'}


class Project:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Test")
        self.git("config", "user.email", "test@localhost")

    def git(self, *arguments):
        subprocess.run(["git", "-C", self.folder, *arguments], check=True, capture_output=True)

    def write(self, s=0.002, **values):
        values = USUAL | values
        (self.folder / "my_calls.py").write_text(
            CALLS.format(opening=values["opening"], yields=values["yields"].format(s=s))
        )

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a commit")


@pytest.fixture
def mine(tmp_path):
    made = Project(tmp_path / "mein projekt ä")
    made.write()
    made.commit()
    return made


@pytest.fixture
def gate(mine, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(mine.folder)
    monkeypatch.setenv("MIDAS_BENCH_CACHE", str(tmp_path / "cache"))

    def ran(*words):
        output = tmp_path / "gate.json"
        output.unlink(missing_ok=True)
        usual = ["--calls", "my_calls:calls", "--json", str(output), "--seed", "1"]
        code = main(["gate", "run", *usual, "--startup-threshold", "90%", *words])
        return code, capsys.readouterr(), json.loads(output.read_text()) if output.exists() else {}

    return ran


def test_own_calls_of_the_same_code_are_not_measured(gate, mine):
    (mine.folder / "README.md").write_text("only words")
    mine.commit()
    code, printed, document = gate("--base", "HEAD~1")
    assert code == 0
    assert "SAME CODE" in printed.out.splitlines()[-1]
    assert document["same_code"] is True
    assert document["figures"] == []


@pytest.mark.slow
def test_own_calls_that_became_slower_regress(gate, mine):
    mine.write(s=0.004)
    mine.commit()
    code, printed, document = gate("--base", "HEAD~1", "--head", "HEAD", "--cell", "parse", "--fail-fast")
    assert code == 1
    [figure] = [figure for figure in document["figures"] if figure["figure"]["name"] == "parse"]
    assert figure["verdict"] == "regressed"
    assert "parse: regressed, " in printed.err
    assert document["outputs"][0]["changed"] is False
    assert list(document["control"]) == ["parse", "start-up", "peak memory"]


def test_own_calls_that_return_other_arrays_are_told_at_once(gate, mine, tmp_path):
    markdown = tmp_path / "gate.md"
    mine.write(yields='"parse": lambda: busy({s}, 2), "no arrays": lambda: 5')
    code, printed, document = gate("--base", "HEAD", "--fail-fast", "--markdown", str(markdown))
    assert code == 1
    assert "output of parse: CHANGED" in printed.err
    assert "FAIL: output of parse: changed (--allow-changed-output lets it pass)" in printed.out
    assert markdown.read_text(encoding="utf-8").startswith("### ❌ FAIL: output of parse")
    assert document["blocks"] == 0


@pytest.mark.parametrize(
    ("values", "words", "code", "said"),
    [
        ({"opening": "raise ValueError('no data')"}, (), 3, "missing: arm head: ValueError: no data"),
        ({"yields": '"other": lambda: 1'}, ("--budget", "1s"), 3, "missing: head: no call parse"),
        ({"yields": '"parse": lambda: 1 / 0'}, (), 3, "missing: arm head: ZeroDivisionError"),
    ],
)
def test_a_head_whose_calls_fail_is_missing(gate, mine, values, words, code, said):
    mine.write(**values)
    found, printed, _ = gate("--base", "HEAD", *words)
    assert found == code
    assert said in printed.out
    assert "Traceback" not in printed.out + printed.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--calls", "my_calls"), "--calls my_calls: does not name a function in a module"),
        (("--calls", "nowhere:calls"), "--calls nowhere:calls: cannot be opened (arm base: ModuleNotFoundError"),
        (("--calls", "my_calls:nothing"), "cannot be opened (arm base: AttributeError"),
        (("--cell", "prase"), "--cell prase: is no call of my_calls:calls: it yields no arrays, parse"),
    ],
)
def test_calls_that_cannot_be_had_are_one_line(gate, mine, words, said):
    mine.write(s=0.003)
    code, printed, _ = gate("--base", "HEAD", *words)
    assert code == 2
    assert said in printed.err
    assert len([line for line in printed.err.splitlines() if line.startswith("midas-bench:")]) == 1


def test_own_calls_of_one_environment_are_not_measured(gate):
    code, printed, _ = gate("--base-env", sys.prefix, "--head-env", sys.prefix)
    assert code == 0
    assert "SAME CODE" in printed.out


def test_own_calls_run_where_they_are_and_may_be_installed_elsewhere(gate, mine):
    (mine.folder / "my_calls.py").rename(mine.folder.parent / "elsewhere.py")
    (mine.folder / "elsewhere_calls.py").write_text(
        f"import sys\nsys.path.append({str(mine.folder.parent)!r})\nfrom elsewhere import calls\n"
    )
    environments = ("--base-env", sys.prefix, "--head-env", sys.prefix)
    code, printed, document = gate(
        "--calls", "elsewhere_calls:calls", *environments, "--measure", "--budget", "1s", "--inconclusive", "pass"
    )
    assert code == 0, printed
    assert {figure["figure"]["name"] for figure in document["figures"]} >= {"parse", "no arrays"}
