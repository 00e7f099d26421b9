"""Open both sides once before anything is timed: which calls do they have, and are their heat maps equal?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from midas_bench.cpu import pinnable_core
from midas_bench.gate.block_series import BlockSeries
from midas_bench.gate.gate_cells import PIPELINE, GateCell
from midas_bench.gate.outputs import Difference, Saved, compare
from midas_bench.gate.revision_workers import BASE, HEAD, SIDES, timed_call
from midas_bench.gate.rule import MISSING, Family
from midas_bench.measure.worker_client import Worker, WorkerSpec
from midas_bench.processes import ProcessDiedError


def check_sides(series: BlockSeries, family: Family, folder: Path) -> tuple[list[Difference], list[str]]:
    """Open both sides once: set aside what one of them lacks, and compare the heat maps of the pipelines.

    Python's compiled modules and the model graphs are made here, so that no block pays for them.

    Returns:
        How far heat maps are apart, and a sentence for each pair that could not be compared. A pair cannot be compared
        where a side has no call `pipeline`. Figures do not depend on it.
    """
    saved: dict[str, dict[str, Saved]] = {}
    ready: dict[str, Mapping[str, Sequence[str]]] = {}
    for arm in series.arms:
        try:
            with Worker(arm, pinnable_core()) as worker:
                ready[arm.name] = worker.open()
                saved[arm.name] = _save_heatmaps(worker, ready[arm.name], arm, series.cells, folder)
        except ProcessDiedError as error:
            for name in family.undecided & series.figure_names:
                family.set_aside(name, MISSING, str(error))
            series.cells = ()
            return [], []
    for cell in series.cells:
        without = [side for side in SIDES if cell.call not in ready[side][cell.batch]]
        if without:
            family.set_aside(cell.name, MISSING, f"{' and '.join(without)}: no call {cell.call}")
    series.cells = tuple(cell for cell in series.cells if not family.judgements[cell.name].decided)
    differences, notes = [], []
    for batch in ready[BASE]:
        name = f"output [{series.backend}-{batch}]"
        without = [side for side in SIDES if batch not in saved[side]]
        if without:
            notes.append(f"{name}: heat maps are not compared: {' and '.join(without)}: no call {PIPELINE}")
        else:
            differences.append(compare(name, saved[BASE][batch], saved[HEAD][batch]))
    return differences, notes


def _save_heatmaps(
    worker: Worker, ready: Mapping[str, Sequence[str]], arm: WorkerSpec, cells: Sequence[GateCell], folder: Path
) -> dict[str, Saved]:
    saved = {}
    for cell in dict.fromkeys(replace(cell, call=PIPELINE) for cell in cells):
        if PIPELINE not in ready[cell.batch]:
            continue
        path = folder / f"{arm.name}-{cell.backend}-{cell.batch}.raw"
        saved[cell.batch] = Saved(path, worker.save(timed_call(arm.name, cell), path))
    return saved
