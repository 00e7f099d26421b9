"""Sides of one or more runs, compared cell by cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from midas_bench.results.figures import PEAK, STARTUP, TIME, peak_bytes, startup_s, time_s
from midas_bench.results.intervals import CONFIDENCE, Interval, bootstrap_ratio, file_ratio, holm
from midas_bench.results.json_fields import clean
from midas_bench.results.runs import UNKNOWN, Record, RecordedMachine, Run, of_one_kind

PYTHON = "Python"
"""The fact that names Python's implementation and version."""

SIGNIFICANT = 0.05
"""The chance of one false verdict or more in a whole comparison."""


@dataclass(frozen=True)
class ComparedRuns:
    """Runs of one thing, such as a commit or a machine, under one label."""

    label: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Change:
    """One figure of one cell on both sides.

    Attributes:
        fullname: the cell.
        figure: time, peak memory or start-up.
        unit: s or bytes.
        before: the baseline's figure; the mean over its files.
        after: the other side's.
        ratio: after / before, with an interval where there is one; None where a figure is 0, which divides nothing.
        verdict: slower, faster, more, less, "no difference seen", or None where files are too few for a verdict.
        noisy: whether the machine was disturbed during the cell, on either side.
    """

    fullname: str
    figure: str
    unit: str
    before: float
    after: float
    ratio: Interval | None
    verdict: str | None
    noisy: bool


@dataclass(frozen=True)
class Comparison:
    """Two sides.

    Attributes:
        before: the baseline.
        after: what is compared with it.
        by_file: whether the file is the unit of the intervals; else they hold within these runs only.
        changes: cells on both sides.
        only_before: ids on the baseline only.
        only_after: ids on the other side only.
        machine_differences: by name, what the two sides record of their machines.
    """

    before: ComparedRuns
    after: ComparedRuns
    by_file: bool
    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    machine_differences: Mapping[str, tuple[str, str]]


def compare(before: ComparedRuns, after: ComparedRuns, confidence: float = CONFIDENCE) -> Comparison:
    """Match the cells of two sides by id, and compare what each has on both; intervals over files have `confidence`."""
    old, new = _by_cell(before), _by_cell(after)
    by_file = min(len(before.runs), len(after.runs)) >= 2
    changes: list[tuple[Change, float | None]] = []
    for fullname in old:
        if fullname in new:
            changes.extend(_changes(fullname, old[fullname], new[fullname], by_file, confidence))
    return Comparison(
        before=before,
        after=after,
        by_file=by_file,
        changes=tuple(_judged(changes)),
        only_before=tuple(name for name in old if name not in new),
        only_after=tuple(name for name in new if name not in old),
        machine_differences=machine_differences(before, after),
    )


def _by_cell(side: ComparedRuns) -> dict[str, list[Record]]:
    cells: dict[str, list[Record]] = {}
    for run in side.runs:
        for record in run.records:
            cells.setdefault(record.fullname, []).append(record)
    return cells


@dataclass(frozen=True)
class _Figure:
    name: str
    unit: str
    value_of: Callable[[Record], float | None]


FIGURES = (
    _Figure(TIME, "s", time_s),
    _Figure(PEAK, "bytes", peak_bytes),
    _Figure(STARTUP, "s", startup_s),
)


def files_with(side: ComparedRuns) -> dict[tuple[str, str], int]:
    """Return in how many files of a side each figure is, by its cell's id and its name."""
    counts = Counter(
        (record.fullname, figure.name)
        for run in side.runs
        for record in run.records
        for figure in FIGURES
        if figure.value_of(record) is not None
    )
    return dict(counts)


def kinds_without_figures(side: ComparedRuns) -> dict[str, int]:
    """Return how many cells of each kind a side has that hold none of `FIGURES`, so that they are never compared."""
    cells = {
        (r.fullname, r.kind) for run in side.runs for r in run.records if all(f.value_of(r) is None for f in FIGURES)
    }
    return dict(sorted(Counter(kind for _, kind in cells).items()))


def _changes(
    fullname: str, old: Sequence[Record], new: Sequence[Record], by_file: bool, confidence: float
) -> list[tuple[Change, float | None]]:
    changes: list[tuple[Change, float | None]] = []
    for figure in FIGURES:
        before = [value for record in old if (value := figure.value_of(record)) is not None]
        after = [value for record in new if (value := figure.value_of(record)) is not None]
        if not before or not after:
            continue
        ratio, p_value = _ratio(figure, before, after, old, new, confidence if by_file else None)
        noisy = any(record.info.noise.noisy for record in (*old, *new))
        means = sum(before) / len(before), sum(after) / len(after)
        changes.append((Change(fullname, figure.name, figure.unit, *means, ratio, None, noisy), p_value))
    return changes


def _ratio(
    figure: _Figure,
    before: Sequence[float],
    after: Sequence[float],
    old: Sequence[Record],
    new: Sequence[Record],
    file_confidence: float | None,
) -> tuple[Interval | None, float | None]:
    if 0 in (*before, *after):
        return None, None
    if file_confidence is not None:
        compared = file_ratio(after, before, file_confidence)
        if compared is not None:
            return compared.interval, compared.p_value
    estimate = (sum(after) / len(after)) / (sum(before) / len(before))
    bare = Interval(estimate, estimate, estimate, confidence=0.0)
    if figure.value_of is not time_s or len(old) > 1 or len(new) > 1:
        return bare, None
    times = old[0].times, new[0].times
    if min(len(side.passes_s) for side in times) > 1:
        # the rounds of one visit know nothing of what differs between visits
        of_passes = file_ratio(times[1].passes_s.tolist(), times[0].passes_s.tolist())
        return of_passes.interval if of_passes else bare, None
    if not all(side.allow_ratio_interval for side in times):
        return bare, None
    return bootstrap_ratio(times[1].rounds_s, times[0].rounds_s), None


def _judged(changes: Sequence[tuple[Change, float | None]]) -> list[Change]:
    """Correct for the number of cells, then give each its verdict."""
    p_values = [p_value for _, p_value in changes if p_value is not None]
    corrected = iter(holm(p_values))
    return [change if p_value is None else _with_verdict(change, next(corrected)) for change, p_value in changes]


def _with_verdict(change: Change, p_value: float) -> Change:
    words = ("more", "less") if change.unit == "bytes" else ("slower", "faster")
    less = change.ratio is not None and change.ratio.estimate < 1
    verdict = "no difference seen" if p_value >= SIGNIFICANT else words[less]
    return replace(change, verdict=verdict)


def machine_differences(before: ComparedRuns, after: ComparedRuns) -> dict[str, tuple[str, str]]:
    """Name what differs between the sides' machines; empty where all runs come from one kind of machine."""
    if of_one_kind((*before.runs, *after.runs)):
        return {}
    return _differences(before, after, _everything)


def software_differences(before: ComparedRuns, after: ComparedRuns) -> dict[str, tuple[str, str]]:
    """Name the software of which the sides ran other versions; empty where their machines differ anyway."""
    if not of_one_kind((*before.runs, *after.runs)):
        return {}
    return _differences(before, after, _software)


def different_networks(before: ComparedRuns, after: ComparedRuns) -> str:
    """Name the networks of the sides where they are not the same, model or input; else nothing."""
    if {run.networks for run in before.runs} == {run.networks for run in after.runs}:
        return ""
    return " and ".join(
        f"{clean('; '.join(sorted({r.info.weights.text for run in side.runs for r in run.records})))} in {side.label}"
        for side in (before, after)
    )


def machine_heading(before: ComparedRuns, after: ComparedRuns) -> str:
    """Return the heading of a warning: that machines differ, or that one is unknown; else nothing."""
    runs = (*before.runs, *after.runs)
    if of_one_kind(runs):
        return ""
    kinds = {run.machine.kind for run in runs} - {UNKNOWN}
    return "DIFFERENT MACHINES" if len(kinds) > 1 else "UNKNOWN MACHINE"


def _differences(
    before: ComparedRuns, after: ComparedRuns, facts: Callable[[RecordedMachine], Iterable[tuple[str, str]]]
) -> dict[str, tuple[str, str]]:
    old, new = _values(before, facts), _values(after, facts)
    return {
        name: (" or ".join(old.get(name, ["unknown"])), " or ".join(new.get(name, ["unknown"])))
        for name in dict.fromkeys((*old, *new))
        if name == "kind" or old.get(name, {}).keys() != new.get(name, {}).keys()
    }


def _values(
    side: ComparedRuns, facts: Callable[[RecordedMachine], Iterable[tuple[str, str]]]
) -> dict[str, dict[str, None]]:
    values: dict[str, dict[str, None]] = {}
    for run in side.runs:
        for name, value in facts(run.machine):
            values.setdefault(name, {})[value] = None
    return values


def _software(machine: RecordedMachine) -> Iterable[tuple[str, str]]:
    yield from ((name, value) for name, value in machine.facts.items() if name == PYTHON)
    yield from machine.versions.items()


def _everything(machine: RecordedMachine) -> Iterable[tuple[str, str]]:
    yield "kind", machine.kind
    yield from machine.facts.items()
    yield from machine.versions.items()
