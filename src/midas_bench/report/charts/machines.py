"""Charts of kinds of machine: the best figures of each with their intervals, and the price of a million photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.results import units
from midas_bench.results.intervals import Interval
from midas_bench.results.machines import MachineResult, Machines
from midas_bench.results.recommendations import FORMATS

WIDE = 20
"""Times that the largest figure is the smallest, from which on the axis is logarithmic."""
LONGEST_LABEL = 28
NO_BAR = "Without a bar: there is no interval, or it is too wide to say anything."

Figure = Callable[[MachineResult], tuple[str, Interval] | None]
"""Of a machine, the backend and the figure with its interval; None where it was not measured."""


def answer(question: str, factor: float) -> Figure:
    """Return what reads the figure of a question, times a factor."""

    def read(row: MachineResult) -> tuple[str, Interval] | None:
        found = row.answers.get(question)
        return (found.winner.name, _legible(found.figure.mapped(factor))) if found else None

    return read


def _peak(row: MachineResult) -> tuple[str, Interval] | None:
    return (row.roof.record.info.backend_name, _legible(row.roof.share.mapped(100))) if row.roof else None


def _price(row: MachineResult) -> tuple[str, Interval] | None:
    return (row.answers["throughput"].winner.name, _legible(row.price)) if row.price else None


def _legible(figure: Interval) -> Interval:
    """Return a figure without its interval where that is too wide to say anything: it would squeeze all others."""
    has_none = units.span(figure) == units.NOTHING
    return replace(figure, low=figure.estimate, high=figure.estimate) if has_none else figure


PANELS: Sequence[tuple[str, Figure]] = (
    ("time per photo, ms (less is better)", answer("latency", 1e3)),
    ("images per second (more is better)", answer("throughput", 1.0)),
    ("peak memory, MiB (less is better)", answer("memory", 1 / units.MIB)),
    ("share of its own peak, %", _peak),
)


def machines(shown: Machines) -> Chart | None:
    """Show each machine's best figures, a panel for each question."""
    figures = {title: [read(row) for row in shown.rows] for title, read in PANELS}
    panels = {title: found for title, found in figures.items() if any(found)}
    if not panels:
        return None
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    looks = _looks(panels.values())

    def draw(figure: FigureBase) -> None:
        grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axes, (title, found) in zip(grid.flat, panels.items(), strict=False):
            _panel(axes, shown, found, looks)
            axes.set_xlabel(title)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        _legend(figure, grid.flat[0], looks, shown)

    alt = "The best set-up of each kind of machine. " + "; ".join(f"{row.label}: {_words(row)}" for row in shown.rows)
    note = f"Bars: 95 % intervals of the run; for memory, the range over processes. {NO_BAR} {_backends(looks)}"
    height_in = 0.55 + lines * (0.6 + 0.3 * len(shown.rows))
    return style.chart("machines", "The machines", alt, note, draw, height_in)


def prices(shown: Machines) -> Chart | None:
    """Show what a million photos cost on each machine."""
    found = [_price(row) for row in shown.rows]
    if not any(found):
        return None
    looks = _looks([found])

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        _panel(axes, shown, found, looks)
        for y, priced in enumerate(found):
            if priced:
                axes.annotate(units.digits(priced[1].estimate), (priced[1].high, y), (8, 0), va="center",
                              textcoords="offset points", color=style.INK)  # fmt: skip
        axes.set_xlim(right=axes.get_xlim()[1] * 1.1)
        axes.set_xlabel("price per million photos")
        _legend(figure, axes, looks, shown)

    alt = "Price per million photos. " + "; ".join(
        f"{row.label}: {units.price_span(priced[1]) if priced else 'no price'}"
        for row, priced in zip(shown.rows, found, strict=True)
    )
    note = (
        f"In the currency of the price per hour. Bars: 95 % intervals of the run. At the highest throughput, for a "
        f"machine that is always busy. {NO_BAR} {_backends(looks)}"
    )
    return style.chart("machine-prices", "What a million photos cost", alt, note, draw, 1.1 + 0.3 * len(shown.rows))


def _panel(axes: Axes, shown: Machines, found: Sequence[tuple[str, Interval] | None], looks: style.Looks) -> None:
    measured = [pair for pair in found if pair]
    for y, (row, pair) in enumerate(zip(shown.rows, found, strict=True)):
        if pair:
            colour, marker = looks[pair[0]]
            hollow: dict[str, Any] = {"markerfacecolor": style.PAPER, "markeredgecolor": colour, "markeredgewidth": 1.2}
            style.whiskers(axes, pair[1], y, colour, marker, **(hollow if shown.unlike(row) else {}))
        else:
            axes.annotate("not measured", (0.02, y), xycoords=("axes fraction", "data"), va="center", color=style.MUTED)
    lows, highs = [pair[1].low for pair in measured], [pair[1].high for pair in measured]
    if measured and max(highs) > WIDE * min(lows) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.set_xlim(0, max(highs, default=1) * 1.08 or 1)
    labels = style.labels((row.label for row in shown.rows), LONGEST_LABEL)
    axes.set_yticks(range(len(shown.rows)), [labels[row.label] for row in shown.rows])
    axes.set_ylim(len(shown.rows) - 0.4, -0.6)


def _looks(panels: Iterable[Sequence[tuple[str, Interval] | None]]) -> style.Looks:
    return style.look([pair[0] for found in panels for pair in found if pair])


def _backends(looks: style.Looks) -> str:
    if len(looks) == 1:
        return f"All of it is of the backend {style.short(next(iter(looks)))}."
    return "Colour and mark name the backend."


def _legend(figure: FigureBase, axes: Axes, looks: style.Looks, shown: Machines) -> None:
    for name, (colour, marker) in looks.items():
        axes.plot([], [], marker, color=colour, label=style.short(name))
    if any(shown.unlike(row) for row in shown.rows):
        axes.plot(
            [], [], style.MARKERS[0], color=style.MUTED, markerfacecolor=style.PAPER, label="hollow: not comparable"
        )
    style.legend(figure, axes)


def _words(row: MachineResult) -> str:
    figures = [FORMATS[question](found.figure) for question, found in row.answers.items()]
    figures += [f"{units.percent(row.roof.share.estimate)} of its peak"] if row.roof else []
    return ", ".join(figures) or "nothing to recommend"
