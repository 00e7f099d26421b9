"""Open all arms once before anything is timed: which calls do they have, and do they return the same?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from midas_bench.cpu import pinnable_core
from midas_bench.gate.arms import BASE
from midas_bench.gate.block_series import BlockSeries
from midas_bench.gate.gate_cells import OWN_CALLS, PIPELINE, GateCell, own_cell
from midas_bench.gate.outputs import Difference, compare
from midas_bench.gate.revision_workers import timed_call
from midas_bench.gate.rule import MISSING, Family
from midas_bench.measure.worker_client import SavedArrays, Worker, WorkerSpec
from midas_bench.processes import ProcessDiedError


@dataclass
class Opened:
    """What one arm showed when it was opened.

    Attributes:
        ready: by what it opened, the names of its calls.
        saved: by the cell's name, what its call returned.
    """

    ready: Mapping[str, Sequence[str]]
    saved: dict[str, SavedArrays | None] = field(default_factory=dict)


def own_cells(spec: WorkerSpec) -> tuple[GateCell, ...]:
    """Return the cells of the calls that a user's own module has.

    Raises:
        ProcessDiedError: it cannot be opened.
    """
    with Worker(spec, pinnable_core()) as worker:
        return tuple(own_cell(call) for call in worker.open()[OWN_CALLS])


def check_arms(series: BlockSeries, family: Family, folder: Path) -> tuple[list[Difference], list[str]]:
    """Open all arms once: set aside what one of them lacks, and compare what the calls return.

    Python's compiled modules and the model graphs are made here, so that no block pays for them.

    Returns:
        How far outputs are apart, and a sentence for each pair that could not be compared. Figures do not depend on it.
    """
    opened: dict[str, Opened] = {}
    for arm in series.arms:
        try:
            with Worker(arm, pinnable_core()) as worker:
                opened[arm.name] = Opened(worker.open())
                _save_outputs(worker, opened[arm.name], arm, series.cells, folder)
        except ProcessDiedError as error:
            for name in family.undecided & series.figure_names:
                family.set_aside(name, MISSING, str(error))
            series.cells = ()
            return [], []
    if series.control:
        with suppress(ProcessDiedError), Worker(series.control, pinnable_core()) as worker:
            worker.open()
    present = []
    for cell in series.cells:
        without = [name for name, arm in opened.items() if cell.call not in arm.ready[cell.batch]]
        for head in series.heads if without else ():
            family.set_aside(
                series.figure_of(head, cell.name), MISSING, f"{' and '.join(without)}: no call {cell.call}"
            )
        if not without:
            present.append(cell)
    compared = _with_output(series.cells)
    series.cells = tuple(present)
    differences, notes = [], []
    for head in series.heads:
        for cell in compared:
            name = series.figure_of(head, _output_name(series, cell))
            pair = {side: opened[side] for side in (BASE, head)}
            without = [side for side, arm in pair.items() if cell.call not in arm.ready[cell.batch]]
            base, other = (arm.saved.get(cell.name) for arm in pair.values())
            if without:
                notes.append(f"{name}: outputs are not compared: {' and '.join(without)}: no call {cell.call}")
            elif base and other:
                differences.append(compare(name, base, other))
            elif base or other:
                notes.append(f"{name}: outputs are not compared: one side returns no arrays")
    return differences, notes


def _output_name(series: BlockSeries, cell: GateCell) -> str:
    if not cell.scene:
        return f"output of {cell.call}"
    return f"output [{series.backend}-{cell.batch}]" if series.backend else f"output [{cell.batch}]"


def _with_output(cells: Sequence[GateCell]) -> list[GateCell]:
    """Return whose outputs are compared: the pipelines of the cells, or each of a user's own calls."""
    return list(dict.fromkeys(replace(cell, call=PIPELINE) if cell.scene else cell for cell in cells))


def _save_outputs(worker: Worker, opened: Opened, arm: WorkerSpec, cells: Sequence[GateCell], folder: Path) -> None:
    for number, cell in enumerate(_with_output(cells)):
        if cell.call in opened.ready[cell.batch]:
            path = folder / f"{arm.name}-{cell.backend}-{number}.raw"
            opened.saved[cell.name] = worker.save(timed_call(arm.name, cell), path)
