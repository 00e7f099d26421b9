"""The charts of speed against fidelity, and of several models against the first of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.report.charts.timing import rounds_text
from midas_bench.results import units
from midas_bench.results.fidelity_results import FidelityPoint

FLOOR = 1e-8
"""Below the resolution of float32; a backend that agrees to the last bit is drawn here."""


def correlation(point: FidelityPoint) -> str:
    """Return the rank correlation with as many digits as tell it from 1."""
    value = point.rank_correlation
    return units.NOTHING if value is None else "1" if value == 1 else f"{math.floor(value * 1e5) / 1e5:.5f}"


def fidelity(points: Sequence[FidelityPoint]) -> Chart | None:
    """Show each backend's time for one photo against its mean error: the lower and the further left, the better."""
    if len(points) < 2:
        return None
    names = style.labels(point.backend for point in points)
    places = [math.log10(max(point.mean_relative_error, FLOOR)) for point in points]
    bottom, top = min(places) - 0.5, max(max(places) + 0.5, min(places) + 2)

    def draw(figure: FigureBase) -> None:
        axes = _times(figure, points, places, bottom, top)
        ticks = range(math.ceil(bottom), math.floor(top) + 1)
        axes.set_yticks(list(ticks), ["0" if 10.0**tick == FLOOR else f"{10.0**tick:g}" for tick in ticks])
        axes.set_ylabel("mean error, share of the depth range")

    alt = "Time for one photo, mean error as a share of the depth range, and rank correlation. " + "; ".join(
        f"{names[p.backend]}: {units.seconds(p.time.estimate)}, {p.mean_relative_error:.2g}, {correlation(p)}"
        for p in points
    )
    note = "Against the reference on the same weights and photos. Lower is closer, further left is faster."
    return style.chart("speed-and-fidelity", "Speed against fidelity", alt, note, draw, 3.2)


def agreement(points: Sequence[FidelityPoint]) -> Chart | None:
    """Show the time for one photo of each model in each backend against its rank correlation with the first model."""
    followed = [(point, point.agreement) for point in points if point.agreement]
    if len(followed) < 2:
        return None
    shown = [point for point, _ in followed]
    names = style.labels(point.backend for point in shown)
    places = [agreed.rank_correlation for _, agreed in followed]
    # backends of one model share a place, and their names need room; a range of a hundredth is not blown up
    room = max(max(places) - min(places), 0.1) * max(0.15, 0.04 * len(shown))

    def draw(figure: FigureBase) -> None:
        axes = _times(figure, shown, places, min(places) - room, max(places) + room)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
        axes.set_yticks([tick for tick in axes.get_yticks() if tick <= 1])
        axes.set_ylim(min(places) - room, max(places) + room)
        axes.set_ylabel(f"rank correlation with {style.short(followed[0][1].teacher, 16)}")

    alt = "Time for one photo, and rank correlation with the first model. " + "; ".join(
        f"{names[point.backend]}: {units.seconds(point.time.estimate)}, {units.correlation(agreed.rank_correlation)}"
        for point, agreed in followed
    )
    note = "Higher follows more closely, of the worst photo; further left is faster."
    return style.chart("speed-and-agreement", "Speed against agreement with the first model", alt, note, draw, 3.2)


def _times(
    figure: FigureBase, points: Sequence[FidelityPoint], places: Sequence[float], bottom: float, top: float
) -> Axes:
    """Draw each backend at its time and its place, from bottom to top, with its name; return the axes."""
    names = style.labels(point.backend for point in points)
    looks = style.look([point.backend for point in points])
    labels = style.spread(places, (top - bottom) * 0.055)
    axes = figure.add_subplot()
    rightmost = max(point.time.high for point in points) * 1e3
    for point, place, label in zip(points, places, labels, strict=True):
        colour, marker = looks[point.backend]
        style.whiskers(axes, point.time.mapped(1e3), place, colour, marker, (top - bottom) * 0.06)
        axes.annotate(
            f"{names[point.backend]} {units.digits(point.time.estimate * 1e3)} ms",
            (point.time.high * 1e3, place), (rightmost * 1.06, label), va="center", color=style.INK,
            arrowprops={"arrowstyle": "-", "color": style.RULE, "linewidth": 1, "shrinkB": 4, "relpos": (0, 0.5)},
        )  # fmt: skip
    axes.set_xlim(0, rightmost * 1.5)
    axes.set_ylim(bottom, top)
    axes.grid(visible=True, axis="y")
    cells = [cell for point in points for cell in point.cells]
    axes.set_xlabel(f"time for one photo, ms (mean over scenes; bars: 95 % interval; {rounds_text(cells)} per cell)")
    return axes
