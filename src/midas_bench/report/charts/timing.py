"""Charts of single calls: latency by scene, the rounds themselves, and thread scaling."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.figure import FigureBase
from numpy.typing import NDArray

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.results import units
from midas_bench.results.intervals import Interval, mean_interval
from midas_bench.results.ranking import ARTICLE
from midas_bench.results.runs import Record

MOST_DOTS = 150
SPREAD = 0.26
"""Half the height of a row's dots."""
MS = 1e-3


def series(record: Record) -> str:
    """Name the series that a cell belongs to: its network and backend, or the article's recipe."""
    return "article's recipe" if record.info.recipe == ARTICLE else record.info.backend_name


def rounds_text(records: Sequence[Record]) -> str:
    """Return such as `n = 10 to 19 rounds`."""
    counts = [record.times.rounds for record in records]
    low, high = min(counts), max(counts)
    return f"n = {low} rounds" if low == high else f"n = {low} to {high} rounds"


def one_photo(records: Sequence[Record]) -> list[Record]:
    """Return the cells of the whole pipeline on one photo, the slowest series first; only scenes that most have."""
    cells = [record for record in records if record.is_pipeline and record.info.batch_size == 1]
    ours = {r.info.scene for r in cells if r.info.recipe != ARTICLE}
    # the article's recipe may have run alone on some scenes
    cells = [r for r in cells if r.info.scene in ours or not ours]
    means: dict[str, list[float]] = {}
    for record in cells:
        means.setdefault(series(record), []).append(record.times.median_s)
    return sorted(cells, key=lambda r: -sum(means[series(r)]) / len(means[series(r)]))


def scenes_of(cells: Sequence[Record], records: Sequence[Record]) -> dict[str | None, str]:
    """Return the scenes of some cells in the order of the run, each with its label."""
    scenes = {r.info.scene for r in cells}
    return style.labels(scene for scene in dict.fromkeys(r.info.scene for r in records) if scene in scenes)


def latency(records: Sequence[Record]) -> Chart | None:
    """Show the median time of one photo by backend and scene, with intervals."""
    cells = one_photo(records)
    if not cells:
        return None
    scenes = scenes_of(cells, records)
    places = list(scenes)
    names = list(dict.fromkeys(map(series, cells)))
    looks, labels = style.look(names), style.labels(names)

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        row_height = 0.8 / max(len(names), 1)
        for r in cells:
            y = places.index(r.info.scene) + (names.index(series(r)) - (len(names) - 1) / 2) * row_height
            style.whiskers(axes, r.times.median.mapped(1 / MS), y, *looks[series(r)], label=labels[series(r)])
        for edge in range(1, len(scenes)):
            axes.axhline(edge - 0.5, color=style.RULE, linewidth=0.7)
        axes.set_yticks(range(len(scenes)), list(scenes.values()))
        axes.set_ylim(len(scenes) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel(
            f"median time from JPEG bytes to heat map, ms (bars: 95 % interval; {rounds_text(cells)} per point)"
        )
        style.legend(figure, axes)

    alt = "Median milliseconds for one photo. " + "; ".join(
        f"{label}: "
        + ", ".join(f"{scenes[r.info.scene]} {units.seconds(r.times.median_s)}" for r in cells if series(r) == name)
        for name, label in labels.items()
    )
    note = "Further left is faster. An interval covers what differed within this run; another run may differ by more."
    height = 1.0 + 0.16 * len(scenes) * (len(names) + 1.5)
    return style.chart("latency", "Time for one photo, by backend and scene", alt, note, draw, height)


def rounds(records: Sequence[Record]) -> Chart | None:
    """Show the raw rounds behind the medians, one dot per round."""
    cells = [r for r in one_photo(records) if len(r.times.rounds_s)]
    if not cells:
        return None
    scenes = scenes_of(cells, records)
    places = list(scenes)
    names = list(dict.fromkeys(map(series, cells)))
    looks, labels = style.look(names), style.labels(names)
    columns = min(2, len(scenes))

    def draw(figure: FigureBase) -> None:
        grid = figure.subplots(-(-len(scenes) // columns), columns, sharex=True, sharey=True, squeeze=False)
        generator = np.random.default_rng(0)
        for axes in grid.flat[len(scenes) :]:
            axes.set_visible(False)
        for r in cells:
            axes, y = grid.flat[places.index(r.info.scene)], names.index(series(r))
            colour, _ = looks[series(r)]
            shown, height, disturbed = _dots(r, generator)
            calm = {"color": colour, "alpha": 0.55, "markersize": 4.5, "markeredgewidth": 0}
            axes.plot(shown[~disturbed] / MS, y + height[~disturbed], ".", **calm)
            axes.plot(shown[disturbed] / MS, y + height[disturbed], "x", color=colour, alpha=0.7, markersize=3.5)
            median = r.times.median_s / MS
            axes.plot([median, median], [y - 0.36, y + 0.36], color=style.INK, linewidth=1.4)
        for scene, axes in zip(scenes.values(), grid.flat, strict=False):
            axes.set_title(scene, loc="left", fontweight="bold")
            axes.set_yticks(range(len(names)), list(labels.values()))
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.set_xlim(left=0)
        text = f"time of one call, ms (dots: rounds; line: median; {rounds_text(cells)} per row)"
        figure.supxlabel(text, fontsize=8.5, color=style.MUTED)

    slowest = max(cells, key=lambda r: r.times.max_s / r.times.median_s)
    alt = (
        f"Every timed round of {len(cells)} cells. The longest tail: {labels[series(slowest)]}, "
        f"{scenes[slowest.info.scene]}, median {units.seconds(slowest.times.median_s)}, slowest round "
        f"{units.seconds(slowest.times.max_s)}."
    )
    note = (
        f"One dot per round, at most {MOST_DOTS} evenly chosen ones per row. Within a row, passes follow each other "
        "from top to bottom. Crosses: the machine was disturbed during that pass."
    )
    height = 0.9 + -(-len(scenes) // columns) * (0.5 + 0.3 * len(names))
    return style.chart("rounds", "Every round of one photo", alt, note, draw, height)


def _dots(
    record: Record, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return seconds, height and whether disturbed of the rounds that are shown; without passes the height is drawn."""
    rounds_s, by_pass = record.times.rounds_s, record.info.rounds_by_pass
    passes = len(record.times.passes_s)
    if passes:
        number = np.repeat(np.arange(passes), by_pass)
        height = np.linspace(-SPREAD, SPREAD, passes)[number] if passes > 1 else np.zeros(len(rounds_s))
        disturbed = record.disturbed_by_pass[number]
    else:
        rounds_s = np.sort(rounds_s)
        height = generator.uniform(-SPREAD, SPREAD, len(rounds_s))
        disturbed = np.zeros(len(rounds_s), bool)
    shown = np.unique(np.linspace(0, len(rounds_s) - 1, MOST_DOTS).astype(int))
    return rounds_s[shown], height[shown], disturbed[shown]


def threads(records: Sequence[Record]) -> Chart | None:
    """Show how the time of one photo falls with more threads, beside perfect scaling."""
    cells = [
        r
        for r in records
        if r.kind == "latency" and r.benchmark == "test_threads" and r.info.threads and r.info.backend
    ]
    cells = [r for r in cells if r.times.resolved]
    counts = sorted({r.info.threads for r in cells if r.info.threads})
    if len(counts) < 2:
        return None
    names = list(dict.fromkeys(map(series, cells)))
    looks, labels = style.look(names), style.labels(names)
    means: dict[str, dict[int, Interval]] = {}
    for name, count in product(names, counts):
        parts = [r.times.median for r in cells if series(r) == name and r.info.threads == count]
        if parts:
            means.setdefault(name, {})[count] = mean_interval(parts).mapped(1 / MS)

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        for name, by_count in means.items():
            colour, marker = looks[name]
            style.rising(axes, list(by_count), list(by_count.values()), colour, marker, labels[name])
            first = min(by_count)
            ideal = [by_count[first].estimate * first / count for count in by_count]
            axes.plot(list(by_count), ideal, color=colour, linewidth=0.9, linestyle=(0, (2, 2)), zorder=2)
        axes.plot([], [], color=style.MUTED, linewidth=0.9, linestyle=(0, (2, 2)), label="perfect scaling")
        axes.grid(visible=True, axis="y")
        axes.grid(visible=False, axis="x")
        axes.set_xticks(counts)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("threads")
        axes.set_ylabel("median time of one photo, ms")
        axes.set_title(f"bars: 95 % interval; {rounds_text(cells)} per point", loc="left", color=style.MUTED)
        style.legend(figure, axes)

    alt = "Median time of one photo by threads. " + "; ".join(
        f"{labels[name]}: "
        + ", ".join(f"{count} threads {units.digits(v.estimate)} ms" for count, v in by_count.items())
        for name, by_count in means.items()
    )
    note = "Dashed: the time with one thread divided by the number of threads."
    return style.chart("threads", "More threads", alt, note, draw, 2.8)
