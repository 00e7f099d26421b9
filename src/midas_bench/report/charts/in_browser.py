"""The chart of what runs in a browser: its times over native ones, by stage."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import FigureBase

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.report.charts.forest import log_ratio_axis
from midas_bench.results import units
from midas_bench.results.in_browser import PHOTO, TIMED, InBrowser

APART = 0.6
"""Of a row's height: how far the graphs and threads of a row stand from each other."""


def in_browser(measured: Sequence[InBrowser]) -> Chart | None:
    """Show how many times native's the browser's time is: a row per stage, a mark per graph and number of threads."""
    drawn = [one for one in measured if any(cell.info.estimate for cell in one.ratios.values())]
    if not drawn:
        return None
    rows = [timed for timed in TIMED if any(timed in one.ratios for one in drawn)]
    names = [f"{one.browser_backend}, {units.counted(one.threads or 0, 'thread')}" for one in drawn]
    looks = style.look(names)

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        axes.axvline(1, color=style.INK, linewidth=1)
        for place, (one, name) in enumerate(zip(drawn, names, strict=True)):
            off = (place - (len(drawn) - 1) / 2) * APART / max(1, len(drawn) - 1)
            colour, marker = looks[name]
            for timed, cell in one.ratios.items():
                if ratio := cell.info.estimate:
                    style.whiskers(axes, ratio, rows.index(timed) + off, colour, marker)
                    axes.annotate(units.times(ratio.estimate), (ratio.high, rows.index(timed) + off), (8, 0),
                                  textcoords="offset points", va="center", color=style.INK)  # fmt: skip
            axes.plot([], [], marker, color=colour, label=name)
        axes.set_yticks(range(len(rows)), ["whole photo" if timed == PHOTO else timed for timed in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        log_ratio_axis(axes)
        counts = sorted({len(cell.info.block_log_ratios) for one in drawn for cell in one.ratios.values()})
        axes.set_xlabel(
            f"time in the browser over native (bars: 95 % interval; n = {' or '.join(map(str, counts))} blocks)"
        )
        style.legend(figure, axes)

    photos = [
        f"{name} {units.times_span(ratio)}"
        for one, name in zip(drawn, names, strict=True)
        if PHOTO in one.ratios and (ratio := one.ratios[PHOTO].info.estimate)
    ]
    alt = f"Times in the browser over native ones, by stage. A whole photo: {'; '.join(photos) or 'not timed'}."
    note = "Right of the line: native takes less time. Page and native process took turns in blocks of fresh processes."
    return style.chart("in-browser", "Browser over native", alt, note, draw, 1.1 + 0.22 * len(rows) * len(drawn))
