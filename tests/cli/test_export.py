from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from midas_bench.cli.main import main

RESULTS = Path(__file__).parents[1] / "results"
SMALL = RESULTS / "data/small.json"


@pytest.mark.parametrize(
    ("chosen", "begins"),
    [("bencher", "{\n"), ("github-action-benchmark", "[\n"), ("openmetrics", "# TYPE midas_bench_latency_seconds ")],
)
def test_export_prints_the_format_or_writes_it_into_a_file(chosen, begins, tmp_path, capsys):
    assert main(["export", str(SMALL), "--format", chosen]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(begins)
    assert said.err == ""
    assert main(["export", str(SMALL), "--format", chosen, "-o", str(tmp_path / "new/out")]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "new/out").read_text() == said.out


def test_export_prints_utf_8_whatever_the_terminal_has(changed, monkeypatch):
    run = changed(lambda content: content["benchmarks"][0].update(fullname="größe"))
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii", newline="\r\n"))
    assert main(["export", str(run), "--format", "openmetrics"]) == 0
    assert 'cell="größe"'.encode() in written.getvalue()
    assert b"\r" not in written.getvalue()


def test_export_says_that_a_run_is_partial(changed, capsys):
    def interrupted(content):
        content["midas_bench"]["status"] = "partial"
        del content["benchmarks"][-2:]

    assert main(["export", str(changed(interrupted)), "--format", "bencher"]) == 0
    said = capsys.readouterr()
    assert said.err == "midas-bench: changed.json: is partial, and lacks 2 of its planned cells\n"
    assert "test_pipeline[onnx-b1-street]" in next(name for name in json.loads(said.out) if "onnx-b1" in name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.json"], "none.json: cannot be read"),
        ([str(RESULTS / "test_units.py")], "is not whole JSON"),
        ([str(SMALL), str(SMALL)], "export each by itself"),
        ([str(SMALL), "-o", "."], "cannot be written"),
        ([str(RESULTS)], "cannot be read (Is a directory)"),
    ],
)
def test_export_says_bad_input_in_one_line_with_exit_code_2(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments, "--format", "bencher"]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_export_never_writes_over_a_run(changed, capsys):
    run = changed()
    before = run.read_bytes()
    assert main(["export", str(run), "--format", "bencher", "-o", str(run.parent / "." / run.name)]) == 2
    assert "is one of the runs; choose another file with -o" in capsys.readouterr().err
    assert run.read_bytes() == before


@pytest.mark.parametrize("flags", [[], ["--format", "csv"]])
def test_export_needs_a_format_that_it_knows(flags, capsys):
    with pytest.raises(SystemExit) as end:
        main(["export", str(SMALL), *flags])
    assert end.value.code == 2
    assert "--format" in capsys.readouterr().err
