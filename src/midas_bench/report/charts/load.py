"""The chart of load: latency against the offered rate, with the knee marked, and the share that was refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.results import units
from midas_bench.results.load_records import Load, LoadPoint, knee
from midas_bench.results.runs import CellRecord, Record, of_type

MS = 1e3
HEADROOM = 3
"""The axis reaches to this many times the largest bound: an overloaded server's p99 would squeeze all else."""


def load(records: Sequence[Record]) -> Chart | None:
    """Show p50 and p99 against the offered rate, for each cell with two rates or more."""
    loads = by_label([r for r in of_type(records, Load) if len(r.info.open_loop) > 1])
    if not loads:
        return None
    looks, labels = style.look(list(loads)), style.labels(loads)
    knees = {label: knee(result.load_points, result.latency_bound_s) for label, result in loads.items()}
    refused = any(point.rejected for result in loads.values() for point in result.load_points)

    def draw(figure: FigureBase) -> None:
        rows = figure.subplots(2 if refused else 1, 1, sharex=True, squeeze=False,
                               height_ratios=[3, 1] if refused else None)[:, 0]  # fmt: skip
        top = _latencies(rows[0], loads, looks, labels, knees)
        if refused:
            for label, result in loads.items():
                colour, marker = looks[label]
                points = result.open_loop
                x = [p.offered_per_second or 0 for p in points]
                rows[1].plot(x, [100 * p.rejected_share for p in points], marker, color=colour, linestyle="-")
            rows[1].set_ylim(-4, 104)
            rows[1].set_ylabel("refused, %")
        for axes in rows:
            axes.grid(visible=True, axis="both")
            axes.set_xlim(left=0)
        rows[0].set_ylim(0, top)
        rows[-1].set_xlabel("offered requests per second")
        for text, linestyle in (("p99", "-"), ("p50", ":"), ("bound of p99", "--")):
            rows[0].plot([], [], color=style.MUTED, linestyle=linestyle, linewidth=1.2, label=text)
        style.legend(figure, rows[0], columns=len(loads) + 3)

    summaries = (_summary(labels[label], result, knees[label]) for label, result in loads.items())
    alt = "Latency against offered rate. " + "; ".join(summaries)
    short = any(result.rules == "short" for result in loads.values())
    note = (
        "Ringed: the knee, the largest offered rate whose p99 held the bound with nothing refused; an arrow: above the "
        "chart."
    ) + (" Short runs of LoadGen: a p99 of so few queries is rough." if short else "")
    return style.chart("load", "Latency under load", alt, note, draw, 3.9 if refused else 3.1)


def by_label(records: Sequence[CellRecord[Load]]) -> dict[str, Load]:
    """Return each cell's load by its backend, or by the cell's own id where a backend has several."""
    loads: dict[str, Load] = {}
    for r in records:
        loads[r.fullname if r.info.backend_name in loads else r.info.backend_name] = r.info
    return loads


def _latencies(
    axes: Axes,
    loads: dict[str, Load],
    looks: dict[str, tuple[str, str]],
    labels: dict[str, str],
    knees: dict[str, LoadPoint | None],
) -> float:
    """Draw p50, p99, bounds and knees; return the upper end of the axis."""
    bounds = [result.latency_bound_s for result in loads.values() if result.latency_bound_s is not None]
    highest_s = max(point.p99_s for result in loads.values() for point in result.open_loop)
    limit_s = HEADROOM * max(bounds, default=float("inf"))
    top_s = highest_s * 1.12 if highest_s <= limit_s else limit_s
    for label, result in loads.items():
        colour, marker = looks[label]
        points = result.open_loop
        x = [p.offered_per_second or 0 for p in points]
        line: dict[str, Any] = {"color": colour, "markeredgecolor": style.PAPER, "markeredgewidth": 0.6}
        axes.plot(x, [p.p50_s * MS for p in points], marker, linestyle=":", linewidth=1.1, markersize=4, **line)
        axes.plot(x, [p.p99_s * MS for p in points], marker, linestyle="-", linewidth=1.5, label=labels[label], **line)
        for point in points:
            if point.p99_s > top_s:
                axes.plot([point.offered_per_second or 0], [top_s * MS * 0.975], "^", color=colour, clip_on=False)
        if result.latency_bound_s is not None:
            axes.axhline(result.latency_bound_s * MS, color=colour, linestyle="--", linewidth=0.9)
        best = knees[label]
        if best is not None:
            rate, p99_ms = best.offered_per_second or 0, best.p99_s * MS
            axes.plot([rate], [p99_ms], "o", markersize=12, markerfacecolor="none", markeredgecolor=style.INK,
                      markeredgewidth=1.2)  # fmt: skip
            axes.annotate(f"{units.digits(rate)}/s", (rate, p99_ms), (0, -10), textcoords="offset points", ha="center",
                          va="top", fontweight="bold", zorder=6,
                          bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.8})  # fmt: skip
    axes.set_ylabel("latency, ms")
    return top_s * MS if top_s > 0 else 1.0


def _summary(label: str, result: Load, best: LoadPoint | None) -> str:
    bound_s = result.latency_bound_s
    bound = "no bound known" if bound_s is None else f"p99 within {units.seconds(bound_s)}"
    if best is None:
        return f"{label}: no rate with {bound} and nothing refused"
    rate = units.digits(best.offered_per_second or 0)
    return f"{label}: {rate} per second with {bound} (p99 {units.seconds(best.p99_s)})"
