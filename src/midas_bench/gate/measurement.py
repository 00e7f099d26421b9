"""Blocks of both sides until every figure is settled or the budget is spent."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence

from midas_bench.cpu import pinnable_core
from midas_bench.gate.block_journal import Journal, Row
from midas_bench.gate.block_series import Lane
from midas_bench.gate.gate_cells import Cell
from midas_bench.gate.revision_workers import BASE, HEAD, SIDES, probe
from midas_bench.gate.rule import INVALID, Family
from midas_bench.measure.blocks import Round, one_block
from midas_bench.measure.noise_probe import Sentinel, judge
from midas_bench.processes import ProcessDiedError

ROUNDS = 10
"""Calls of each side a block and cell: what differs from process to process, more of them would not narrow."""

MOST_DEATHS = 2
"""So many blocks may lose a worker before its lane is given up: one may be the machine's fault, two are not."""


class Measurement:
    """The blocks of one gate.

    Args:
        lanes: measured in turn.
        family: judges them.
        budget_s: after so many seconds no further block is begun.
        seed: of all shuffling.
        journal: each block is appended to it as soon as it is finished.
        tell: called before each block, with the seconds that are left.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        family: Family,
        budget_s: float,
        seed: int,
        journal: Journal,
        tell: Callable[[Lane, float], None] = lambda *_: None,
    ) -> None:
        self._lanes = lanes
        self._family = family
        self._budget_s = budget_s
        self._seed = seed
        self._journal = journal
        self._tell = tell
        self._sentinel = Sentinel()

    def take_up(self) -> None:
        """Judge the blocks in the journal, which an interrupted gate measured, as they were judged then."""
        lanes = {lane.backend: lane for lane in self._lanes}
        for row in self._journal.rows():
            self._add(lanes[row["lane"]], row)

    def run(self) -> None:
        """Measure until nothing is undecided or the budget is spent; then look a last time."""
        end_s = time.monotonic() + self._budget_s
        while True:
            going = False
            for lane in self._lanes:
                if self._open_figures(lane) and time.monotonic() + lane.block_s <= end_s:
                    self._tell(lane, end_s - time.monotonic())
                    self._measure(lane)
                    going = True
            if not going:
                break
        for lane in self._lanes:
            self._close(lane)

    def _open_figures(self, lane: Lane) -> set[str]:
        return self._family.undecided & lane.names

    def _measure(self, lane: Lane) -> None:
        undecided = self._family.undecided
        cells = [cell for cell in lane.cells if cell.name in undecided] or lane.cells[:1]
        try:
            row = measured(lane, cells, self._seed, self._sentinel)
        except ProcessDiedError as error:
            lane.deaths.append(str(error))
            if len(lane.deaths) >= MOST_DEATHS:
                for name in self._open_figures(lane):
                    self._family.set_aside(name, INVALID, str(error))
            return
        self._journal.append(row)
        self._add(lane, row)

    def _add(self, lane: Lane, row: Row) -> None:
        lane.rows.append(row)
        if self._family.is_look(len(lane.rows)):
            lane.looks += 1
            self._family.look(lane.looks, lane.log_ratios)

    def _close(self, lane: Lane) -> None:
        """Look at what came after the last look, and say what the machine has to do with what stays open."""
        if len(lane.rows) > self._family.first_look and not self._family.is_look(len(lane.rows)):
            self._family.look(lane.looks + 1, lane.log_ratios)
        for name in self._open_figures(lane):
            self._family.count(name, len(lane.rows))
        if 2 * lane.disturbed > len(lane.rows):
            reasons = [reason for row in lane.rows for reason in row["disturbed"]]
            worst = max(set(reasons), key=reasons.count)
            for name in self._open_figures(lane):
                said = f"the machine was disturbed during {lane.disturbed} of {len(lane.rows)} blocks ({worst})"
                self._family.set_aside(name, INVALID, said)


def measured(lane: Lane, cells: Sequence[Cell], seed: int, sentinel: Sentinel) -> Row:
    """Measure the next block of a lane, and return what it says in JSON types.

    Raises:
        ProcessDiedError: a worker died.
    """
    shuffle = random.Random(f"{seed} {lane.backend} {len(lane.rows)} {len(lane.deaths)}")
    groups = [[probe(side, cell) for side in SIDES] for cell in cells]
    before = sentinel.read()
    start_s = time.monotonic()
    arms = shuffle.sample(lane.arms, len(lane.arms))  # the arm that starts first was seen to be slower
    block = one_block(arms, groups, ROUNDS, shuffle, pinnable_core())
    block_s = time.monotonic() - start_s
    noise = judge(before, sentinel.read(), sentinel.best)
    ratios = {cell.name: block.log_ratio(_head_over_base(cell)) for cell in cells}
    bases = {cell.name: block.median_s(probe(BASE, cell)) for cell in cells}
    once: dict[str, Mapping[str, float | None]] = {lane.startup: block.startup_s, lane.memory: block.peak_bytes}
    for name, sides in once.items():
        head, base = sides[HEAD], sides[BASE]
        if head and base:  # no memory where the system keeps no mark
            ratios[name], bases[name] = math.log(head / base), float(base)
    return {
        "lane": lane.backend,
        "log_ratios": ratios,
        "base": bases,
        "disturbed": list(noise.reasons),
        "block_s": block_s,
    }


def _head_over_base(cell: Cell) -> Callable[[Round], float]:
    return lambda seconds: seconds[probe(HEAD, cell)] / seconds[probe(BASE, cell)]
