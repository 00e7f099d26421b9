"""Compare arms on this machine, measured in alternation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from midas_bench import scene_photos
from midas_bench.errors import UserError
from midas_bench.gate import control
from midas_bench.gate.arms import BASE, CONTROL, Sides
from midas_bench.gate.block_journal import BlockJournal
from midas_bench.gate.block_series import BlockSeries, figures_of
from midas_bench.gate.depth_change import DepthChange, depth_changes
from midas_bench.gate.gate_cells import ALTERNATIVES, FAMILY, GateCell, own_cell
from midas_bench.gate.measurement import Measurement
from midas_bench.gate.open_arms import open_arms, prepare
from midas_bench.gate.outputs import Difference
from midas_bench.gate.preflight import check_arms, own_cells
from midas_bench.gate.question import Question
from midas_bench.gate.result import SCHEMA, GateResult
from midas_bench.gate.revision_workers import worker_specs
from midas_bench.gate.rule import MISSING, Family, Judgement
from midas_bench.gate.why import reasons
from midas_bench.measure import machine
from midas_bench.processes import ProcessDiedError
from midas_bench.scene_photos import SCENES


class Listener:
    """Receives the progress of a gate while it runs; this one ignores it."""

    def progress(self, message: str) -> None:
        """Take a sentence."""

    def block(self, series: BlockSeries, family: Family, left_s: float) -> None:
        """Take the series and the judgements before a block, and the seconds of the budget that are left."""

    def settled(self, judgement: Judgement) -> None:
        """Take a judgement that no further block will change."""

    def changed(self, difference: Difference) -> None:
        """Take an output that changed."""


def gate_revisions(question: Question, folder: Path, listener: Listener) -> GateResult:
    """Answer the question; where git names what is compared, for the repository that `folder` is in.

    Raises:
        UserError: see `open_arms`; or a cell is not usable.
    """
    with open_arms(question, folder, listener.progress) as opened:
        if opened.sides.same and not question.measure_same:
            return same_code(question, opened.sides, opened.notes, opened.facts)
        question = with_photos(with_cells(question, opened.sides), opened.sides)
        result = compare_sides(question, opened.sides, opened.notes, listener)
    return replace(result, facts={**result.facts, **opened.facts})


def same_code(question: Question, sides: Sides, notes: Sequence[str], facts: Mapping[str, Any]) -> GateResult:
    """Return the result of a gate whose arms run the same."""
    return GateResult(
        base=sides.base.title,
        head=_titles(sides),
        judgements=[],
        differences=[],
        alpha=question.alpha,
        notes=notes,
        facts={**facts, "same_code": True},
    )


def _titles(sides: Sides) -> str:
    return " and ".join(arm.title for arm in sides.heads)


def with_cells(question: Question, sides: Sides) -> Question:
    """Return the question with the cells that it asks for, or the usual ones.

    Raises:
        UserError: a call that was named does not exist, or the calls cannot be opened.
    """
    if sides.calls:
        return replace(question, cells=_own_cells(question, sides))
    if question.of_alternatives:
        return replace(question, cells=_with_backend("", question.cells) or ALTERNATIVES)
    if sides.base.config and (question.base.backend or not question.cells):
        return replace(question, cells=_with_backend(sides.base.config.backend, question.cells or FAMILY))
    return question


def with_photos(question: Question, sides: Sides) -> Question:
    """Return the question with the first scene of the user's photos where they lack the usual one."""
    if question.photos is None or SCENES[0] in sides.photos:
        return question
    first = next(iter(sides.photos))
    return replace(
        question,
        cells=tuple(replace(cell, scene=first) if cell.scene == SCENES[0] else cell for cell in question.cells),
    )


def _with_backend(backend: str, cells: Sequence[GateCell]) -> tuple[GateCell, ...]:
    return tuple(dict.fromkeys(replace(cell, backend=backend) for cell in cells))


def _own_cells(question: Question, sides: Sides) -> tuple[GateCell, ...]:
    try:
        cells = own_cells(worker_specs(sides, [own_cell("")])[BASE])
    except ProcessDiedError as error:
        raise UserError(
            f"--calls {sides.calls}", f"cannot be opened ({error})", "make it run on its own first"
        ) from None
    names = [cell.call for cell in cells]
    unknown = [name for name in question.own_names if name not in names]
    if unknown or not cells:
        has = f"it yields {', '.join(names)}" if names else "it yields no calls"
        raise UserError(
            f"--cell {' '.join(unknown)}".rstrip(), f"is no call of {sides.calls}: {has}", "choose among them"
        )
    return tuple(cell for cell in cells if not question.own_names or cell.call in question.own_names)


def series_of(cells: Sequence[GateCell], sides: Sides, with_control: bool = True) -> list[BlockSeries]:
    """Return a series for each backend of the cells."""
    by_backend: dict[str, list[GateCell]] = {}
    for cell in cells:
        by_backend.setdefault(cell.backend, []).append(cell)
    all_series = []
    for backend, backend_cells in by_backend.items():
        specs = worker_specs(sides, backend_cells)
        base_again = specs.pop(CONTROL)
        all_series.append(
            BlockSeries(
                backend,
                tuple(backend_cells),
                list(specs.values()),
                sides.head_titles,
                base_again if with_control else None,
            )
        )
    return all_series


def compare_sides(
    question: Question,
    sides: Sides,
    notes: Sequence[str],
    listener: Listener,
    journal: BlockJournal | None = None,
) -> GateResult:
    """Measure all arms until all is settled or the budget is spent.

    The gate goes on from the blocks in the journal. Without a journal it makes its own, and the result names it.

    Raises:
        UserError: see `gate_revisions`.
    """
    sides = prepare(sides, question.cells, listener.progress)
    # making graphs is no part of it: that happens once, whatever the budget
    start_s = time.monotonic()
    facts = facts_of(question, sides)
    all_series = series_of(question.cells, sides, question.control)
    family = Family(figures_of(all_series, question.thresholds, question.of_alternatives), question.alpha)
    unused = question.thresholds.unused([name for series in all_series for name in series.names])
    notes = [*notes, *(f"--threshold {name}: no figure of this gate is called so" for name in unused)]
    if not sides.calls and sides.base.revision.digest is None:
        for name in list(family.undecided):
            family.set_aside(name, MISSING, f"{sides.base.title} has no package src/midas_bench")
    differences: list[Difference] = []
    if family.undecided:
        listener.progress("opening all arms, and comparing their outputs")
        for series in all_series:
            series_differences, series_notes = check_arms(series, family, sides.run_folder)
            differences += series_differences
            notes = [*notes, *series_notes]
    for difference in differences:
        if difference.changed:
            listener.changed(difference)
    depth = _depth_changes(sides, question.cells, family)
    notes = [*notes, *dict.fromkeys(change.resized for change in depth if change.resized)]
    stopped = question.fail_fast and not question.output_may_change and any(d.changed for d in differences)
    if journal is None:
        journal = BlockJournal.of(sides.run_folder.parent, identity(question, sides, facts))
        journal.begin(question.resume)
    measurement = Measurement(
        all_series,
        family,
        start_s + question.budget_s,
        question.seed,
        journal,
        question.fail_fast,
        lambda series, left_s: listener.block(series, family, left_s),
        listener.settled,
    )
    measurement.resume()
    earlier_s = sum(row["block_s"] for series in all_series for row in series.rows)
    if not stopped:
        measurement.run()
    why = reasons(all_series, family, listener.progress) if question.why else []
    rows = [row for series in all_series for row in series.rows]
    return GateResult(
        base=sides.base.title,
        head=_titles(sides),
        judgements=list(family.judgements.values()),
        differences=differences,
        alpha=question.alpha,
        lenient=question.lenient,
        output_may_change=question.output_may_change,
        notes=notes,
        facts=facts
        | {
            "blocks": len(rows),
            "disturbed_blocks": sum(bool(row["disturbed"]) for row in rows),
            "seconds": time.monotonic() - start_s + earlier_s,
        },
        log_ratios={name: logs for series in all_series for name, logs in series.log_ratios.items()},
        base_values={name: value for series in all_series for name, value in series.base_values_by_figure.items()},
        control={
            name: ratio for series in all_series for name, ratio in control.intervals(series.control_log_ratios).items()
        },
        depth=depth,
        why=why,
        journal=journal,
    )


def _depth_changes(sides: Sides, cells: Sequence[GateCell], family: Family) -> list[DepthChange]:
    """Compare depth where arms have other models or backends; where one cannot be opened, that was said already."""
    networks = {(arm.config.weights, arm.config.backend) for arm in sides.arms.values() if arm.config}
    if len(networks) < 2 or not family.undecided:
        return []
    return depth_changes(sides, cells[0].backend, sides.run_folder)


def identity(question: Question, sides: Sides, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that must be the same for blocks of an interrupted gate to count in another."""
    return {
        "schema": SCHEMA,
        "sides": {name: arm.identity for name, arm in sides.arms.items()},
        "calls": sides.calls,
        "cells": [cell.name for cell in question.cells],
        "thresholds": asdict(question.thresholds),
        "alpha": question.alpha,
        "machine": facts["machine"]["fingerprint"],
        "versions": facts["machine"]["versions"],
        "weights": facts.get("weights"),
        "fresh_env": question.fresh_env,
        "control": question.control,
        **({"photos": [p.sha256 for p in scene_photos.all_photos(sides.photos)]} if question.photos else {}),
    }


def facts_of(question: Question, sides: Sides) -> dict[str, Any]:
    """Return the result's fields about machine, weights and settings, in JSON types."""
    config = sides.base.config
    return {
        "machine": machine.inspect().to_json(),
        **({"weights": config.weights.identity} if config else {}),
        "seed": question.seed,
        "budget_s": question.budget_s,
    }
