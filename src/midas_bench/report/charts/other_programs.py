"""The chart of other programs: their times over ours."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import FigureBase

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.report.charts.forest import log_ratio_axis
from midas_bench.results import units
from midas_bench.results.json_fields import clean
from midas_bench.results.other_programs import Contest

APART = 0.36
"""Of a row's height: how far our backends stand from each other in it."""
LONGEST_ROW = 40


def other_programs(contests: Sequence[Contest]) -> Chart | None:
    """Show how many times ours each program takes, one row per program and photo, one mark per backend of ours."""
    rows = list(dict.fromkeys((contest.photo, clean(cell.info.peer)) for contest in contests for cell in contest.cells))
    drawn = [contest for contest in contests if any(cell.info.estimate for cell in contest.cells)]
    if not drawn:
        return None
    backends = list(dict.fromkeys(contest.backend for contest in drawn))
    looks, labels = style.look(backends), style.labels(backends)
    several_photos = len({photo for photo, _ in rows}) > 1

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        axes.axvline(1, color=style.INK, linewidth=1)
        for contest in drawn:
            place = backends.index(contest.backend) - (len(backends) - 1) / 2
            colour, marker = looks[contest.backend]
            for cell in contest.cells:
                if ratio := cell.info.estimate:
                    y = rows.index((contest.photo, clean(cell.info.peer))) + place * APART / max(1, len(backends) - 1)
                    style.whiskers(axes, ratio, y, colour, marker)
                    axes.annotate(units.times(ratio.estimate), (ratio.high, y), (8, 0), textcoords="offset points",
                                  va="center", color=style.INK)  # fmt: skip
            axes.plot([], [], marker, color=colour, label=f"{labels[contest.backend]} is 1")
        names = [f"{peer}, {photo}" if several_photos else peer for photo, peer in rows]
        axes.set_yticks(range(len(rows)), [style.short(name, LONGEST_ROW) for name in names])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        log_ratio_axis(axes)
        counts = sorted({len(cell.info.block_log_ratios) for contest in drawn for cell in contest.cells})
        threads = sorted({contest.threads for contest in drawn if contest.threads})
        conditions = f"n = {' or '.join(map(str, counts))} blocks, {' or '.join(map(str, threads))} threads"
        axes.set_xlabel(f"its time over ours (bars: 95 % interval; {conditions})")
        style.legend(figure, axes)

    alt = "Times of other programs over ours. " + "; ".join(
        f"{peer} {units.times_span(ratio)} of {contest.backend}, {contest.photo}"
        for contest in drawn
        for peer, ratio in contest.ratios.items()
    )
    note = "Right of the line: ours takes less time. Workers took turns in blocks of fresh processes."
    return style.chart("other-programs", "Other programs", alt, note, draw, 1.1 + 0.34 * len(rows))
