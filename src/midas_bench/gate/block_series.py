"""Cells of one backend that are measured together, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from midas_bench.gate.block_journal import Row
from midas_bench.gate.gate_cells import GateCell
from midas_bench.gate.rule import Figure
from midas_bench.measure.memory_sampler import peak_bytes
from midas_bench.measure.worker_client import WorkerSpec


@dataclass
class BlockSeries:
    """Cells of one backend, measured in the same blocks; `rows` grow by one per block.

    Attributes:
        cells: those whose calls both sides have.
        arms: the workers of the two sides.
        rows: the results of each block, in JSON types.
        deaths: how workers died, one line per death.
        looks: how often its figures were looked at.
    """

    backend: str
    cells: tuple[GateCell, ...]
    arms: Sequence[WorkerSpec]
    rows: list[Row] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    looks: int = 0

    @property
    def memory_figure(self) -> str:
        """Name of the figure for its peak memory."""
        return f"peak memory [{self.backend}]"

    @property
    def startup_figure(self) -> str:
        """Name of the figure for its start-up."""
        return f"start-up [{self.backend}]"

    @property
    def figure_names(self) -> set[str]:
        """Names of its figures."""
        return {*(cell.name for cell in self.cells), self.memory_figure, self.startup_figure}

    @property
    def block_s(self) -> float:
        """Seconds that its next block may take: the longest so far."""
        return max((row["block_s"] for row in self.rows), default=0.0)

    @property
    def log_ratios(self) -> dict[str, list[float]]:
        """Natural logarithms of head / base by the figure's name, one per block that measured it."""
        return self._values_by_figure("log_ratios")

    @property
    def base_values(self) -> dict[str, float]:
        """The base's own figures, in their units: medians over blocks."""
        return {name: float(np.median(values)) for name, values in self._values_by_figure("base").items()}

    def _values_by_figure(self, key: str) -> dict[str, list[float]]:
        values: dict[str, list[float]] = {}
        for row in self.rows:
            for name, value in row[key].items():
                values.setdefault(name, []).append(value)
        return values

    @property
    def disturbed_blocks(self) -> int:
        """How many of its blocks ran while the machine was disturbed."""
        return sum(bool(row["disturbed"]) for row in self.rows)


@dataclass(frozen=True)
class Thresholds:
    """By which share each kind of figure may grow."""

    time: float
    memory: float
    startup: float


def figures_of(all_series: Sequence[BlockSeries], thresholds: Thresholds) -> list[Figure]:
    """Return the family that is judged together: each cell's time, and each backend's memory and start-up.

    Memory is left out where the system keeps no high-water mark.
    """
    times = [Figure(cell.name, thresholds.time) for series in all_series for cell in series.cells]
    memory = [
        Figure(series.memory_figure, thresholds.memory, "bytes") for series in all_series if peak_bytes() is not None
    ]
    return times + memory + [Figure(series.startup_figure, thresholds.startup) for series in all_series]
