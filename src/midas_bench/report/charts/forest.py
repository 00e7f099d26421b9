"""Charts of ratios with their intervals, one row each: comparison, the scenes' effect; and cells of other projects."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.results import units
from midas_bench.results.compare import Change, Comparison
from midas_bench.results.kinds import SceneRatio
from midas_bench.results.runs import Record, input_sizes, of_type

MOST_ROWS = 40
LONGEST_NAME = 46
SAME = 0.02
"""Ratios this close to one are called the same: less than a deployment notices."""

BLUE, ORANGE, GREY = style.OKABE_ITO[0], style.OKABE_ITO[5], "#8b949e"


def row_name(fullname: str) -> str:
    """Return an id without its file, its middle cut out where it is long."""
    return style.short(fullname.rsplit("::", 1)[-1], LONGEST_NAME)


def comparison(compared: Comparison, number: int) -> Chart | None:
    """Show after / before of each cell; the largest changes where there are too many."""
    ratios = [(change, change.ratio) for change in compared.changes if change.ratio is not None]
    rows = sorted(ratios, key=lambda row: abs(math.log(row[1].estimate)), reverse=True)[:MOST_ROWS]
    if not rows:
        return None
    largest, largest_ratio = rows[0]
    rows.sort(key=lambda row: row[1].estimate)
    several = len({change.figure for change, _ in rows}) > 1

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        axes.axvline(1, color=style.INK, linewidth=1)
        for y, (change, ratio) in enumerate(rows):
            colour, marker = _verdict_look(change)
            style.whiskers(axes, ratio, y, colour, marker)
        axes.set_yticks(
            range(len(rows)), [row_name(c.fullname) + (f", {c.figure}" if several else "") for c, _ in rows]
        )
        axes.set_ylim(len(rows) - 0.4, -0.6)
        log_ratio_axis(axes)
        sides = " / ".join(style.short(side.label) for side in (compared.after, compared.before))
        axes.set_xlabel(f"{sides} ({_kind_of_interval(compared)})")

    alt = (
        f"{len(compared.changes)} figures compared; the largest change is {row_name(largest.fullname)}, "
        f"{units.times_span(largest_ratio)}."
    )
    note = "Left of the line: less time or memory than the baseline."
    if len(ratios) > len(rows):
        note += f" The {len(rows)} largest of {len(ratios)} changes are shown."
    title = f"{style.short(compared.after.label)} beside {style.short(compared.before.label)}"
    return style.chart(f"comparison-{number}", title, alt, note, draw, 0.8 + 0.2 * len(rows))


def _verdict_look(change: Change) -> tuple[str, str]:
    looks = {"slower": (ORANGE, ">"), "more": (ORANGE, ">"), "faster": (BLUE, "<"), "less": (BLUE, "<")}
    return looks.get(change.verdict or "", (GREY, "o"))


def _kind_of_interval(compared: Comparison) -> str:
    if compared.by_file:
        return f"bars: 95 % interval over {len(compared.before.runs)} and {len(compared.after.runs)} files"
    return "bars: 95 % interval within these runs, no verdict"


def log_ratio_axis(axes: Axes) -> None:
    """Give ratios along x a logarithmic scale that holds 1."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.9), max(high, 1.1))
    wide = axes.get_xlim()[1] / axes.get_xlim()[0] > 6
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide else (1, 1.1, 1.2, 1.5, 2, 3, 5, 6, 7, 8, 9)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{units.TIMES}"))


def scenes(records: Sequence[Record]) -> Chart | None:
    """Show the scenes' times over the baseline scene's, by stage."""
    cells = [(r.info, estimate) for r in of_type(records, SceneRatio) if (estimate := r.info.estimate)]
    if not cells:
        return None
    cells.sort(key=lambda cell: (str(cell[0].stage), str(cell[0].scene)), reverse=True)

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        axes.axvspan(1 - SAME, 1 + SAME, color=GREY, alpha=0.25, linewidth=0)
        axes.axvline(1, color=style.INK, linewidth=1)
        names = list(dict.fromkeys(str(info.stage) for info, _ in cells))
        for y, (info, estimate) in enumerate(cells):
            i = names.index(str(info.stage)) % len(style.MARKERS)
            style.whiskers(axes, estimate, y, (BLUE, ORANGE, *style.OKABE_ITO)[i], style.MARKERS[i])
        axes.set_yticks(
            range(len(cells)),
            [row_name(f"{info.stage}: {info.scene} / {info.baseline_scene}") for info, _ in cells],
        )
        axes.set_ylim(-0.6, len(cells) - 0.4)
        counts = sorted({len(info.block_log_ratios) for info, _ in cells})
        axes.set_xlabel(f"ratio of times (bars: 95 % interval; n = {' or '.join(map(str, counts))} interleaved blocks)")

    alt = "Ratios of times between scenes. " + "; ".join(
        f"{info.stage} {info.scene} {units.times_span(estimate)}" for info, estimate in cells
    )
    size = input_sizes(of_type(records, SceneRatio))
    note = f"Grey band: within 2 % of the baseline scene. The network sees {size} pixels whatever the photo shows."
    return style.chart("scenes", "Does the scene matter?", alt, note, draw, 1.0 + 0.26 * len(cells))


def plain(records: Sequence[Record]) -> Chart | None:
    """Show the medians of cells that only pytest-benchmark describes, slowest last."""
    cells = sorted((r for r in records if r.kind == "plain" and r.times.resolved), key=lambda r: r.times.median_s)
    if not cells:
        return None
    shown = cells[:: max(1, -(-len(cells) // MOST_ROWS))]
    size, unit = units.time_unit(shown[len(shown) // 2].times.median_s)
    wide = shown[-1].times.median_s / shown[0].times.median_s > 20

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        for y, r in enumerate(shown):
            style.whiskers(axes, r.times.median.mapped(1 / size), y, BLUE, "o")
        axes.set_yticks(range(len(shown)), [row_name(r.fullname) for r in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        if wide:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            axes.set_xlim(left=0)
        counts = [r.times.rounds for r in shown]
        axes.set_xlabel(f"median, {unit} (bars: 95 % interval; n = {min(counts)} to {max(counts)} rounds)")

    alt = f"Medians of {len(cells)} benchmarks, from {units.seconds(cells[0].times.median_s)} to " + units.seconds(
        cells[-1].times.median_s
    )
    note = "" if len(shown) == len(cells) else f"{len(shown)} of {len(cells)}, evenly chosen; the table has all."
    return style.chart("benchmarks", "Benchmarks", alt, note, draw, 0.8 + 0.2 * len(shown))
