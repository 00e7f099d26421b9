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
        (["--machines", "none.json"], "none.json: cannot be read"),
        (["--machines", str(SMALL), "--photos", "x"], "--photos: has no place in a report over machines"),
        (["--machines", str(SMALL), "--label", "a", "--label", "b"], "--label: was given 2 for 1"),
        (["--machines", str(SMALL), "--price-per-hour", "Pentium=1"], "--price-per-hour Pentium: means none of"),
        ([str(SMALL), "--price-per-hour", "Pentium=1"], "--price-per-hour Pentium: means none of"),
        ([str(SMALL), "--price-per-hour", "free"], "--price-per-hour free: is not a price above 0"),
        (["--machines"], "no such file or folder"),
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


def other_machine(content):
    """Let the run be of a kind of machine that does not exist, half as fast."""
    content["machine_info"]["midas_bench"] |= {"fingerprint": "altered", "cpu_model": "Altered CPU"}
    for benchmark in content["benchmarks"]:
        stats = benchmark["stats"]
        stats["data"] = [2 * value for value in stats.get("data", [])]
        stats |= {name: 2 * stats[name] for name in ("min", "max", "mean", "median", "stddev")}
        benchmark["extra_info"].pop("latency_s", None)
        benchmark["extra_info"].pop("peer_median_s", None)


def test_kinds_of_machine_get_one_report_with_the_price_on_each(changed, tmp_path, capsys):
    runs = [str(SMALL), str(changed(other_machine, "other.json"))]
    prices = ["--price-per-hour", "Altered=0.05", "--price-per-hour", "0.2"]
    assert main(["report", *runs, "--machines", *prices, "-o", str(tmp_path / "out")]) == 0
    first, second, page = capsys.readouterr().out.splitlines()
    assert first.startswith("Test CPU, 2 cores: lowest latency 45.5 ms with onnx (2 threads); highest throughput ")
    assert second.startswith("Altered CPU, 2 cores: lowest latency 91.0 ms with onnx (2 threads); highest throughput ")
    assert " per million photos" in second
    assert page.startswith(str(tmp_path / "out/report.html"))
    # half as fast for a quarter of the price
    assert "lowest price per million photos: Altered CPU, 2 cores" in (tmp_path / "out/report.md").read_text()


def test_a_run_alone_has_a_price_too(tmp_path, capsys):
    assert main(["report", str(SMALL), "--price-per-hour", "0.0855", "-o", str(tmp_path)]) == 0
    assert "\nPrice per million photos: " in capsys.readouterr().out
    assert "### Price per million photos" in (tmp_path / "report.md").read_text()


def test_a_report_without_a_price_speaks_of_none(tmp_path, capsys):
    assert main(["report", str(SMALL), "-o", str(tmp_path)]) == 0
    assert "Price" not in capsys.readouterr().out + (tmp_path / "report.md").read_text()
