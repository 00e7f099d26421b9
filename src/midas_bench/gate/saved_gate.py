"""Compare results that were saved earlier: the unit is the file, and machine drift between files stays unseen."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from midas_bench.errors import UserError
from midas_bench.gate.result import GateResult
from midas_bench.gate.rule import INVALID, MISSING, REGRESSED, UNDECIDED, Figure, Judgement, verdict
from midas_bench.gate.thresholds import Thresholds
from midas_bench.results.compare import (
    FIGURES,
    Change,
    ComparedRuns,
    compare,
    different_networks,
    files_with,
    kinds_without_figures,
    machine_differences,
    machine_heading,
    software_differences,
)  # fmt: skip
from midas_bench.results.intervals import CONFIDENCE, Interval
from midas_bench.results.run_files import read, saved_in
from midas_bench.results.runs import UNKNOWN, Run, of_one_kind

DRIFT = (
    "These runs were made at different times. Every ratio includes the machine's drift between them, which is tens of "
    "per cent on shared machines. `midas-bench gate run --base REF` measures both sides interleaved."
)
OTHER_MACHINE = "the files come from different kinds of machine; --force compares anyway"
UNKNOWN_MACHINE = "a file names no CPU, so the machine is unknown; --force compares anyway"
NO_RATIO = "a file holds 0, below its timer's resolution, so there is no ratio; time more calls per round"
ONE_FILE = "one file per side shows no spread between runs; give two or more"

Key = tuple[str, str]
"""A figure: its cell's id, and its own name."""


@dataclass(frozen=True)
class SavedQuestion:
    """Which files are compared, and how.

    Attributes:
        baseline: files or folders.
        run: files or folders that are judged.
        thresholds: growth that is worth an alarm.
        alpha: the chance of one false alarm or more that is accepted.
        force: whether other machines are accepted.
        lenient: whether what is inconclusive passes.
    """

    baseline: Sequence[Path]
    run: Sequence[Path]
    thresholds: Thresholds
    alpha: float
    force: bool = False
    lenient: bool = False


def gate_saved(question: SavedQuestion) -> GateResult:
    """Judge the run's files against those of the baseline.

    A figure that any of the files lacks is missing: its cell may have failed, and must not pass.

    Raises:
        UserError: a file is not usable, or is on both sides.
    """
    before, after = _side("baseline", question.baseline), _side("run", question.run)
    twice = {run.path.resolve() for run in before.runs} & {run.path.resolve() for run in after.runs}
    if twice:
        raise UserError(min(twice), "is on both sides", "name other files for --run")
    absent = _absent(before, after)
    judgements = _judged(before, after, absent.keys(), question)
    judgements += [Judgement(_figure(*key, question), MISSING, reason=reason) for key, reason in absent.items()]
    return GateResult(
        base=_title(before),
        head=_title(after),
        judgements=judgements,
        differences=(),
        alpha=question.alpha,
        lenient=question.lenient,
        notes=[DRIFT, *_notes(before, after)],
        base_values={
            _name(change.fullname, change.figure): change.before for change in _changes(before, after, CONFIDENCE)
        },
    )


def _side(label: str, places: Sequence[Path]) -> ComparedRuns:
    paths = [path for place in places for path in (saved_in(place) if place.is_dir() else [place])]
    unique = dict.fromkeys(path.resolve() for path in paths)
    return ComparedRuns(label, tuple(read(path) for path in unique))


def _title(side: ComparedRuns) -> str:
    return ", ".join(run.name for run in side.runs)


def _absent(before: ComparedRuns, after: ComparedRuns) -> dict[Key, str]:
    """Return, for each figure that some file lacks, where it is missing."""
    counts = [(side.label, len(side.runs), files_with(side)) for side in (before, after)]
    absent: dict[Key, list[str]] = {}
    for key in dict.fromkeys(key for _, _, having in counts for key in having):
        for label, files, having in counts:
            if having.get(key, 0) < files:
                share = f"in {having.get(key, 'none')} of the {files} files of" if files > 1 else "not in"
                absent.setdefault(key, []).append(f"is {share} the {label}")
    return {key: " and ".join(reasons) for key, reasons in absent.items()}


def _notes(before: ComparedRuns, after: ComparedRuns) -> Iterable[str]:
    for heading, differences in (
        (machine_heading(before, after), machine_differences(before, after)),
        ("DIFFERENT SOFTWARE", software_differences(before, after)),
    ):
        if differences:
            yield f"{heading}: " + "; ".join(f"{name}: {old} and {new}" for name, (old, new) in differences.items())
    networks = different_networks(before, after)
    if networks:
        yield f"DIFFERENT NETWORKS: {networks}"
    for side in (before, after):
        unnamed = [run.name for run in side.runs if run.machine.kind == UNKNOWN]
        if unnamed:
            yield f"{', '.join(unnamed)}: the machine's CPU is not named"
        for run in side.runs:
            if run.status == "partial":
                yield f"{run.name} is partial: {len(run.unmeasured)} of its planned cells were not measured"
        kinds = kinds_without_figures(side)
        if kinds:
            cells = ", ".join(f"{count} of kind {kind}" for kind, count in kinds.items())
            yield f"not compared, having no time, memory or start-up of their own: {cells}, in the {side.label}"


def _changes(before: ComparedRuns, after: ComparedRuns, confidence: float) -> Sequence[Change]:
    # two files that are far apart have an infinite upper bound
    with np.errstate(over="ignore"):
        return compare(before, after, confidence).changes


def _name(fullname: str, figure: str) -> str:
    """Name a figure so that no other one has its name, whatever cells are called."""
    taken = fullname.endswith(tuple(f" {other.name}" for other in FIGURES))
    return fullname if figure == "median time" and not taken else f"{fullname} {figure}"


def _figure(fullname: str, figure: str, question: SavedQuestion) -> Figure:
    cell = fullname.rpartition("::")[2].removeprefix("test_")
    threshold = question.thresholds.of(cell if figure == "median time" else figure)
    [unit] = [row.unit for row in FIGURES if row.name == figure]
    return Figure(_name(fullname, figure), threshold, unit)


def _judged(
    before: ComparedRuns, after: ComparedRuns, absent: Collection[Key], question: SavedQuestion
) -> list[Judgement]:
    """Judge all figures; each that regressed leaves a larger share of alpha to those that are left, as Holm has it.

    As in `rule.Family.look`, that holds for lower bounds; what passes does so by bounds that share alpha among all.
    """

    def compared(tail: float) -> list[Change]:
        changes = _changes(before, after, 1 - 2 * tail)
        return [change for change in changes if (change.fullname, change.figure) not in absent]

    obstacle = "" if question.force else _obstacle((*before.runs, *after.runs))
    files = min(len(before.runs), len(after.runs))
    count = max(1, len(compared(question.alpha)))
    widest = compared(question.alpha / count)
    judgements, regressed = list[Judgement](), -1
    while regressed != (now := sum(judgement.verdict == REGRESSED for judgement in judgements)):
        regressed = now
        stepped = compared(question.alpha / max(1, count - regressed))
        judgements = [_judge(*both, files, obstacle, question) for both in zip(stepped, widest, strict=True)]
    return judgements


def _obstacle(runs: Sequence[Run]) -> str:
    if of_one_kind(runs):
        return ""
    return UNKNOWN_MACHINE if any(run.machine.kind == UNKNOWN for run in runs) else OTHER_MACHINE


def _judge(change: Change, wide: Change, files: int, obstacle: str, question: SavedQuestion) -> Judgement:
    figure = _figure(change.fullname, change.figure, question)
    low, high = change.ratio, wide.ratio
    ratio = low and high and Interval(low.estimate, low.low, high.high, (low.confidence + high.confidence) / 2)
    if obstacle:
        return Judgement(figure, INVALID, ratio, files, reason=obstacle)
    if ratio is None:
        return Judgement(figure, INVALID, ratio, files, reason=NO_RATIO)
    if change.verdict is None:
        return Judgement(figure, UNDECIDED, ratio, files, reason=ONE_FILE)
    # two files that are far apart have a lower bound of 0
    log_low = math.log(ratio.low) if ratio.low > 0 else -math.inf
    logs = Interval(math.log(ratio.estimate), log_low, math.log(ratio.high), ratio.confidence)
    return Judgement(figure, verdict(logs, figure.threshold), ratio, files)
