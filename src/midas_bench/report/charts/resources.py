"""Charts of what a set-up needs: memory by backend and batch, memory over time, and start-up."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import FigureBase

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.report.charts.timing import series
from midas_bench.results import units
from midas_bench.results.kinds import PHASES, Memory, RssSamples, Startup
from midas_bench.results.runs import CellRecord, Record, of_type
from midas_bench.results.units import MIB

TO_FIRST = {phase: phase.replace("_", " ") for phase in PHASES[:-1]}
"""The phases before the first heat map."""
PHASE_COLOURS = ("#56B4E9", "#E69F00", "#0072B2")
PHASE_HATCHES = ("", "////", "")


def memory_groups(records: Sequence[Record]) -> dict[tuple[str, int], list[Memory]]:
    """Return what processes needed, by series and batch size, the least peak first."""
    groups: dict[tuple[str, int], list[Memory]] = {}
    for r in of_type(records, Memory):
        groups.setdefault((series(r), r.info.batch_size or 1), []).append(r.info)
    return dict(sorted(groups.items(), key=lambda item: sum(m.peak_rss_bytes for m in item[1]) / len(item[1])))


def _mean(values: Sequence[int | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def memory(records: Sequence[Record]) -> Chart | None:
    """Show resident memory after imports, after load and at its peak, by backend and batch size."""
    groups = memory_groups(records)
    if not groups:
        return None
    looks, labels = style.look([name for name, _ in groups]), style.labels(name for name, _ in groups)
    counts = [len(group) for group in groups.values()]

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        for y, ((name, _), group) in enumerate(groups.items()):
            colour, marker = looks[name]
            peaks = [m.peak_rss_bytes / MIB for m in group]
            peak = sum(peaks) / len(peaks)
            for values, style_marker in (
                ([m.baseline_rss_bytes for m in group], "|"),
                ([m.loaded_rss_bytes for m in group], "4"),
            ):
                mean = _mean(values)
                if mean is not None:
                    axes.plot([mean / MIB, peak], [y, y], color=colour, linewidth=1.2, alpha=0.5, zorder=2)
                    axes.plot([mean / MIB], [y], style_marker, color=colour, markersize=9, markeredgewidth=1.8)
            axes.plot([min(peaks), max(peaks)], [y, y], color=colour, linewidth=3, zorder=3)
            axes.plot([peak], [y], marker, color=colour, markersize=7, markeredgecolor=style.PAPER, zorder=4)
            axes.annotate(units.mib(peak * MIB), (max(peaks), y), (8, 0), textcoords="offset points", va="center")
        for mark, label in (("|", "after imports"), ("4", "after load"), ("o", "peak")):
            axes.plot([], [], mark, color=style.MUTED, markersize=8, markeredgewidth=1.5, label=label)
        axes.set_yticks(range(len(groups)), [f"{labels[name]}, batch {size}" for name, size in groups])
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_xlim(0, axes.get_xlim()[1] * 1.1)
        n = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
        axes.set_xlabel(f"resident memory of a fresh process, MiB (thick: range; n = {n} per row)")
        style.legend(figure, axes)

    alt = "Peak memory. " + "; ".join(
        f"{labels[name]}, batch {size}: {units.mib(_mean([m.peak_rss_bytes for m in group]))}"
        for (name, size), group in groups.items()
    )
    note = "The peak is the kernel's own high-water mark of a process that does nothing else."
    return style.chart("memory", "Memory by backend and batch size", alt, note, draw, 1.1 + 0.3 * len(groups))


def memory_over_time(records: Sequence[Record]) -> Chart | None:
    """Show one process's memory over its life, for each set-up that was sampled."""
    sampled: dict[tuple[str, int | None], RssSamples] = {}
    several = len({r.info.batch_size for r in of_type(records, Memory)}) > 1
    for r in of_type(records, Memory):
        if len(r.info.rss_over_time.t_s) > 1:
            sampled.setdefault((series(r), r.info.batch_size if several else None), r.info.rss_over_time)
    if not sampled:
        return None
    looks = style.look([name for name, _ in sampled])
    names = style.labels(name for name, _ in sampled)
    labels = {(name, size): names[name] + (f", batch {size}" if several else "") for name, size in sampled}
    dashes = {1: "-", 2: (0, (4, 1.5)), 3: (0, (4, 1.5, 1, 1.5)), 4: (0, (1, 1))}

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        for (name, size), m in sampled.items():
            dash = dashes.get(size or 1, "-")
            rss = [value / MIB for value in m.rss_bytes]
            colour, marker = looks[name]
            axes.plot(m.t_s, rss, marker, color=colour, linewidth=1.5, linestyle=dash, label=labels[name, size],
                      markersize=4, markevery=max(1, len(m.t_s) // 6))  # fmt: skip
        axes.set_ylim(0, axes.get_ylim()[1] * 1.03)
        axes.set_xlim(left=0)
        axes.grid(visible=True, axis="both")
        axes.set_xlabel("seconds since the process began (n = 1 process per line)")
        axes.set_ylabel("resident memory, MiB")
        style.legend(figure, axes, columns=3)

    alt = "Resident memory over time. " + "; ".join(
        f"{labels[key]}: rises to {units.mib(max(m.rss_bytes))} within {units.seconds(m.t_s[-1])}"
        for key, m in sampled.items()
    )
    note = "Sampled from outside the process, coarsely; short peaks between samples do not show."
    return style.chart("memory-over-time", "Memory over time", alt, note, draw, 2.9)


def startup(records: Sequence[Record]) -> Chart | None:
    """Show what fresh processes spend until their first heat map, by backend and state of the cache."""
    cells = [r for r in of_type(records, Startup) if any(r.info.phases_s[phase] for phase in TO_FIRST)]
    if not cells:
        return None
    totals = {r.fullname: _totals(r) for r in cells}
    cells.sort(key=lambda r: sum(totals[r.fullname]) / max(len(totals[r.fullname]), 1))

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        for y, r in enumerate(cells):
            left = 0.0
            for (phase, label), colour, hatch in zip(TO_FIRST.items(), PHASE_COLOURS, PHASE_HATCHES, strict=True):
                values = r.info.phases_s[phase]
                width = sum(values) / len(values) if values else 0.0
                axes.barh(
                    y, width, 0.56, left, color=colour, hatch=hatch, edgecolor=style.PAPER, linewidth=0.6, label=label
                )
                left += width
            ys = [y] * len(totals[r.fullname])
            axes.plot(totals[r.fullname], ys, "o", color=style.INK, markersize=4, markeredgecolor=style.PAPER,
                      markeredgewidth=0.6, zorder=4, label="each process")  # fmt: skip
            build_s = r.info.mean_build_s
            build = "" if build_s is None else f" + {units.seconds(build_s)} making the graph"
            axes.annotate(f"{units.seconds(left)}{build}", (max([left, *totals[r.fullname]]), y), (7, 0),
                          textcoords="offset points", va="center")  # fmt: skip
        axes.set_yticks(range(len(cells)), [_startup_name(r) for r in cells])
        axes.set_ylim(len(cells) - 0.5, -0.5)
        wide = 1.6 if any(r.info.build_s for r in cells) else 1.15
        longest_s = max(max(values, default=0) for values in totals.values())
        axes.set_xlim(0, longest_s * wide if longest_s > 0 else 1)
        counts = sorted({len(values) for values in totals.values()})
        axes.set_xlabel(f"seconds until the first result (n = {' or '.join(map(str, counts))} processes per row)")
        style.legend(figure, axes)

    alt = "Seconds until the first result. " + "; ".join(
        f"{_startup_name(r)}: {units.seconds(sum(totals[r.fullname]) / max(len(totals[r.fullname]), 1))}" for r in cells
    )
    note = "Bars: means over fresh processes; dots: each process. Making the graph happens once and is cached."
    return style.chart("startup", "Start-up", alt, note, draw, 1.1 + 0.36 * len(cells))


def _totals(record: CellRecord[Startup]) -> list[float]:
    phases = [record.info.phases_s[phase] for phase in TO_FIRST]
    return [sum(values) for values in zip(*[p for p in phases if p], strict=False)]


def _startup_name(record: CellRecord[Startup]) -> str:
    cache = "" if record.info.cache_state == "warm" else ", empty cache"
    return f"{style.short(series(record))}{cache}"
