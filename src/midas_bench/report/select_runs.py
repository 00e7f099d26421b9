"""The command line's files, folders and labels -> the data of a report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from midas_bench.errors import UserError, printable
from midas_bench.report.photo_strip import Album
from midas_bench.report.report_data import Progress, ReportData
from midas_bench.results.compare import ComparedRuns
from midas_bench.results.machines import priced
from midas_bench.results.price import Prices
from midas_bench.results.recommendations import times_pipeline
from midas_bench.results.run_files import STORAGE, read, saved_in, siblings
from midas_bench.results.runs import UNKNOWN, Run, of_one_kind, redundant_runs

MOST_SIDES = 6
LONGEST_LABEL = 20
"""Letters of a label that nobody chose: it heads columns and stands beside charts."""
SAVED = re.compile(r"(\d{4})_([0-9a-f]{7})[0-9a-f]{33}_.*")
"""The stem of a file that --benchmark-autosave named: number, commit, date."""


def choose(
    places: Sequence[Path], labels: Sequence[str], album: Album, progress: Progress = lambda _: None
) -> ReportData:
    """Decide what the report is about.

    No place: the newest complete run of `.benchmarks/` that times the whole pipeline. One file: that run. One folder:
    as without a place. In each of these the other runs of its folder are its history. Several places, or labels: a side
    each, the first being the baseline; places of one label are one side, a folder being all its files.

    Raises:
        UserError: a file that was named is not usable, there is none, or labels and places do not match in number.
    """
    check_labels(places, labels)
    if len(places) > 1:
        return _comparison(places, labels, album, progress)
    place = places[0] if places else STORAGE
    if place.is_dir() or not places:
        runs, remarks = readable(saved_in(place), progress)
        if not runs:
            raise UserError(place, f"holds no usable file ({remarks[0]})", "name a file that pytest-benchmark saved")
        run = preferred(runs)
        notice = _passed_over(run, newest_complete(runs))
        if run.status == "partial" and not notice:
            remarks.append("No run here is complete; this is the newest partial one.")
    else:
        run, notice = read(place), ""
        others, _ = readable(siblings(place), progress)
        runs, remarks = [*others, run], []
    history, unknown = _history(run, runs)
    label = printable(labels[0]) if labels else run.name
    return ReportData(run, label, history, (), album, (*remarks, *unknown), notice)


def with_price(data: ReportData, prices: Prices) -> ReportData:
    """Add the price per hour of the machine that a report is about.

    Raises:
        UserError: a price names none of the machines of the report.
    """
    sides = [(side.label, run) for side in data.sides for run in side.runs] or [(data.label, data.run)]
    prices.check(priced(label, run.machine) for label, run in sides)
    return replace(data, price_per_hour=prices.of(priced(data.label, data.run.machine)))


def check_labels(places: Sequence[Path], labels: Sequence[str]) -> None:
    """Refuse labels that are not one for each place.

    Raises:
        UserError: their numbers differ.
    """
    if labels and len(labels) != len(places):
        reason = f"was given {len(labels)} for {len(places)} files or folders"
        raise UserError("--label", reason, "give one label for each; the same label joins them to one side")


def _passed_over(run: Run, newest: Run) -> str:
    """Return a sentence on the newest complete run where the report is about another one; else nothing."""
    if newest is run:
        return ""
    kind = "complete run" if newest.status == "complete" else "run"
    return (
        f"{newest.file}, the newest {kind}, does not time the whole pipeline, so the report is about {run.file}. "
        "Name the other file to see it."
    )


def _history(run: Run, others: Iterable[Run]) -> tuple[tuple[Run, ...], list[str]]:
    """Return the runs of the same network on the same kind of machine, oldest first.

    The second value is a remark where no machine is known.
    """
    runs = {other.path: other for other in others if other.networks == run.networks}
    same = [other for other in runs.values() if other.path == run.path or of_one_kind((run, other))]
    remarks = []
    if run.machine.kind == UNKNOWN and len(runs) > 1:
        remarks.append(f"No history: {run.file} names no CPU, so no other run is known to be of its machine.")
    return tuple(sorted(same, key=age)), remarks


def _comparison(places: Sequence[Path], labels: Sequence[str], album: Album, progress: Progress) -> ReportData:
    sides: dict[str, list[Run]] = {}
    # a default label is for showing only: a place is one side, whatever paths name it
    same = {place.resolve(): label for place, label in zip(places, default_labels(places), strict=True)}
    for place, label in zip(places, map(printable, labels or [same[place.resolve()] for place in places]), strict=True):
        paths = saved_in(place) if place.is_dir() else [place]
        for path in paths:
            progress(printable(path.name))
            sides.setdefault(label, []).append(read(path))
    remarks = []
    for label, runs in sides.items():
        for copy in redundant_runs(runs):
            del runs[next(i for i, run in enumerate(runs) if run is copy)]
            remarks.append(
                f"Left out of {label}: {printable(copy.path)}, whose rounds are all in another of its files."
            )
    if len(sides) > MOST_SIDES:
        advice = f"join them with --label, or name their folder to see the trend; at most {MOST_SIDES} sides"
        raise UserError(f"{len(sides)} sides", "are too many to compare", advice)
    if len(sides) == 1:
        [(label, runs)] = sides.items()
        run = preferred(runs)
        history, unknown = _history(run, runs)
        return ReportData(run, label, history, (), album, (*remarks, *unknown))
    compared_runs = tuple(ComparedRuns(label, tuple(runs)) for label, runs in sides.items())
    run = preferred(compared_runs[-1].runs)
    history, unknown = _history(run, (r for side in compared_runs for r in side.runs))
    if not labels:
        # a default label is shorter than the files' names
        remarks += [f"{side.label}: {', '.join(run.file for run in side.runs)}." for side in compared_runs]
    remarks.append(f"All sections but the comparison are about {compared_runs[-1].label}: {run.file}.")
    return ReportData(run, compared_runs[-1].label, history, compared_runs, album, (*remarks, *unknown))


def default_labels(places: Sequence[Path]) -> list[str]:
    """Name each place by its stem in at most `LONGEST_LABEL` letters; places that would share a name are numbered.

    Of a file that pytest-benchmark saved, number and commit are left.
    """
    labels = []
    for place in places:
        stem = printable(place.stem) or str(place)
        saved = SAVED.fullmatch(stem)
        label = f"{saved[1]}_{saved[2]}" if saved else stem
        labels.append(label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL // 2]}…{label[-6:]}")
    counts = Counter(labels)
    seen: Counter[str] = Counter()
    for index, label in enumerate(labels):
        if counts[label] > 1:
            seen[label] += 1
            labels[index] = f"{label[: LONGEST_LABEL - 3]}#{seen[label]}"
    return labels


def readable(paths: Sequence[Path], progress: Progress) -> tuple[list[Run], list[str]]:
    """Read the files that can be read, and return a remark on each of the others."""
    runs, remarks = [], []
    for path in paths:
        progress(printable(path.name))
        try:
            runs.append(read(path))
        except UserError as error:
            remarks.append(f"Left out: {printable(path.name)}, which {error.reason}.")
    return runs, remarks


def preferred(runs: Sequence[Run]) -> Run:
    """Return the newest complete run that times the whole pipeline; where none does, the newest complete one.

    A run of the stages alone is complete as well, but answers nothing. Of the runs with a pipeline, too, a complete one
    comes before one of unknown status, and that before a partial one.
    """
    return newest_complete([run for run in runs if times_pipeline(run.records)] or runs)


def newest_complete(runs: Sequence[Run]) -> Run:
    """Return the newest complete run, else the newest of unknown status, else the newest partial one."""
    rank = {"complete": 2, "unknown": 1}
    return max(runs, key=lambda run: (rank.get(run.status, 0), *age(run)))


def age(run: Run) -> tuple[str, str]:
    """Return what sorts runs by age: their date in ISO 8601, then their file's name."""
    return run.when, run.name
