"""The chart of the trend over the saved runs of one machine kind, with change points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import ruptures
from matplotlib.figure import FigureBase

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.report.charts.timing import one_photo, series
from midas_bench.results import units
from midas_bench.results.intervals import Interval, mean_interval
from midas_bench.results.runs import Record, Run

FEWEST_RUNS = 8
SHORTEST_SEGMENT = 3
MOST_TICKS = 10


@dataclass(frozen=True)
class Series:
    """One set-up over the runs.

    Attributes:
        name: backend or recipe.
        run_indices: indices of the runs that measured it.
        medians: seconds for one photo, mean over scenes.
        changes: positions in `run_indices` where a new level begins.
    """

    name: str
    run_indices: tuple[int, ...]
    medians: tuple[Interval, ...]
    changes: tuple[int, ...]

    def levels(self) -> list[tuple[int, int, float]]:
        """Return (first, last position, typical seconds) of each stretch between changes."""
        edges = [0, *self.changes, len(self.run_indices)]
        estimates = [median.estimate for median in self.medians]
        return [(first, end - 1, float(np.median(estimates[first:end]))) for first, end in pairwise(edges)]


def change_points(values: Sequence[float]) -> tuple[int, ...]:
    """Return where the level of positive values changes; none with fewer than 8 of them.

    PELT on the logarithms with the absolute-deviation cost, which single outliers do not sway (R. Killick and others,
    Optimal detection of changepoints with a linear computational cost, JASA 107, 2012). The noise is estimated from
    successive differences; a change must pay three times the logarithm of the number of runs, in units of that noise.
    """
    if len(values) < FEWEST_RUNS:
        return ()
    logs = np.log(np.asarray(values, float))
    # the median absolute difference of neighbours, as the standard deviation of a normal distribution
    noise = float(np.median(np.abs(np.diff(logs)))) / (0.6745 * math.sqrt(2))
    noise = max(noise, 1e-3)
    fitted = ruptures.Pelt(model="l1", min_size=SHORTEST_SEGMENT, jump=1).fit(logs / noise)
    return tuple(int(end) for end in fitted.predict(pen=3 * math.log(len(logs)))[:-1])


def trends(runs: Sequence[Run]) -> list[Series]:
    """Return each set-up's time for one photo over the runs, on the scenes that all its runs have."""
    cells: dict[str, dict[int, dict[str | None, Record]]] = {}
    for i, run in enumerate(runs):
        for r in one_photo(run.records):
            cells.setdefault(series(r), {}).setdefault(i, {})[r.info.scene] = r
    lines = []
    for name, by_run in cells.items():
        most = max(len(scenes) for scenes in by_run.values())
        full = {i: scenes for i, scenes in by_run.items() if len(scenes) == most}
        common = set.intersection(*(set(scenes) for scenes in full.values()))
        if len(full) < 2 or not common:
            continue
        medians = tuple(mean_interval([full[i][scene].times.median for scene in sorted(common, key=str)]) for i in full)
        lines.append(Series(name, tuple(full), medians, change_points([m.estimate for m in medians])))
    return lines


def trend(runs: Sequence[Run]) -> Chart | None:
    """Show the time for one photo over the runs of one machine kind; runs stand oldest first."""
    lines = trends(runs)
    if not lines:
        return None
    looks, labels = style.look([line.name for line in lines]), style.labels(line.name for line in lines)

    def draw(figure: FigureBase) -> None:
        grid = figure.subplots(len(lines), 1, sharex=True, squeeze=False)[:, 0]
        for axes, line in zip(grid, lines, strict=True):
            colour, marker = looks[line.name]
            scaled = [m.mapped(1e3) for m in line.medians]
            style.rising(axes, line.run_indices, scaled, colour, marker, labels[line.name])
            axes.lines[0].set(linewidth=0.6, markersize=4)
            for first, last, level in line.levels():
                ends = [line.run_indices[first], line.run_indices[last]]
                axes.plot(ends, [level * 1e3] * 2, color=style.INK, linewidth=1.6, zorder=5)
            for change in line.changes:
                axes.axvline(line.run_indices[change] - 0.5, color=style.INK, linewidth=1, linestyle=(0, (3, 2)))
            axes.set_title(labels[line.name], loc="left", fontweight="bold")
            axes.grid(visible=True, axis="y")
            axes.grid(visible=False, axis="x")
            axes.set_ylim(0, max(m.high for m in scaled) * 1.12)
            axes.set_ylabel("ms")
        tick_step = max(1, -(-len(runs) // MOST_TICKS))
        ticks = range(0, len(runs), tick_step)
        grid[-1].set_xticks(ticks, [_tick(runs[i]) for i in ticks])
        grid[-1].set_xlabel(
            f"run, oldest first (median of one photo, mean over scenes; 95 % interval; n = {len(runs)} runs)"
        )

    parts = []
    for line in lines:
        jumps = [f"{units.seconds(a)} to {units.seconds(b)}" for (_, _, a), (_, _, b) in pairwise(line.levels())]
        parts.append(f"{labels[line.name]}: " + (", then ".join(jumps) if jumps else "no change of level"))
    alt = f"Time for one photo over {len(runs)} runs. " + "; ".join(parts)
    note = "Thick line: typical level. Dashed: the level changed here."
    if len(runs) < FEWEST_RUNS:
        note = f"Too few runs to look for changes of level: {len(runs)} of at least {FEWEST_RUNS}."
    return style.chart("trend", "Trend over the saved runs", alt, note, draw, 0.7 + 1.15 * len(lines))


def _tick(run: Run) -> str:
    number = run.name.split("_", 1)[0]
    date = run.when[5:10] if len(run.when) >= 10 else ""
    return f"{number}\n{date}" if number.isdigit() else date or style.short(run.name, 10)
