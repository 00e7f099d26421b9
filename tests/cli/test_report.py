from __future__ import annotations

import importlib.util
import webbrowser
from pathlib import Path

import pytest

from midas_bench.cli.main import main

RESULTS = Path(__file__).parents[1] / "results"
SMALL = RESULTS / "data/small.json"


def test_report_writes_a_page_and_prints_its_recommendations(tmp_path, capsys):
    assert main(["report", str(SMALL), "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("Lowest latency: onnx with 2 threads, 45.5 ms per photo (")
    assert f"{tmp_path / 'out/report.html'} (" in said.out
    assert said.err == ""
    assert (tmp_path / "out/report.md").is_file()


def test_report_open_opens_the_page_in_a_browser(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    assert main(["report", str(SMALL), "-o", str(tmp_path), "--open"]) == 0
    assert opened == [(tmp_path / "report.html").resolve().as_uri()]


def test_sides_can_be_labelled(tmp_path):
    twice = [str(SMALL), str(SMALL)]
    assert main(["report", *twice, "--label", "before", "--label", "after", "-o", str(tmp_path)]) == 0
    assert "after / before" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.json"], "none.json: cannot be read"),
        ([str(RESULTS / "test_units.py")], "is not whole JSON"),
        ([str(SMALL), "--label", "a", "--label", "b"], "--label: was given 2 for 1"),
        ([str(SMALL), "-o", str(SMALL)], "is a file and not a folder"),
        ([str(SMALL), "--photos", "nosuch"], "nosuch: no such folder"),
    ],
)
def test_report_says_bad_input_in_one_line_with_exit_code_2(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_library_of_the_report(capsys):
    with pytest.raises(SystemExit) as end:
        main(["report", "--help"])
    assert end.value.code == 0
    assert "--label NAME" in capsys.readouterr().out
    assert importlib.util.find_spec("midas_bench.cli.report") is not None
