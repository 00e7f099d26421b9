"""Runs -> what other projects' trackers read: Bencher, github-action-benchmark, and OpenMetrics for Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from midas_bench.errors import UserError, printable
from midas_bench.results.figures import PEAK, STARTUP, THROUGHPUT, TIME, Figure, figures
from midas_bench.results.runs import UNKNOWN, Record, Run

MEASURES = {
    TIME: ("latency", 1e9),
    THROUGHPUT: ("throughput", 1.0),
    PEAK: ("peak-memory-bytes", 1.0),
    STARTUP: ("start-up-seconds", 1.0),
}
"""By figure, the slug of Bencher's measure, and how many of its units one of ours is.

Bencher fixes the units of the first two: nanoseconds, and operations per second. It makes a measure that it does not
know. Source: bencherdev/bencher, lib/bencher_json/src/project/measure/built_in.rs.
"""

LONGEST_NAME_BYTES = 1024
"""Bencher refuses a whole file for one longer name. Source: bencherdev/bencher, lib/bencher_valid."""

FAMILIES = {
    TIME: ("latency", "seconds", "Median time of a call"),
    THROUGHPUT: ("throughput", "photos_per_second", "Photos per second"),
    PEAK: ("peak_memory", "bytes", "Highest resident memory of a process"),
    STARTUP: ("startup", "seconds", "Time from the start of a process to its first heat map"),
}
"""By figure, what stands between prefix and unit in the name of its OpenMetrics family, its unit, and its help."""

PREFIX = "midas_bench"
NOTHING = "no time, throughput, peak of memory or start-up"


@dataclass(frozen=True)
class Cell:
    """A cell that has figures, and its run."""

    run: Run
    record: Record
    figures: Sequence[Figure]

    @property
    def name(self) -> str:
        """Its id, in letters that each of the formats can hold."""
        return printable(self.record.fullname)

    @property
    def labels(self) -> dict[str, str]:
        """What it measured, by the names of labels; what it lacks is left out."""
        info = self.record.info
        known = {
            "model": info.model,
            "backend": info.backend,
            "batch": info.batch_size,
            "scene": info.scene,
            "threads": info.threads,
            "kind": self.record.kind,
        }
        return {name: printable(value) for name, value in known.items() if value is not None}


def cells(runs: Sequence[Run]) -> list[Cell]:
    """Return the cells that have figures, run by run.

    Raises:
        UserError: there is none.
    """
    with_figures = [
        Cell(run, record, of_cell) for run in runs for record in run.records if (of_cell := figures(record))
    ]
    if not with_figures:
        thing, holds = (runs[0].path, "holds") if len(runs) == 1 else (f"{len(runs)} files", "hold")
        raise UserError(thing, f"{holds} {NOTHING}", "name a run of `pytest bench/`")
    return with_figures


def _each_once(several: Sequence[Cell]) -> Sequence[Cell]:
    seen: dict[str, Cell] = {}
    for cell in several:
        other = seen.setdefault(cell.name, cell)
        if other is not cell:
            reason = f"holds {cell.name}, and so does {other.run.file}"
            raise UserError(cell.run.path, reason, "export each by itself, or use --format openmetrics")
    return several


def bencher(runs: Sequence[Run]) -> str:
    """Return Bencher Metric Format: by cell and measure, a value and the ends of its interval.

    Raises:
        UserError: as `cells`; a cell is in two of the runs, or its name is too long for Bencher.
    """
    by_cell: dict[str, dict[str, Any]] = {}
    for cell in _each_once(cells(runs)):
        length_bytes = len(cell.name.encode())
        if length_bytes > LONGEST_NAME_BYTES:
            reason = f"has a name of {length_bytes} bytes, and Bencher takes {LONGEST_NAME_BYTES}"
            raise UserError(f"{cell.name[:60]}…", reason, "shorten the benchmark's parameters")
        by_cell[cell.name] = dict(map(_measure, cell.figures))
    return _json(by_cell)


def _measure(figure: Figure) -> tuple[str, dict[str, float]]:
    slug, size = MEASURES[figure.name]
    metric = {"value": figure.value * size}
    if figure.interval:
        metric |= {"lower_value": figure.interval.low * size, "upper_value": figure.interval.high * size}
    return slug, metric


def github_action_benchmark(runs: Sequence[Run]) -> str:
    """Return the JSON of github-action-benchmark's tool `customSmallerIsBetter`.

    There a larger value is an alarm. So a throughput stands as its inverse, the time per photo; and not at all where
    the cell has a median time, which says the same.

    Raises:
        UserError: as `cells`; or a cell is in two of the runs.
    """
    return _json([entry for cell in _each_once(cells(runs)) for entry in _entries(cell)])


def _entries(cell: Cell) -> Iterator[dict[str, Any]]:
    names = {figure.name for figure in cell.figures}
    for figure in cell.figures:
        if figure.name != THROUGHPUT:
            yield _entry(cell, figure)
        elif TIME not in names:
            yield _entry(cell, Figure("time per photo", "s", 1 / figure.value))


def _entry(cell: Cell, figure: Figure) -> dict[str, Any]:
    entry = {"name": f"{cell.name}: {figure.name}", "unit": figure.unit, "value": figure.value}
    extra = [f"{name}: {value}" for name, value in cell.labels.items()]
    if figure.interval:
        low, high = figure.interval.low, figure.interval.high
        # one number behind the sign: the only form that it converts to another unit
        entry["range"] = f"± {max(figure.value - low, high - figure.value)}"
        extra.append(f"{figure.interval.confidence:.0%} interval: {low} to {high} {figure.unit}")
    if cell.record.info.noise.noisy:
        extra.append(f"disturbed: {'; '.join(map(printable, cell.record.info.noise.reasons))}")
    return entry | {"extra": "\n".join(extra)}


@dataclass(frozen=True)
class _Family:
    """Gauges of one name: by labels and time, their values."""

    name: str
    unit: str
    help: str
    points: dict[str, dict[str, float]] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        yield f"# TYPE {self.name} gauge"
        if self.unit:
            yield f"# UNIT {self.name} {self.unit}"
        yield f"# HELP {self.name} {self.help}."
        for labels, points in self.points.items():
            for time in sorted(points, key=lambda time: float(time or 0)):
                yield f"{self.name}{{{labels}}} {points[time]!r} {time}".rstrip()


def openmetrics(runs: Sequence[Run]) -> str:
    """Return OpenMetrics text 1.0: a gauge for each figure and each end of its interval, dated by its run.

    Several runs of a cell on one machine are points of one series.
    Source: https://prometheus.io/docs/specs/om/open_metrics_spec/.

    Raises:
        UserError: as `cells`; or two files hold a cell of one machine for the same time, or do not say for which.
    """
    families: dict[str, _Family] = {}
    for cell in cells(runs):
        labels, time = _labels(cell), _timestamp(cell.run)
        for family, value in _gauges(cell):
            points = families.setdefault(family.name, family).points.setdefault(labels, {})
            if points and (not time or time in points or "" in points):
                reason = f"holds {cell.name} of a machine and a time that another file has it of"
                raise UserError(cell.run.path, reason, "name each run once")
            points[time] = value
    return "".join(f"{line}\n" for family in families.values() for line in family.lines()) + "# EOF\n"


def _labels(cell: Cell) -> str:
    labels = cell.labels | {"cell": cell.name}
    if cell.run.machine.kind != UNKNOWN:
        labels["machine"] = printable(cell.run.machine.kind)
    # a line end, the third character that needs an escape, is none that `printable` leaves
    escaped = {name: value.replace("\\", r"\\").replace('"', r"\"") for name, value in labels.items()}
    return ",".join(f'{name}="{value}"' for name, value in sorted(escaped.items()))


def _gauges(cell: Cell) -> Iterator[tuple[_Family, float]]:
    for figure in cell.figures:
        stem, unit, text = FAMILIES[figure.name]
        yield _Family(f"{PREFIX}_{stem}_{unit}", unit, text), figure.value
        if figure.interval:
            for end, value in (("low", figure.interval.low), ("high", figure.interval.high)):
                yield _Family(f"{PREFIX}_{stem}_{end}_{unit}", unit, f"{text}, {end} end of its interval"), value
    if (noisy := cell.record.info.noise.noisy) is not None:
        yield _Family(f"{PREFIX}_disturbed", "", "Whether the machine was disturbed: 1, or 0"), float(noisy)


def _timestamp(run: Run) -> str:
    """Return the seconds since 1970 at which a run was saved; empty where the file does not say it."""
    try:
        when = datetime.fromisoformat(run.when)
    except ValueError:
        return ""
    # older versions of pytest-benchmark wrote UTC without saying so
    return f"{(when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp():.3f}"


def _json(content: object) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Run]], str]] = {
    "bencher": bencher,
    "github-action-benchmark": github_action_benchmark,
    "openmetrics": openmetrics,
}
"""By the name that users give, what writes it."""
