"""The chart of tuning: memory against the time of a call and against throughput, the Pareto front filled.

A stream has no calls, so it is on the throughput side alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import FigureBase

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.results import units
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import Trial, pareto


def label(setup: Setup) -> str:
    """Return threads and batch size, or that it is a stream, as short as a point's label must be."""
    return f"t{setup.threads} {'stream' if setup.stream_photos else f'b{setup.batch_size}'}"


def figures(trial: Trial) -> str:
    """Return a trial's time of a call, unless it is a stream, its throughput and its memory."""
    call_s = None if trial.setup.stream_photos or not trial.call else trial.call.estimate
    rate = trial.images_per_second.estimate if trial.images_per_second else None
    return ", ".join([*([units.seconds(call_s)] if call_s else []), units.rate(rate), units.mib(trial.peak_bytes)])


def tuning(trials: Sequence[Trial]) -> Chart | None:
    """Show every set-up whose time and memory are known; filled where no other one beats it in all three."""
    measured = [t for t in trials if t.call and t.peak_bytes is not None]
    if not measured:
        return None
    front = pareto(measured)
    looks = style.look([t.setup.backend for t in measured])
    labels = style.labels(t.setup.backend for t in measured)
    names = {t.setup.backend: labels[t.setup.backend] + ("" if t.exact else ", reduced") for t in measured}

    def draw(figure: FigureBase) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        for t in sorted(measured, key=lambda trial: trial in front):
            assert t.call is not None
            assert t.images_per_second is not None
            assert t.peak_bytes is not None
            colour, marker = looks[t.setup.backend]
            face = colour if t in front else "none"
            memory = t.peak_bytes / units.MIB
            sides = [(left, t.call.mapped(1e3)), (right, t.images_per_second)]
            for axes, x in sides[1:] if t.setup.stream_photos else sides:
                style.whiskers(
                    axes, x, memory, colour, marker, markerfacecolor=face, markeredgecolor=colour, markeredgewidth=1.2
                )
                if t in front:
                    place = (x.estimate, memory)
                    axes.annotate(label(t.setup), place, (0, -7), textcoords="offset points", ha="center", va="top",
                                  fontsize=7, zorder=6)  # fmt: skip
        for backend, name in names.items():
            colour, marker = looks[backend]
            left.plot([], [], marker, color=colour, markerfacecolor="none", markeredgewidth=1.2, label=name)
        left.plot([], [], style.MARKERS[0], color=style.MUTED, label="filled: none beats it")
        for axes in (left, right):
            axes.grid(visible=True, axis="both")
            axes.set_xlim(left=0)
            axes.margins(y=0.15)
        left.set_xlabel("time of one call, ms (less is better)")
        right.set_xlabel("images per second (more is better)")
        left.set_ylabel("peak memory, MiB")
        style.legend(figure, left, columns=4)

    alt = "Set-ups that no other one beats in time per call, throughput and memory together. "
    alt += "; ".join(f"{t.setup.backend} {label(t.setup)}: {figures(t)}" for t in front)
    fewest, most = min(len(t.visits) for t in measured), max(len(t.visits) for t in measured)
    note = (
        "Filled: on the Pareto front; t: threads, b: photos per call, stream: photos side by side, which have no time "
        "of a call. Bars: 95 % intervals of the median, "
        f"n = {fewest} to {most} passes; set-ups that left early have few, and were timed in other passes."
    )
    return style.chart("tuning", "What to deploy", alt, note, draw, 3.6)
