"""Blocks of all arms until every figure is settled or the budget is spent."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence

from midas_bench.cpu import pinnable_core
from midas_bench.gate.arms import BASE, CONTROL
from midas_bench.gate.block_journal import BlockJournal, Row
from midas_bench.gate.block_series import BlockSeries
from midas_bench.gate.control import off
from midas_bench.gate.gate_cells import GateCell
from midas_bench.gate.revision_workers import timed_call
from midas_bench.gate.rule import INVALID, REGRESSED, Family, Judgement
from midas_bench.measure.blocks import Block, Round, one_block
from midas_bench.measure.noise_probe import NoiseProbe, judge
from midas_bench.processes import ProcessDiedError

ROUNDS = 10
"""Calls of each arm per block and cell: more of them would not narrow what differs from process to process."""

CONTROL_EVERY = 3
"""Blocks from one with the control to the next: a third of the blocks take half as long again."""

MOST_DEATHS = 2
"""Blocks that lose a worker before their series is given up: one may be the machine's fault, two are not."""


class Measurement:
    """The blocks of one gate.

    Args:
        all_series: measured in turn.
        family: judges them.
        end_s: no block begins that would end later, by `time.monotonic`.
        seed: of all shuffling.
        journal: each block is appended to it as soon as it is finished.
        fail_fast: whether a figure that regressed ends it.
        progress: called before each block, with its series and the seconds that are left.
        settled: called with each judgement as soon as it is certain.
    """

    def __init__(
        self,
        all_series: Sequence[BlockSeries],
        family: Family,
        end_s: float,
        seed: int,
        journal: BlockJournal,
        fail_fast: bool = False,
        progress: Callable[[BlockSeries, float], object] = lambda *_: None,
        settled: Callable[[Judgement], object] = lambda *_: None,
    ) -> None:
        self._all_series = all_series
        self._family = family
        self._end_s = end_s
        self._seed = seed
        self._journal = journal
        self._fail_fast = fail_fast
        self._progress = progress
        self._settled = settled
        self._probe = NoiseProbe()

    def resume(self) -> None:
        """Judge the blocks in the journal, which an interrupted gate measured, as they were judged then."""
        all_series = {series.backend: series for series in self._all_series}
        for row in self._journal.rows():
            self._add(all_series[row["lane"]], row)

    def run(self) -> None:
        """Measure until nothing is undecided or the budget is spent; then look a last time."""
        while not (self._fail_fast and self._regressed):
            measured_any = False
            for series in self._all_series:
                if self._undecided_names(series) and time.monotonic() + series.block_s <= self._end_s:
                    self._progress(series, self._end_s - time.monotonic())
                    self._measure(series)
                    measured_any = True
            if not measured_any:
                break
        for series in self._all_series:
            self._close(series)

    @property
    def _regressed(self) -> bool:
        return any(judgement.verdict == REGRESSED for judgement in self._family.judgements.values())

    def _undecided_names(self, series: BlockSeries) -> set[str]:
        return self._family.undecided & series.figure_names

    def _measure(self, series: BlockSeries) -> None:
        undecided = self._family.undecided
        cells = [
            cell
            for cell in series.cells
            if any(series.figure_of(head, cell.name) in undecided for head in series.heads)
        ] or series.cells[:1]
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
            self._look(series)

    def _look(self, series: BlockSeries) -> None:
        series.looks += 1
        undecided = self._family.undecided
        self._family.look(series.looks, series.log_ratios)
        for name, judgement in self._family.judgements.items():
            if name in undecided and judgement.decided:
                self._settled(judgement)

    def _close(self, series: BlockSeries) -> None:
        """Look at the blocks after the last look; a disturbed machine makes what stays undecided invalid."""
        if len(series.rows) > self._family.first_look and not self._family.is_look(len(series.rows)):
            self._look(series)
        for name in self._undecided_names(series):
            self._family.count(name, len(series.rows))
        if 2 * series.disturbed_blocks > len(series.rows):
            reasons = [reason for row in series.rows for reason in row["disturbed"]]
            worst = max(set(reasons), key=reasons.count)
            for name in self._undecided_names(series):
                share = f"{series.disturbed_blocks} of {len(series.rows)} blocks"
                self._family.set_aside(name, INVALID, f"the machine was disturbed during {share} ({worst})")
        differing = off(series.control_log_ratios)
        if differing:
            reason = f"the base differs from itself: {differing}; what the others show may have the same cause"
            for name in series.figure_names & self._family.judgements.keys():
                self._family.set_aside(name, INVALID, reason)


def measure_block(series: BlockSeries, cells: Sequence[GateCell], seed: int, noise_probe: NoiseProbe) -> Row:
    """Measure the next block of a series, and return its row in JSON types.

    Raises:
        ProcessDiedError: a worker died.
    """
    shuffle = random.Random(f"{seed} {series.backend} {len(series.rows)} {len(series.deaths)}")
    arms = list(series.arms)
    if series.control is not None and len(series.rows) % CONTROL_EVERY == 0:
        arms.append(series.control)
    groups = [[timed_call(arm.name, cell) for arm in arms] for cell in cells]
    before = noise_probe.read()
    start_s = time.monotonic()
    # shuffled, because the arm that starts first was measured to be slower
    block = one_block(shuffle.sample(arms, len(arms)), groups, ROUNDS, shuffle, pinnable_core())
    block_s = time.monotonic() - start_s
    noise = judge(before, noise_probe.read(), noise_probe.best)
    bases = {cell.name: block.median_s(timed_call(BASE, cell)) for cell in cells}
    bases |= {name: float(value) for name, values in _per_process(series, block).items() if (value := values[BASE])}
    by_arm = {arm.name: _over_base(series, block, cells, arm.name) for arm in arms if arm.name != BASE}
    control = by_arm.pop(CONTROL, {})
    return {
        "lane": series.backend,
        "log_ratios": {series.figure_of(arm, name): log for arm, logs in by_arm.items() for name, log in logs.items()},
        "base": bases,
        "disturbed": list(noise.reasons),
        "block_s": block_s,
        **({"control": control} if control else {}),
    }


def _per_process(series: BlockSeries, block: Block) -> Mapping[str, Mapping[str, float | None]]:
    """Return the figures of whole processes, by name and arm; peak memory is None where the system does not keep it."""
    return {series.startup_figure: block.startup_s, series.memory_figure: block.peak_bytes}


def _over_base(series: BlockSeries, block: Block, cells: Sequence[GateCell], arm: str) -> dict[str, float]:
    """Return the natural logarithms of an arm's figures over the base's, by what is measured."""
    logs = {cell.name: block.log_ratio(_arm_over_base(cell, arm)) for cell in cells}
    for name, values in _per_process(series, block).items():
        above, below = values[arm], values[BASE]
        if above and below:
            logs[name] = math.log(above / below)
    return logs


def _arm_over_base(cell: GateCell, arm: str) -> Callable[[Round], float]:
    return lambda seconds: seconds[timed_call(arm, cell)] / seconds[timed_call(BASE, cell)]
