"""Two sides or more -> the section that sets each beside the first."""

from __future__ import annotations

from collections.abc import Iterable

from midas_bench.report import tables
from midas_bench.report.charts import forest
from midas_bench.report.model import Section, present
from midas_bench.report.report_data import ReportData
from midas_bench.results.compare import ComparedRuns, Comparison, software_differences
from midas_bench.results.runs import UNKNOWN


def comparison_section(data: ReportData) -> Section:
    """Compare every other side with the first."""
    compared = data.comparisons
    if not compared:
        return Section("comparison", "Comparison")
    shown = (tables.machines_differ, tables.comparison, tables.one_sided)
    found = present(*(build(one, number) for number, one in enumerate(compared, start=1) for build in shown))
    charts = present(*(forest.comparison(one, number) for number, one in enumerate(compared, start=1)))
    loud = [warning for one in compared for warning in _warnings(one)]
    text = [said for one in compared for said in _how(one)]
    return Section("comparison", "Comparison", tuple(loud), tuple(text), tables=found, charts=charts)


def _warnings(compared: Comparison) -> Iterable[str]:
    before, after = compared.before, compared.after
    nameless = ", ".join(run.path.name for side in (before, after) for run in side.runs if run.machine.kind == UNKNOWN)
    if nameless:
        yield (
            f"UNKNOWN MACHINE: {nameless}: no CPU is named, so nobody knows whether {before.label} and {after.label} "
            "were measured on the same kind of machine. A difference says nothing about the code."
        )
    elif compared.machine_differences:
        yield (
            f"DIFFERENT MACHINES: {before.label} and {after.label} were not measured on the same kind of machine, so a "
            "difference says nothing about the code."
        )
    differences = software_differences(before, after).items()
    if differences:
        versions = "; ".join(f"{name}: {old} and {new}" for name, (old, new) in differences)
        yield f"DIFFERENT SOFTWARE: {before.label} and {after.label} ran with other versions: {versions}."


def _how(compared: Comparison) -> Iterable[str]:
    before, after = compared.before, compared.after
    yield f"{after.label} ({_files(after)}) beside {before.label} ({_files(before)}), cell by cell."
    if compared.by_file:
        judged = [change for change in compared.changes if change.verdict]
        words_of = ("slower", "faster", "more", "less")
        counts = ", ".join(f"{sum(c.verdict == word for c in judged)} {word}" for word in words_of)
        yield (
            f"The file is the unit of the intervals. Of {len(judged)} figures: {counts}. Verdicts allow one false "
            "alarm in twenty comparisons, however many cells there are. Runs taken at different times also differ by "
            "drift of the machine."
        )
    else:
        yield (
            "With a single file on a side, intervals hold within these runs only and no verdict is given: two runs of "
            "the same code can differ by more. Name several files a side to get one."
        )
    without_ratio = sum(change.ratio is None for change in compared.changes)
    if without_ratio:
        yield (
            f"{without_ratio} of {len(compared.changes)} figures are 0 in a file, below what its timer can tell: they "
            "have no ratio."
        )
    if not compared.changes:
        yield "The two sides have no cell in common."


def _files(side: ComparedRuns) -> str:
    return f"{len(side.runs)} file{'' if len(side.runs) == 1 else 's'}"
