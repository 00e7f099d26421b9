"""Two sides or more -> the section that sets each beside the first."""

from __future__ import annotations

from collections.abc import Iterable

from midas_bench.render.document import Section, present
from midas_bench.report import tables
from midas_bench.report.charts import forest
from midas_bench.report.report_data import ReportData
from midas_bench.results import units
from midas_bench.results.compare import ComparedRuns, Comparison, different_networks, software_differences
from midas_bench.results.runs import UNKNOWN


def comparison_section(data: ReportData) -> Section:
    """Compare every other side with the first."""
    comparisons = data.comparisons
    if not comparisons:
        return Section("comparison", "Comparison")
    builders = (tables.machines_differ, tables.comparison, tables.one_sided)
    numbered = list(enumerate(comparisons, start=1))
    all_tables = present(*(build(comparison, number) for number, comparison in numbered for build in builders))
    charts = present(*(forest.comparison(comparison, number) for number, comparison in numbered))
    machine_warnings = [warning for comparison in comparisons for warning in _warnings(comparison)]
    text = [sentence for comparison in comparisons for sentence in _basis(comparison)]
    return Section("comparison", "Comparison", tuple(machine_warnings), tuple(text), tables=all_tables, charts=charts)


def _warnings(compared: Comparison) -> Iterable[str]:
    before, after = compared.before, compared.after
    nameless = ", ".join(run.path.name for side in (before, after) for run in side.runs if run.machine.kind == UNKNOWN)
    if nameless:
        yield (
            f"UNKNOWN MACHINE: {nameless}: no CPU is named, so {before.label} and {after.label} may be of different "
            "kinds of machine. A difference says nothing about the code."
        )
    elif compared.machine_differences:
        yield (
            f"DIFFERENT MACHINES: {before.label} and {after.label} were not measured on the same kind of machine. A "
            "difference says nothing about the code."
        )
    networks = different_networks(before, after)
    if networks:
        yield f"DIFFERENT NETWORKS: {networks}. A difference says nothing about the code."
    differences = software_differences(before, after).items()
    if differences:
        versions = "; ".join(f"{name}: {old} and {new}" for name, (old, new) in differences)
        yield f"DIFFERENT SOFTWARE: {before.label} and {after.label} ran with other versions: {versions}."


def _basis(compared: Comparison) -> Iterable[str]:
    before, after = compared.before, compared.after
    yield f"{after.label} ({_files(after)}) compared with {before.label} ({_files(before)}), cell by cell."
    if compared.by_file:
        judged = [change for change in compared.changes if change.verdict]
        verdicts = ("slower", "faster", "more", "less")
        counts = ", ".join(f"{sum(c.verdict == word for c in judged)} {word}" for word in verdicts)
        yield (
            f"The file is the unit of the intervals. Of {len(judged)} figures: {counts}. Verdicts allow one false "
            "alarm in twenty comparisons, however many cells there are. Runs taken at different times also differ by "
            "drift of the machine."
        )
    else:
        yield (
            "With a single file on a side, intervals know what differed between the passes of a run. They do not know "
            "how the machine drifted from one run to the other, so there is no verdict. Make runs in turn, and name "
            "several files per side, to get one."
        )
    without_ratio = sum(change.ratio is None for change in compared.changes)
    if without_ratio:
        yield (
            f"{without_ratio} of {len(compared.changes)} figures are 0 in a file, below the resolution of its timer. "
            "They have no ratio."
        )
    if not compared.changes:
        yield "The two sides have no cell in common."


def _files(side: ComparedRuns) -> str:
    return units.counted(len(side.runs), "file")
