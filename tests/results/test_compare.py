from __future__ import annotations

import statistics
from itertools import product

import pytest

from midas_bench.results.compare import ComparedRuns, compare, files_with, kinds_without_figures
from midas_bench.results.run_files import read


def scaled(factor):
    def change(content):
        for benchmark in content["benchmarks"]:
            stats = benchmark["stats"]
            for name in ("min", "max", "mean", "stddev", "median"):
                stats[name] *= factor
            stats["data"] = [value * factor for value in stats["data"]]

    return change


@pytest.fixture
def side(changed):
    def make(label, *factors):
        return ComparedRuns(label, tuple(read(changed(scaled(f), f"{label}-{i}.json")) for i, f in enumerate(factors)))

    return make


def by_figure(compared, fullname_part, figure="median time"):
    return next(c for c in compared.changes if fullname_part in c.fullname and c.figure == figure)


def test_one_file_per_side_gives_no_verdict(side):
    compared = compare(side("old", 1.0), side("new", 2.0))
    change = by_figure(compared, "test_article[street]")
    assert not compared.by_file
    assert (change.before, change.after) == (0.1055, 0.211)
    assert change.ratio.estimate == pytest.approx(2)
    assert change.ratio.low < 2 < change.ratio.high
    assert {c.verdict for c in compared.changes} == {None}


def test_with_several_files_the_file_is_the_unit(side):
    compared = compare(side("old", 1.0, 1.1), side("new", 2.0, 2.2))
    change = by_figure(compared, "test_article[street]")
    assert compared.by_file
    # as in test_intervals: Welch on two files a side
    assert (change.ratio.estimate, change.ratio.low, change.ratio.high) == pytest.approx(
        (2, 1.496566, 2.672786), rel=1e-5
    )
    assert change.before == pytest.approx(0.1055 * 1.05)
    # one cell of eight: p = 0.0093 does not survive Holm's correction
    assert change.verdict == "no difference seen"


def test_a_clear_difference_is_called_by_its_name(side):
    old, new = side("old", 1.0, 1.001, 1.002), side("new", 2.0, 2.001, 2.002)
    assert by_figure(compare(old, new), "test_article").verdict == "slower"
    assert by_figure(compare(new, old), "test_article").verdict == "faster"
    assert by_figure(compare(old, new), "test_memory[eager", "peak memory").verdict == "no difference seen"


def test_identical_files_show_no_difference(side):
    compared = compare(side("old", 1.0, 1.01), side("new", 1.0, 1.01))
    assert {c.verdict for c in compared.changes} == {"no difference seen"}
    assert all(c.ratio.holds(1) for c in compared.changes)


def test_memory_and_startup_are_compared_too(changed):
    def more(content):
        for benchmark in content["benchmarks"]:
            info = benchmark["extra_info"]
            if "peak_rss_bytes" in info:
                info["peak_rss_bytes"] *= 2
            if "startup_s" in info:
                info["startup_s"]["load"] = [0.9, 0.9, 0.9]

    compared = compare(
        ComparedRuns("old", (read(changed(name="o.json")),)), ComparedRuns("new", (read(changed(more)),))
    )
    assert by_figure(compared, "test_memory[eager", "peak memory").ratio.estimate == 2
    startup = by_figure(compared, "test_startup", "start-up")
    assert (startup.before, startup.after) == (pytest.approx(0.7), pytest.approx(1.4))


def test_cells_of_one_side_are_listed(changed):
    fewer = read(changed(lambda content: content["benchmarks"].pop(0)))
    whole = read(changed(name="whole.json"))
    compared = compare(ComparedRuns("old", (whole,)), ComparedRuns("new", (fewer,)))
    assert compared.only_before == ("bench/test_article.py::test_article[street]",)
    assert compared.only_after == ()
    assert not any("test_article" in c.fullname for c in compared.changes)


def test_noise_on_either_side_marks_the_change(side):
    compared = compare(side("old", 1.0), side("new", 1.0))
    assert by_figure(compared, "[onnx-b1-street]").noisy
    assert not by_figure(compared, "[eager-b1-street]").noisy


def test_comparison_names_the_differences_of_machines(changed):
    def other(content):
        content["machine_info"]["midas_bench"] |= {"fingerprint": "other", "cpu_model": "Another CPU"}

    old, new = read(changed(name="old.json")), read(changed(other))
    differences = compare(ComparedRuns("old", (old,)), ComparedRuns("new", (new,))).machine_differences
    assert differences == {"kind": ("abc123", "other"), "cpu model": ("Test CPU", "Another CPU")}
    assert compare(ComparedRuns("old", (old,)), ComparedRuns("new", (old,))).machine_differences == {}


def of_no_time(content):
    for benchmark in content["benchmarks"]:
        stats = benchmark["stats"]
        stats |= dict.fromkeys(("min", "max", "mean", "stddev", "median"), 0.0)
        stats["data"] = [0.0] * len(stats["data"])
        if "startup_s" in benchmark["extra_info"]:
            phases = benchmark["extra_info"]["startup_s"]
            benchmark["extra_info"]["startup_s"] = {phase: [0.0] * len(values) for phase, values in phases.items()}


@pytest.mark.parametrize(("files", "zeros"), [*product((1, 2), ("before", "after", "both")), (2, "one file of before")])
def test_a_figure_of_0_is_compared_without_a_ratio(changed, files, zeros):
    usual = [read(changed(scaled(1 + i / 100), f"usual-{i}.json")) for i in range(files)]
    zero = [read(changed(of_no_time, f"zero-{i}.json")) for i in range(files)]
    before = {"after": usual, "one file of before": [zero[0], *usual[1:]]}.get(zeros, zero)
    after = usual if "before" in zeros else zero
    sides = ComparedRuns("old", tuple(before)), ComparedRuns("new", tuple(after))
    compared = compare(*sides)
    timed = [c for c in compared.changes if c.figure in ("median time", "start-up")]
    assert {c.figure for c in timed} == {"median time", "start-up"}
    assert {(c.ratio, c.verdict) for c in timed} == {(None, None)}
    assert all(c.ratio is not None for c in compared.changes if c.figure == "peak memory")
    assert (compared.only_before, compared.only_after) == ((), ())
    assert all((c.before == 0) == (zeros in ("before", "both")) for c in timed)
    assert [files_with(side)[c.fullname, c.figure] for side in sides for c in timed] == [files] * 2 * len(timed)
    assert kinds_without_figures(sides[0]) == kinds_without_figures(ComparedRuns("usual", tuple(usual)))


def test_rounds_of_0_below_a_median_above_it_give_a_ratio_without_an_interval(changed):
    def some_zeros(content):
        for benchmark in content["benchmarks"]:
            stats = benchmark["stats"]
            if stats.get("data"):
                stats["data"][0] = stats["min"] = 0.0
                stats["median"] = statistics.median(stats["data"])
                benchmark["extra_info"].pop("latency_s", None)

    change = by_figure(
        compare(
            ComparedRuns("old", (read(changed(name="o.json")),)), ComparedRuns("new", (read(changed(some_zeros)),))
        ),
        "test_article[street]",
    )
    assert change.ratio.low == change.ratio.estimate == change.ratio.high > 0
