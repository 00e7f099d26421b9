"""Charts of set-ups against each other: speed-up over eager, throughput by batch, where the time goes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import FigureBase

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.report.charts.timing import one_photo, rounds_text, series
from midas_bench.results import units
from midas_bench.results.intervals import Interval, mean_interval
from midas_bench.results.kinds import Ratio
from midas_bench.results.ranking import ARTICLE, FAST, Setup, fastest
from midas_bench.results.runs import CellRecord, Record, of_type

STAGES = ("decode", "preprocess", "inference", "heatmap")
STAGE_COLOURS = ("#56B4E9", "#E69F00", "#0072B2", "#CC79A7")
STAGE_HATCHES = ("", "////", "", "\\\\")
EAGER = "eager"


def speedup(records: Sequence[Record]) -> Chart | None:
    """Show how many times as fast as eager each backend is: from interleaved blocks, and within the run."""
    blocks = block_speedups(records)
    within = run_speedups(records)
    names = sorted({*blocks, *within}, key=lambda name: (blocks.get(name) or within[name]).estimate)
    if not names:
        return None
    looks, labels = style.look([EAGER, *names]), style.labels(names)
    counts = sorted({len(r.info.block_log_ratios) for r in over_eager(records)})
    taking_turns = f"interleaved blocks{threads_text(over_eager(records))}"
    within_run = f"within this run{threads_text([r for r in records if r.is_pipeline])}"

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        axes.axvline(1, color=style.INK, linewidth=1)
        for y, name in enumerate(names):
            colour, marker = looks[name]
            hollow = {"markerfacecolor": style.PAPER, "markeredgecolor": colour, "markeredgewidth": 1.2}
            apart = 0.17 if name in blocks and name in within else 0
            for speedups, place, properties in ((blocks, y - apart, {"markersize": 7}), (within, y + apart, hollow)):
                if name in speedups:
                    style.whiskers(axes, speedups[name], place, colour, marker, **properties)
                    axes.annotate(units.times(speedups[name].estimate), (speedups[name].high, place), (8, 0),
                                  textcoords="offset points", va="center",
                                  color=style.INK if speedups is blocks or not apart else style.MUTED)  # fmt: skip
        if blocks:
            axes.plot([], [], style.MARKERS[0], color=style.MUTED, markersize=7, label=taking_turns)
        axes.plot([], [], style.MARKERS[0], color=style.MUTED, markerfacecolor=style.PAPER, label=within_run)
        axes.set_yticks(range(len(names)), list(labels.values()))
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlim(min(0.8, axes.get_xlim()[0]), axes.get_xlim()[1] * 1.05)
        n = f"n = {' or '.join(map(str, counts))} blocks" if counts and blocks else "no interleaved blocks"
        axes.set_xlabel(f"times as fast as eager, one photo (bars: 95 % interval; {n})")
        style.legend(figure, axes)

    alt = "Times as fast as eager. " + "; ".join(
        f"{labels[name]} {units.times_span(blocks.get(name) or within[name])}" for name in names
    )
    note = (
        "Filled: workers took turns in blocks of fresh processes. Hollow: cells of this run, which take turns in "
        "passes; files without passes measured them one after the other."
    )
    return style.chart("speedup", "Speed-up over eager", alt, note, draw, 1.15 + 0.42 * len(names))


def block_speedups(records: Sequence[Record]) -> dict[str, Interval]:
    """Return speed-ups over eager from block ratios `<backend>/eager`, by backend."""
    return {
        r.info.name.removesuffix("/" + EAGER): estimate.inverted()
        for r in over_eager(records)
        if (estimate := r.info.estimate)
    }


def over_eager(records: Sequence[Record]) -> list[CellRecord[Ratio]]:
    """Return the cells with ratios over eager from interleaved blocks, the fewest blocks first."""
    cells = [r for r in of_type(records, Ratio) if r.kind == "ratio" and r.info.name.endswith("/" + EAGER)]
    return sorted((r for r in cells if r.info.estimate), key=lambda r: len(r.info.block_log_ratios))


def threads_text(records: Sequence[Record]) -> str:
    """Return such as `, 1 thread`, or nothing where it is not known."""
    counts = sorted({r.info.threads for r in records if r.info.threads})
    return f", {' or '.join(map(str, counts))} thread{'' if counts == [1] else 's'}" if counts else ""


def run_speedups(records: Sequence[Record]) -> dict[str, Interval]:
    """Return speed-ups over eager from this run's medians for one photo, by backend."""
    eager = [r for r in records if r.info.backend == EAGER and r.info.recipe != ARTICLE]
    if not eager:
        return {}
    speedups = {}
    for name in sorted({str(r.info.backend) for r in records if r.is_pipeline and r.info.recipe != ARTICLE} - {EAGER}):
        pair = fastest([r for r in records if r.info.backend == name and r.info.recipe != ARTICLE] + eager)
        if pair and len(pair.alternatives) == 1:
            relative_cost = pair.alternatives[0].relative_cost
            speedups[name] = relative_cost if pair.winner.backend == name else relative_cost.inverted()
    return speedups


def throughput(records: Sequence[Record]) -> Chart | None:
    """Show images per second by batch size and backend: the batch over the mean over scenes of the medians."""
    cells = [r for r in records if r.is_pipeline and r.info.batch_size and r.info.recipe != ARTICLE]
    sizes = sorted({r.info.batch_size for r in cells if r.info.batch_size})
    if len(sizes) < 2:
        return None
    lines: dict[str, dict[int, Interval]] = {}
    for name in dict.fromkeys(map(series, cells)):
        for size in sizes:
            parts = [r.times.median for r in cells if series(r) == name and r.info.batch_size == size]
            if parts:
                lines.setdefault(name, {})[size] = mean_interval(parts).mapped(1 / size).inverted()
    looks, labels = style.look(list(lines)), style.labels(lines)

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        for name, by_size in lines.items():
            style.rising(axes, list(by_size), list(by_size.values()), *looks[name], labels[name])
        last = [(name, by_size[sizes[-1]].estimate) for name, by_size in lines.items() if sizes[-1] in by_size]
        top = axes.get_ylim()[1]
        axes.set_ylim(0, top)
        for (name, y), place in zip(last, style.spread([y for _, y in last], top * 0.06), strict=True):
            axes.annotate(f"{labels[name]} {units.digits(y)}", (sizes[-1], place), (8, 0), textcoords="offset points",
                          va="center", color=style.INK)  # fmt: skip
        axes.grid(visible=True, axis="y")
        axes.grid(visible=False, axis="x")
        axes.set_xticks(sizes)
        axes.set_xlim(sizes[0] - 0.15, sizes[-1] + 0.6)
        axes.set_xlabel("photos per call (batch size)")
        axes.set_ylabel("images per second")
        axes.set_title(
            f"mean over scenes; bars: 95 % interval; {rounds_text(cells)} per cell", loc="left", color=style.MUTED
        )

    alt = "Images per second by batch size. " + "; ".join(
        f"{labels[name]}: " + ", ".join(f"batch {size} {units.digits(v.estimate)}" for size, v in by_size.items())
        for name, by_size in lines.items()
    )
    note = "Higher is better."
    if any(r.info.photos_repeated for r in cells):
        note += " Some batches hold a photo more than once, because the scene has too few."
    return style.chart("throughput", "Throughput by batch size", alt, note, draw, 2.9)


def stage_means(records: Sequence[Record]) -> dict[str, dict[str, Interval]]:
    """Return by set-up and stage the mean over scenes of the stage's median, in seconds, for one photo.

    Only set-ups whose four stages were all timed alone: the article's recipe, and each backend in ours.
    """
    cells = [r for r in records if r.kind == "stage" and r.info.stage in STAGES and (r.info.batch_size or 1) == 1]
    cells = [r for r in cells if r.times.resolved]
    networks = dict.fromkeys((str(r.info.backend), r.info.model or "") for r in cells if r.info.stage == "inference")
    setups = [Setup(EAGER, 1, recipe=ARTICLE)] + [Setup(backend, 1, model=model) for backend, model in networks]
    means_of_setups: dict[str, dict[str, Interval]] = {}
    for setup in setups:
        means = {}
        for stage in STAGES:
            right = [
                r.times.median
                for r in cells
                if r.info.stage == stage
                and (r.info.model or "") == setup.model
                and (
                    r.info.backend == setup.backend if stage == "inference" else (r.info.recipe or FAST) == setup.recipe
                )
            ]
            if right:
                means[stage] = mean_interval(right)
        if len(means) == len(STAGES):
            means_of_setups[setup.name] = means
    return means_of_setups


def pipeline_means(records: Sequence[Record]) -> dict[str, Interval]:
    """Return by set-up the mean over scenes of the whole pipeline's median for one photo, in seconds."""
    parts: dict[str, list[Interval]] = {}
    for r in one_photo(records):
        parts.setdefault(series(r), []).append(r.times.median)
    return {name: mean_interval(medians) for name, medians in parts.items()}


def stages(records: Sequence[Record]) -> Chart | None:
    """Show where the time of one photo goes: one stacked bar per set-up, the sum's interval at its end."""
    means = stage_means(records)
    if not means:
        return None
    names = sorted(means, key=lambda name: -sum(part.estimate for part in means[name].values()))
    sums = {name: mean_interval(list(means[name].values())).mapped(len(STAGES)) for name in names}
    wholes = pipeline_means(records)
    cells = [r for r in records if r.kind == "stage"]
    labels = style.labels(names)

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        longest = max(total.estimate for total in sums.values()) * 1e3
        for y, name in enumerate(names):
            left = 0.0
            for stage, colour, hatch in zip(STAGES, STAGE_COLOURS, STAGE_HATCHES, strict=True):
                width = means[name][stage].estimate * 1e3
                axes.barh(y, width, 0.56, left, color=colour, hatch=hatch, edgecolor=style.PAPER, linewidth=0.6,
                          label=stage)  # fmt: skip
                share = means[name][stage].estimate / sums[name].estimate
                if share > 0.12 and width > 0.08 * longest:
                    axes.text(left + width / 2, y, f"{share:.0%}", ha="center", va="center", color="#ffffff",
                              fontweight="bold")  # fmt: skip
                left += width
            total = sums[name].mapped(1e3)
            axes.plot([total.low, total.high], [y, y], color=style.INK, linewidth=1.4, zorder=4)
            right, text = max(total.high, left), units.seconds(sums[name].estimate)
            if name in wholes:
                whole = wholes[name].estimate * 1e3
                axes.plot([whole], [y], "D", color=style.PAPER, markeredgecolor=style.INK, markeredgewidth=1.2,
                          label="the whole, timed by itself", zorder=5)  # fmt: skip
                right, text = max(right, whole), f"{text}, whole {units.seconds(wholes[name].estimate)}"
            axes.annotate(text, (right, y), (8, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(names)), list(labels.values()))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(0, axes.get_xlim()[1] * (1.3 if wholes else 1.1))
        axes.set_xlabel(f"sum of the stages' medians, ms (line: 95 % interval; {rounds_text(cells)} per stage)")
        style.legend(figure, axes, columns=5)

    alt = "Milliseconds by stage. " + "; ".join(
        f"{label}: " + ", ".join(f"{stage} {units.seconds(part.estimate)}" for stage, part in means[name].items())
        for name, label in labels.items()
    )
    note = (
        "Each stage was timed alone on one photo, mean over scenes; the network's time is that of its batch of one. "
        "Where the whole differs from the bar, the machine was faster during one of the two."
    )
    return style.chart("stages", "Where the time goes", alt, note, draw, 1.1 + 0.42 * len(names))
