"""The gate's settings in a project's pyproject.toml."""

import pytest

from midas_bench.cli import main as command
from midas_bench.cli.gate_settings import with_settings
from midas_bench.errors import UserError


@pytest.fixture
def project_with(tmp_path):
    def written(text, heading="[tool.midas-bench.gate]"):
        (tmp_path / "pyproject.toml").write_text(f"{heading}\n{text}\n", encoding="utf-8")
        return tmp_path

    return written


def test_settings_become_flags_that_the_command_line_overrules(project_with, monkeypatch):
    folder = project_with(
        'threshold = {decode = "10%", "peak memory" = "2%"}\nbudget = "9min"\ncell = ["onnx", "decode"]\n'
        "fail-fast = true\nmerge-base = false\nseed = 7"
    )
    words = with_settings(["run", "--base", "main"], folder)
    assert words == [
        "run", "--threshold=decode=10%", "--threshold=peak memory=2%", "--budget=9min", "--cell=onnx", "--cell=decode",
        "--fail-fast", "--seed=7", "--base", "main",
    ]  # fmt: skip
    monkeypatch.chdir(folder)
    arguments = command._parse(["gate", "--base", "main", "--budget", "1min", "--cell", "eager", "--threshold", "4%"])
    assert (arguments.budget, arguments.cell, arguments.seed) == ("1min", ["eager"], 7)
    assert arguments.threshold == ["decode=10%", "peak memory=2%", "4%"]


def test_a_subcommand_takes_only_its_own_settings(project_with):
    folder = project_with('budget = "9min"\nalpha = "2%"')
    assert with_settings(["compare", "--run", "a"], folder) == ["compare", "--alpha=2%", "--run", "a"]
    assert with_settings(["--help"], folder) == ["--help"]


def test_settings_are_found_from_a_folder_below_but_not_beyond_the_repository(project_with):
    folder = project_with('alpha = "2%"')
    below = folder / "benchmarks"
    below.mkdir()
    assert with_settings(["run"], below) == ["run", "--alpha=2%"]
    (below / ".git").mkdir()
    assert with_settings(["run"], below) == ["run"]


@pytest.mark.parametrize(
    ("text", "heading", "said"),
    [
        ('treshold = "5%"', "[tool.midas-bench.gate]", "treshold: is no flag of the gate; choose from"),
        ('fail-fast = "yes"', "[tool.midas-bench.gate]", "fail-fast = 'yes': is neither true nor false"),
        ("budget = true", "[tool.midas-bench.gate]", "budget = True: is no value of a flag"),
        ("budget = ", "[tool.midas-bench.gate]", "is not TOML"),
        ("gate = 5", "[tool.midas-bench]", "is no table"),
    ],
)
def test_bad_settings_are_one_line(project_with, text, heading, said):
    with pytest.raises(UserError) as caught:
        with_settings(["run"], project_with(text, heading))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
