"""The chart of a gate's self-test: the verdicts by the size of a slowdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import FigureBase

from midas_bench.render.document import Chart
from midas_bench.report.charts import style

SERIES = {"regressed": "regressed (alarm)", "not slower": "not slower (pass)", "inconclusive": "inconclusive"}


def power(document: Mapping[str, Any]) -> Chart:
    """Show the share of each verdict by injected slowdown, from the document of a self-test."""
    simulated = document["resampled"]
    rows = simulated["rows"]
    slowdowns = [f"{100 * row['slowdown']:g} %" for row in rows]
    shares = {v: [100 * row["verdicts"].get(v, 0) / simulated["gates"] for row in rows] for v in SERIES}
    looks = style.look(list(SERIES))

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        for verdict, label in SERIES.items():
            colour, marker = looks[verdict]
            axes.plot(range(len(rows)), shares[verdict], color=colour, marker=marker, label=label, linewidth=1.4)
        axes.set_xticks(range(len(rows)), slowdowns)
        axes.set_xlabel(f"slowdown injected into {simulated['slowed']}")
        axes.set_ylabel("% of gates")
        axes.set_ylim(-3, 103)
        axes.grid(visible=True, axis="y")
        style.legend(figure, axes)

    alarm_rates = ", ".join(
        f"{name}: {share:.1f} %" for name, share in zip(slowdowns, shares["regressed"], strict=True)
    )
    return style.chart(
        "gate-self-test",
        "What the gate says of a slowdown",
        f"Share of gates that raise the alarm, by slowdown: {alarm_rates}",
        f"{simulated['gates']:,} gates per point, drawn from {len(document['blocks'])} recorded blocks.",
        draw,
        height_in=2.6,
    )
