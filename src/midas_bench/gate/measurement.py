"""Blocks of both sides until every figure is settled or the budget is spent."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence

from midas_bench.cpu import pinnable_core
from midas_bench.gate.block_journal import BlockJournal, Row
from midas_bench.gate.block_series import BlockSeries
from midas_bench.gate.gate_cells import GateCell
from midas_bench.gate.revision_workers import BASE, HEAD, SIDES, timed_call
from midas_bench.gate.rule import INVALID, Family
from midas_bench.measure.blocks import Round, one_block
from midas_bench.measure.noise_probe import NoiseProbe, judge
from midas_bench.processes import ProcessDiedError

ROUNDS = 10
"""Calls of each side per block and cell: more of them would not narrow what differs from process to process."""

MOST_DEATHS = 2
"""Blocks that lose a worker before their series is given up: one may be the machine's fault, two are not."""


class Measurement:
    """The blocks of one gate.

    Args:
        all_series: measured in turn.
        family: judges them.
        budget_s: after so many seconds no further block begins.
        seed: of all shuffling.
        journal: each block is appended to it as soon as it is finished.
        progress: called before each block, with its series and the seconds that are left.
    """

    def __init__(
        self,
        all_series: Sequence[BlockSeries],
        family: Family,
        budget_s: float,
        seed: int,
        journal: BlockJournal,
        progress: Callable[[BlockSeries, float], None] = lambda *_: None,
    ) -> None:
        self._all_series = all_series
        self._family = family
        self._budget_s = budget_s
        self._seed = seed
        self._journal = journal
        self._progress = progress
        self._probe = NoiseProbe()

    def resume(self) -> None:
        """Judge the blocks in the journal, which an interrupted gate measured, as they were judged then."""
        all_series = {series.backend: series for series in self._all_series}
        for row in self._journal.rows():
            self._add(all_series[row["lane"]], row)

    def run(self) -> None:
        """Measure until nothing is undecided or the budget is spent; then look a last time."""
        end_s = time.monotonic() + self._budget_s
        while True:
            measured_any = False
            for series in self._all_series:
                if self._undecided_names(series) and time.monotonic() + series.block_s <= end_s:
                    self._progress(series, end_s - time.monotonic())
                    self._measure(series)
                    measured_any = True
            if not measured_any:
                break
        for series in self._all_series:
            self._close(series)

    def _undecided_names(self, series: BlockSeries) -> set[str]:
        return self._family.undecided & series.figure_names

    def _measure(self, series: BlockSeries) -> None:
        undecided = self._family.undecided
        cells = [cell for cell in series.cells if cell.name in undecided] or series.cells[:1]
        try:
            row = measure_block(series, cells, self._seed, self._probe)
        except ProcessDiedError as error:
            series.deaths.append(str(error))
            if len(series.deaths) >= MOST_DEATHS:
                for name in self._undecided_names(series):
                    self._family.set_aside(name, INVALID, str(error))
            return
        self._journal.append(row)
        self._add(series, row)

    def _add(self, series: BlockSeries, row: Row) -> None:
        series.rows.append(row)
        if self._family.is_look(len(series.rows)):
            series.looks += 1
            self._family.look(series.looks, series.log_ratios)

    def _close(self, series: BlockSeries) -> None:
        """Look at the blocks after the last look; a disturbed machine makes what stays undecided invalid."""
        if len(series.rows) > self._family.first_look and not self._family.is_look(len(series.rows)):
            self._family.look(series.looks + 1, series.log_ratios)
        for name in self._undecided_names(series):
            self._family.count(name, len(series.rows))
        if 2 * series.disturbed_blocks > len(series.rows):
            reasons = [reason for row in series.rows for reason in row["disturbed"]]
            worst = max(set(reasons), key=reasons.count)
            for name in self._undecided_names(series):
                share = f"{series.disturbed_blocks} of {len(series.rows)} blocks"
                self._family.set_aside(name, INVALID, f"the machine was disturbed during {share} ({worst})")


def measure_block(series: BlockSeries, cells: Sequence[GateCell], seed: int, noise_probe: NoiseProbe) -> Row:
    """Measure the next block of a series, and return its row in JSON types.

    Raises:
        ProcessDiedError: a worker died.
    """
    shuffle = random.Random(f"{seed} {series.backend} {len(series.rows)} {len(series.deaths)}")
    groups = [[timed_call(side, cell) for side in SIDES] for cell in cells]
    before = noise_probe.read()
    start_s = time.monotonic()
    # shuffled, because the arm that starts first was measured to be slower
    arms = shuffle.sample(series.arms, len(series.arms))
    block = one_block(arms, groups, ROUNDS, shuffle, pinnable_core())
    block_s = time.monotonic() - start_s
    noise = judge(before, noise_probe.read(), noise_probe.best)
    ratios = {cell.name: block.log_ratio(_head_over_base(cell)) for cell in cells}
    bases = {cell.name: block.median_s(timed_call(BASE, cell)) for cell in cells}
    per_process: dict[str, Mapping[str, float | None]] = {
        series.startup_figure: block.startup_s,
        series.memory_figure: block.peak_bytes,
    }
    for name, sides in per_process.items():
        head, base = sides[HEAD], sides[BASE]
        # peak memory is None where the system does not keep it
        if head and base:
            ratios[name], bases[name] = math.log(head / base), float(base)
    return {
        "lane": series.backend,
        "log_ratios": ratios,
        "base": bases,
        "disturbed": list(noise.reasons),
        "block_s": block_s,
    }


def _head_over_base(cell: GateCell) -> Callable[[Round], float]:
    return lambda seconds: seconds[timed_call(HEAD, cell)] / seconds[timed_call(BASE, cell)]
