"""Test the gate on this machine: blocks of two equal sides, live gates, and the rule's verdicts on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from midas_bench import scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.errors import UserError
from midas_bench.gate import control, git, revisions
from midas_bench.gate.arms import BASE, HEAD, Arm, Sides
from midas_bench.gate.block_journal import BlockJournal, Row
from midas_bench.gate.block_series import BlockSeries, figures_of
from midas_bench.gate.fake_revision import BACKEND as STAND_IN
from midas_bench.gate.fake_revision import write_fake_revision
from midas_bench.gate.gate_cells import FAMILY, PIPELINE, GateCell
from midas_bench.gate.measurement import MOST_DEATHS, measure_block
from midas_bench.gate.open_arms import cache_folder_of_gate, exclusive_gate, prepare
from midas_bench.gate.preflight import check_arms
from midas_bench.gate.question import Question
from midas_bench.gate.result import GateResult
from midas_bench.gate.revision_gate import Listener, compare_sides, facts_of, identity, series_of
from midas_bench.gate.rule import Family, Figure
from midas_bench.gate.simulation import LIVE_SLOWDOWN, RESAMPLED, RESAMPLED_QUICK, resample
from midas_bench.gate.thresholds import Thresholds
from midas_bench.measure.noise_probe import NoiseProbe
from midas_bench.processes import ProcessDiedError

STAND_IN_CELLS = (GateCell(PIPELINE, STAND_IN), GateCell("decode", STAND_IN))
SCHEMA = 1


@dataclass(frozen=True)
class SelfTestPlan:
    """The settings of a self-test.

    Attributes:
        gates: number of live gates with equal sides and the default family. As many run with a slowdown of
            `LIVE_SLOWDOWN` and the pipeline alone.
        blocks: number of blocks of equal sides to draw from, those of the live gates included.
        question: thresholds, alpha, budget, seed and weights of every gate.
        on_stand_in: whether a fake revision of known duration is measured in place of the network.
    """

    blocks: int
    gates: int
    question: Question
    on_stand_in: bool = False


def self_test(plan: SelfTestPlan, folder: Path, listener: Listener) -> tuple[dict[str, Any], BlockJournal]:
    """Record blocks, draw gates from them, and run live ones.

    Returns:
        The document in JSON types, and the journal, to be removed once the document is written.

    Raises:
        UserError: see `revision_gate.gate_revisions`; or workers died, and the finished blocks are in the journal.
    """
    repository = git.repository(folder)
    config = resolve(PipelineConfig(FAMILY[0].backend, 1, plan.question.weights))
    gate_folder = cache_folder_of_gate()
    with exclusive_gate(gate_folder), revisions.temporary_checkouts(repository, gate_folder) as run_folder:
        cells = STAND_IN_CELLS if plan.on_stand_in else FAMILY
        write = write_fake_revision if plan.on_stand_in else partial(revisions.copy_working_tree, repository)
        base, head = (Arm(name, write(run_folder / name), config) for name in (BASE, HEAD))
        sides = Sides(base, (head,), scene_photos.from_manifest(suite_photos(repository)), run_folder)
        question = replace(plan.question, cells=cells)
        facts = facts_of(question, sides)
        same = identity(question, sides, facts) | {"self_test": SCHEMA, "budget_s": question.budget_s}
        journal = BlockJournal.of(gate_folder, same)
        journal.begin(question.resume)
        live: list[dict[str, Any]] = []
        rows: list[Row] = []
        if not plan.on_stand_in:
            sides = prepare(sides, cells, listener.progress)
            live, rows = _run_live_gates(plan, sides, listener, journal)
        series = series_of(cells, sides, question.control)[0]
        series.rows += [row for row in rows if row["log_ratios"].keys() >= {cell.name for cell in cells}]
        _record_blocks(plan, series, run_folder, listener, journal.of_part("recorded"))
    document = {
        "schema": SCHEMA,
        "when": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": facts["machine"],
        "thresholds": asdict(plan.question.thresholds),
        "alpha": plan.question.alpha,
        "budget_s": plan.question.budget_s,
        "figures": [asdict(figure) for figure in _figures(cells, plan.question.thresholds)],
        "blocks": series.rows,
        "live": live,
        "control": {name: asdict(ratio) for name, ratio in control.intervals(series.control_log_ratios).items()},
    }
    drawn = resample(document, RESAMPLED_QUICK if plan.on_stand_in else RESAMPLED)
    return document | {"resampled": drawn}, journal


def _figures(cells: Sequence[GateCell], thresholds: Thresholds) -> list[Figure]:
    return figures_of([BlockSeries(cells[0].backend, tuple(cells), ())], thresholds)


def _record_blocks(
    plan: SelfTestPlan, series: BlockSeries, run_folder: Path, listener: Listener, journal: BlockJournal
) -> None:
    """Add blocks to the series until it has as many as planned, those in the journal first."""
    series.rows += journal.rows()
    family = Family(_figures(series.cells, plan.question.thresholds), plan.question.alpha)
    missing = plan.blocks - len(series.rows)
    if missing <= 0:
        return
    listener.progress(f"recording {missing} blocks of two equal sides")
    if not plan.on_stand_in:
        check_arms(series, family, run_folder)
        for judgement in family.judgements.values():
            if judgement.decided:
                raise UserError("self-test", f"cannot measure: {judgement.reason}", "fix the working tree")
    probe = NoiseProbe()
    while len(series.rows) < plan.blocks:
        listener.block(series, family, (plan.blocks - len(series.rows)) * series.block_s)
        try:
            row = measure_block(series, series.cells, plan.question.seed, probe)
        except ProcessDiedError as error:
            series.deaths.append(str(error))
            if len(series.deaths) >= MOST_DEATHS:
                raise UserError("self-test", str(error), "--resume goes on with its finished blocks") from error
            continue
        journal.append(row)
        series.rows.append(row)


def _run_live_gates(
    plan: SelfTestPlan, sides: Sides, listener: Listener, journal: BlockJournal
) -> tuple[list[dict[str, Any]], list[Row]]:
    """Run the live gates that the journal does not hold; return a summary of each, and the blocks of equal sides."""
    summaries: list[dict[str, Any]] = []
    equal: list[Row] = []
    slowed = replace(sides, heads=tuple(replace(head, slowdown=LIVE_SLOWDOWN) for head in sides.heads))
    for number in range(plan.gates):
        for slowdown, both, cells in ((0.0, sides, FAMILY), (LIVE_SLOWDOWN, slowed, FAMILY[:1])):
            listener.progress(f"live gate {number + 1} of {plan.gates}, slowdown {slowdown:.0%}")
            blocks, ended = (journal.of_part(f"{part} {number} {slowdown}") for part in ("live", "ended"))
            if not ended.rows():
                question = replace(plan.question, cells=cells, seed=plan.question.seed + 1 + number)
                result = compare_sides(question, both, (), listener, blocks)
                ended.append(_live_summary(slowdown, result))
            [summary] = ended.rows()
            summaries.append(summary)
            equal += () if slowdown else blocks.rows()
            listener.progress(f"  exit code {summary['exit_code']}, {summary['blocks']} blocks")
    return summaries, equal


def _live_summary(slowdown: float, result: GateResult) -> dict[str, Any]:
    return {
        "slowdown": slowdown,
        "exit_code": result.exit_code,
        "verdicts": {judgement.figure.name: judgement.verdict for judgement in result.judgements},
        "ratios": {j.figure.name: j.ratio.estimate for j in result.judgements if j.ratio},
        **{name: result.facts[name] for name in ("blocks", "disturbed_blocks", "seconds")},
    }
