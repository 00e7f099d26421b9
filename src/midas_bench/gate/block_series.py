"""Cells that are measured together, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from midas_bench.gate.arms import HEAD
from midas_bench.gate.block_journal import Row
from midas_bench.gate.gate_cells import GateCell
from midas_bench.gate.rule import Figure
from midas_bench.gate.thresholds import MEMORY, STARTUP, Thresholds
from midas_bench.measure.memory_sampler import peak_bytes
from midas_bench.measure.worker_client import WorkerSpec


@dataclass
class BlockSeries:
    """Cells of one backend, or of one module of calls, measured in the same blocks; `rows` grow by one per block.

    Attributes:
        backend: of its cells; empty where each arm has its own, or none.
        cells: those whose calls all arms have.
        arms: the workers of the base and of each head.
        heads: by arm, the title that its figures begin with: empty where there is one head.
        control: the worker of the base's equal, or None.
        rows: the results of each block, in JSON types.
        deaths: how workers died, one line per death.
        looks: how often its figures were looked at.
    """

    backend: str
    cells: tuple[GateCell, ...]
    arms: Sequence[WorkerSpec]
    heads: Mapping[str, str] = field(default_factory=lambda: {HEAD: ""})
    control: WorkerSpec | None = None
    rows: list[Row] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    looks: int = 0

    @property
    def memory_figure(self) -> str:
        """Name of the figure for its peak memory."""
        return f"{MEMORY} [{self.backend}]" if self.backend else MEMORY

    @property
    def startup_figure(self) -> str:
        """Name of the figure for its start-up."""
        return f"{STARTUP} [{self.backend}]" if self.backend else STARTUP

    def figure_of(self, head: str, name: str) -> str:
        """Return the name of a head's figure."""
        title = self.heads[head]
        return f"{title}: {name}" if title else name

    @property
    def names(self) -> list[str]:
        """What is measured of each arm: its cells, peak memory and start-up."""
        return [*(cell.name for cell in self.cells), self.memory_figure, self.startup_figure]

    @property
    def figure_names(self) -> set[str]:
        """Names of its figures."""
        return {self.figure_of(head, name) for head in self.heads for name in self.names}

    @property
    def block_s(self) -> float:
        """Seconds that its next block may take: the longest so far."""
        return max((row["block_s"] for row in self.rows), default=0.0)

    @property
    def log_ratios(self) -> dict[str, list[float]]:
        """Natural logarithms of head / base by the figure's name, one per block that measured it."""
        return self._values_by_figure("log_ratios")

    @property
    def control_log_ratios(self) -> dict[str, list[float]]:
        """The same of the base's equal, by what is measured."""
        return self._values_by_figure("control")

    @property
    def base_values(self) -> dict[str, float]:
        """The base's own figures, in their units: medians over blocks, by what is measured."""
        return {name: float(np.median(values)) for name, values in self._values_by_figure("base").items()}

    @property
    def base_values_by_figure(self) -> dict[str, float]:
        """The base's own figures, by the names of the figures that they stand behind."""
        values = self.base_values
        return {self.figure_of(head, name): value for head in self.heads for name, value in values.items()}

    def _values_by_figure(self, key: str) -> dict[str, list[float]]:
        values: dict[str, list[float]] = {}
        for row in self.rows:
            # blocks of older journals have no control
            for name, value in row.get(key, {}).items():
                values.setdefault(name, []).append(value)
        return values

    @property
    def disturbed_blocks(self) -> int:
        """How many of its blocks ran while the machine was disturbed."""
        return sum(bool(row["disturbed"]) for row in self.rows)


def figures_of(all_series: Sequence[BlockSeries], thresholds: Thresholds, compared: bool = False) -> list[Figure]:
    """Return the family that is judged together: each cell's time, and each backend's memory and start-up.

    Memory is left out where the system keeps no high-water mark.
    """

    def figure(series: BlockSeries, head: str, name: str, unit: str = "s") -> Figure:
        return Figure(series.figure_of(head, name), thresholds.of(name), unit, compared)

    pairs = [(series, head) for series in all_series for head in series.heads]
    times = [figure(series, head, cell.name) for series, head in pairs for cell in series.cells]
    memory = [figure(series, head, series.memory_figure, "bytes") for series, head in pairs if peak_bytes() is not None]
    return times + memory + [figure(series, head, series.startup_figure) for series, head in pairs]
