"""Compare two revisions on this machine, measured in alternation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from midas_bench import scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.depth.backends import registry
from midas_bench.depth.config import PipelineConfig, Resolved, make_graph, resolve
from midas_bench.depth.torch_extra import EXTRA
from midas_bench.errors import UserError
from midas_bench.files import cannot_write
from midas_bench.gate import revisions
from midas_bench.gate.block_journal import BlockJournal
from midas_bench.gate.block_series import BlockSeries, Thresholds, figures_of
from midas_bench.gate.gate_cells import GateCell
from midas_bench.gate.history import compared_with, notes_on_names
from midas_bench.gate.measurement import Measurement
from midas_bench.gate.outputs import Difference
from midas_bench.gate.preflight import check_sides
from midas_bench.gate.result import SCHEMA, GateResult
from midas_bench.gate.revision_workers import BASE, HEAD, Sides, as_checkpoint, fresh_python, worker_specs
from midas_bench.gate.revisions import Revision
from midas_bench.gate.rule import MISSING, Family
from midas_bench.measure import machine


@dataclass(frozen=True)
class Question:
    """The question that a gate answers.

    Attributes:
        base: a revision, as git names it.
        head: likewise; None for the working tree.
        cells: the calls that are compared.
        weights: auto, official, seeded or a path.
        thresholds: growth that is worth an alarm.
        alpha: the chance of one false alarm or more that is accepted.
        budget_s: seconds for the blocks.
        seed: of all shuffling.
        fresh_env: whether the base gets an environment with the dependencies that it asks for.
        resume: whether an interrupted gate of the same question goes on.
        lenient: whether what is inconclusive passes.
        output_may_change: whether other heat maps pass.
        merge_base: whether the newest commit that base and head share takes the base's place.
    """

    base: str
    head: str | None
    cells: tuple[GateCell, ...]
    weights: str
    thresholds: Thresholds
    alpha: float
    budget_s: float
    seed: int
    fresh_env: bool = False
    resume: bool = False
    lenient: bool = False
    output_may_change: bool = False
    merge_base: bool = False


class Listener:
    """Receives the progress of a gate while it runs; this one ignores it."""

    def progress(self, message: str) -> None:
        """Take a sentence."""

    def block(self, series: BlockSeries, family: Family, left_s: float) -> None:
        """Take the series and the judgements before a block, and the seconds of the budget that are left."""


def gate_revisions(question: Question, folder: Path, listener: Listener) -> GateResult:
    """Answer the question for the repository that `folder` is in.

    Raises:
        UserError: a revision, a cell, the weights or the cache is not usable, or another gate is running.
    """
    repository = revisions.repository(folder)
    commits = {ref: revisions.commit_of(repository, ref) for ref in (question.base, question.head) if ref is not None}
    compared = compared_with(repository, question.base, question.head, question.merge_base)
    config = resolve(PipelineConfig(question.cells[0].backend, 1, question.weights))
    gate_folder = Path(config.cache_dir) / "gate"
    with exclusive_gate(gate_folder), revisions.temporary_checkouts(repository, gate_folder) as run_folder:
        base = revisions.check_out(repository, compared.label, compared.commit, run_folder / BASE)
        head = (
            revisions.check_out(repository, question.head, commits[question.head], run_folder / HEAD)
            if question.head is not None
            else revisions.copy_working_tree(repository, run_folder / HEAD)
        )
        if head.digest is None:
            raise UserError(f"revision {head.label}", "has no package src/midas_bench", "choose another --head")
        notes = [
            *notes_on_names(repository, commits),
            *compared.notes,
            *notes_on_code(base, head, question.fresh_env),
        ]
        for note in notes:
            listener.progress(note)
        if question.fresh_env:
            listener.progress(f"installing the dependencies of {base.title}; this takes some minutes")
            # PyTorch makes every backend's graph, and older trees have no such extra, which pip only warns of
            extras = {registry.find(cell.backend).extra for cell in question.cells} - {""} | {EXTRA}
            base = replace(base, python=fresh_python(base, extras, run_folder / "python"))
        sides = Sides(base, head, config, scene_photos.from_manifest(suite_photos(repository)), run_folder)
        result = compare_sides(question, sides, notes, listener)
    return replace(result, facts={**result.facts, **compared.to_json()})


@contextmanager
def exclusive_gate(gate_folder: Path) -> Iterator[None]:
    """Hold the lock of this machine's gates: two at a time would disturb each other.

    Raises:
        UserError: another gate is running, or the folder cannot be written.
    """
    lock = FileLock(gate_folder / "running.lock")
    try:
        gate_folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError("gate", "another one is running on this machine", "wait until it has ended") from None
    except OSError as error:
        raise cannot_write(gate_folder, error) from error
    try:
        yield
    finally:
        lock.release()


def notes_on_code(base: Revision, head: Revision, fresh_env: bool) -> list[str]:
    """Say whether both sides have the same code and the same dependencies."""
    pins = "; ".join(revisions.different_pins(base, head))
    same = base.digest == head.digest
    if pins and fresh_env:
        code = "base and head hold the same code, and" if same else "beside the code"
        return [f"{code} the dependencies differ: {pins}; the base runs with its own"]
    notes = ["base and head hold the same code: whatever differs is noise"] if same else []
    if pins:
        notes.append(
            f"the dependencies differ, and both sides run with what is installed here: {pins}; "
            "--fresh-env gives the base its own"
        )
    return notes


def series_of(cells: Sequence[GateCell], sides: Sides) -> list[BlockSeries]:
    """Return a series for each backend of the cells."""
    by_backend: dict[str, list[GateCell]] = {}
    for cell in cells:
        by_backend.setdefault(cell.backend, []).append(cell)
    return [
        BlockSeries(backend, tuple(backend_cells), worker_specs(sides, backend_cells))
        for backend, backend_cells in by_backend.items()
    ]


def prepare_sides(sides: Sides, cells: Sequence[GateCell], progress: Callable[[str], None]) -> Sides:
    """Return the sides with weights that both load, the head's graphs made.

    Raises:
        UserError: a backend is missing here, or the cache cannot be written.
    """
    backends = registry.select(dict.fromkeys(cell.backend for cell in cells))
    calibrated = any(registry.find(backend).calibrated for backend in backends)
    config = replace(
        sides.config,
        weights=as_checkpoint(sides.config.weights, Path(sides.config.cache_dir)),
        calibration=scene_photos.paths(scene_photos.all_photos(sides.photos)) if calibrated else (),
    )
    for backend in backends:
        make_graph(replace(config, backend=backend), progress)
    return replace(sides, config=config)


def compare_sides(
    question: Question,
    sides: Sides,
    notes: Sequence[str],
    listener: Listener,
    journal: BlockJournal | None = None,
) -> GateResult:
    """Measure two sides until all is settled or the budget is spent.

    The gate goes on from the blocks in the journal. Without a journal it makes its own, and the result names it.

    Raises:
        UserError: see `gate`.
    """
    start_s = time.monotonic()
    facts = facts_of(question, sides.config)
    sides = prepare_sides(sides, question.cells, listener.progress)
    all_series = series_of(question.cells, sides)
    family = Family(figures_of(all_series, question.thresholds), question.alpha)
    if sides.base.digest is None:
        for name in list(family.undecided):
            family.set_aside(name, MISSING, f"{sides.base.title} has no package src/midas_bench")
    differences: list[Difference] = []
    if family.undecided:
        listener.progress("opening both sides, and comparing their heat maps")
        for series in all_series:
            series_differences, series_notes = check_sides(series, family, sides.run_folder)
            differences += series_differences
            notes = [*notes, *series_notes]
    if journal is None:
        journal = BlockJournal.of(Path(sides.config.cache_dir) / "gate", identity(question, sides, facts))
        journal.begin(question.resume)
    measurement = Measurement(
        all_series,
        family,
        question.budget_s,
        question.seed,
        journal,
        lambda series, left_s: listener.block(series, family, left_s),
    )
    measurement.resume()
    earlier_s = sum(row["block_s"] for series in all_series for row in series.rows)
    measurement.run()
    rows = [row for series in all_series for row in series.rows]
    return GateResult(
        base=sides.base.title,
        head=sides.head.title,
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
        base_values={name: value for series in all_series for name, value in series.base_values.items()},
        journal=journal,
    )


def identity(question: Question, sides: Sides, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that must be the same for blocks of an interrupted gate to count in another."""
    return {
        "schema": SCHEMA,
        "sides": {name: side.commit or side.digest for name, side in sides.revisions.items()},
        "cells": [cell.name for cell in question.cells],
        "thresholds": vars(question.thresholds),
        "alpha": question.alpha,
        "machine": facts["machine"]["fingerprint"],
        "versions": facts["machine"]["versions"],
        "weights": facts["weights"],
        "fresh_env": question.fresh_env,
    }


def facts_of(question: Question, config: Resolved) -> dict[str, Any]:
    """Return the result's fields about machine, weights and settings, in JSON types."""
    return {
        "machine": machine.inspect().to_json(),
        "weights": config.weights.identity,
        "seed": question.seed,
        "budget_s": question.budget_s,
    }
