"""The report's tables, each from the tidy table of cells or from what was computed of the records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from midas_bench.report.claims import FAILS, HOLDS, Finding
from midas_bench.report.model import Cell, Table, table
from midas_bench.results import units
from midas_bench.results.answers import TITLES, figure, setup
from midas_bench.results.compare import Comparison
from midas_bench.results.intervals import Interval
from midas_bench.results.ranking import ARTICLE, Answer
from midas_bench.results.runs import PIPELINES, Machine, Record, Run

LONG = 30
GB = 1e9


def number(text: str, key: float | None) -> Cell:
    """Return a numeric field; a missing one sorts last."""
    return Cell(text, float("inf") if key is None else key)


def code(text: str) -> Cell:
    """Return a name that stands in the file."""
    return Cell(text, code=True)


def _known(value: Any) -> Any:
    return None if pd.isna(value) else value


def alternatives(answers: Sequence[Answer]) -> Table:
    """Show every set-up's figure and price, question by question."""
    rows = []
    for answer in answers:
        rows.append([Cell(TITLES[answer.question]), Cell(setup(answer, answer.winner), mood="good"),
                     number(figure(answer), answer.figure.estimate), number(f"1{units.TIMES}", 1.0)])  # fmt: skip
        for other in answer.alternatives:
            shown = Answer(**{**vars(answer), "figure": other.figure})
            rows.append([Cell(TITLES[answer.question]), Cell(setup(answer, other.setup)),
                         number(figure(shown), other.figure.estimate),
                         number(units.times_span(other.price), other.price.estimate)])  # fmt: skip
    note = "Price: how many times as much time a photo, or memory, as the first. Intervals hold within this run."
    return table(
        "alternatives", "The price of the alternatives", ("question", "set-up", "figure#", "price#"), rows, note=note
    )


ARTICLES_OWN = ("the article", "all four", "1.05 to 1.23 s", "0.9 to 1.1 GB", "0.8 images/s", "its own machine")


def article_table(cells: pd.DataFrame, best: Answer | None) -> Table | None:
    """Reproduce the article's table for its recipe and for the fastest backend, beside its own figures."""
    timed = cells[(cells.kind == "latency") & (cells.batch_size == 1) & cells.benchmark.isin(PIPELINES)]
    groups = [("article's recipe", timed[timed.recipe == ARTICLE])]
    if best is not None and best.winner.recipe != ARTICLE:
        ours = timed[(timed.recipe != ARTICLE) & (timed.backend == best.winner.backend)]
        groups.append((best.winner.backend, ours[ours.threads == best.winner.threads] if best.winner.threads else ours))
    rows = [[Cell(text) if i < 2 or i == 5 else number(text, None) for i, text in enumerate(ARTICLES_OWN)]]
    for name, group in groups:
        for _, row in group.iterrows():
            rows.append([
                Cell(name),
                Cell(str(row.scene)),
                number(units.seconds(row["mean_s"]), row["mean_s"]),
                _peak(cells, row),
                number(units.rate(1 / row["mean_s"]), 1 / row["mean_s"]),
                Cell(_notes(row)),
            ])  # fmt: skip
    columns = ("recipe", "scene", "mean time#", "peak memory#", "throughput#", "notes")
    note = "Means, as in the article; everywhere else this report quotes medians. Memory in GB of 10⁹ bytes, as there."
    return table("article", "The article's table", columns, rows, note=note) if len(rows) > 1 else None


def _peak(cells: pd.DataFrame, row: pd.Series[Any]) -> Cell:
    right = (cells.kind == "memory") & (cells.backend == row.backend) & (cells.batch_size == 1)
    found = cells[right & (cells.scene == row.scene)]
    if found.empty:  # a process of another scene: the photo adds little
        found = cells[right]
    if found.empty:
        return number("not measured", None)
    peak = float(found.peak_rss_bytes.astype(float).mean())
    return number(f"{units.digits(peak / GB)} GB", peak)


def _notes(row: pd.Series[Any]) -> str:
    notes = [f"{row.rounds} rounds", f"standard deviation {units.seconds(row.stddev_s)}"]
    if _known(row.noisy):
        notes.append("machine disturbed")
    return ", ".join(notes)


def claims(found: Sequence[Finding]) -> Table:
    """Show what the article says, what this run measured, and whether they agree."""
    moods = {HOLDS: "good", FAILS: "bad"}
    rows = [
        [
            Cell(f.text),
            Cell(f.article),
            Cell(f.measured),
            Cell(f.verdict, mood=moods.get(f.verdict, "unsure")),
            Cell(f.why),
        ]
        for f in found
    ]
    columns = ("claim", "article", "measured here", "verdict", "remark")
    note = "In brackets: 95 % intervals; for memory, the range over processes."
    return table("claims", "Claim by claim", columns, rows, note=note)


def cells_table(cells: pd.DataFrame) -> Table | None:
    """Show every timed cell."""
    timed = cells[cells.kind.isin(["latency", "stage", "plain"])]
    if timed.empty:
        return None
    rows = [
        [
            code(str(row["name"])),
            number(units.seconds(row.median_s), row.median_s),
            number(_ends(row), _known(row.median_low_s)),
            number(units.seconds(row["mean_s"]), row["mean_s"]),
            number(units.seconds(row.min_s), row.min_s),
            number(units.seconds(row.stddev_s), row.stddev_s),
            number(str(row.rounds), float(row.rounds)),
            number(units.NOTHING if _known(row.images_per_second) is None else units.digits(row.images_per_second),
                   _known(row.images_per_second)),
            Cell(units.NOTHING if _known(row.noisy) is None else "noisy" if row.noisy else "quiet",
                 mood="bad" if _known(row.noisy) else ""),
        ]
        for _, row in timed.iterrows()
    ]  # fmt: skip
    columns = ("cell", "median#", "95 % interval#", "mean#", "min#", "std. dev.#", "rounds#", "images/s#", "machine")
    return table("cells", "Every timed cell", columns, rows, long=len(rows) > LONG)


def _ends(row: pd.Series[Any]) -> str:
    if _known(row.median_low_s) is None:
        return units.NOTHING
    size, unit = units.time_unit(row.median_s)
    return f"{units.span(Interval(row.median_s, row.median_low_s, row.median_high_s), size)} {unit}"


def memory(cells: pd.DataFrame) -> Table | None:
    """Show the memory of every process."""
    found = cells[cells.kind == "memory"].sort_values("peak_rss_bytes")
    columns = ("cell", "backend", "recipe", "batch#", "scene", "after imports#", "after load#", "peak#")
    rows = [
        [code(str(row["name"])), Cell(str(row.backend)), Cell(str(_known(row.recipe) or "fast")),
         number(str(row.batch_size), float(row.batch_size)), Cell(str(_known(row.scene) or units.NOTHING)),
         *(number(units.mib(_known(row[key])), _known(row[key]))
           for key in ("baseline_rss_bytes", "loaded_rss_bytes", "peak_rss_bytes"))]
        for _, row in found.iterrows()
    ]  # fmt: skip
    return table("memory", "Memory of each process", columns, rows) if rows else None


def startup(records: Sequence[Record]) -> Table | None:
    """Show the phases of start-up, means over fresh processes."""
    rows = []
    for r in records:
        if r.startup:
            means = {phase: sum(v) / len(v) for phase, v in r.startup.phases_s.items() if v}
            processes = max((len(v) for v in r.startup.phases_s.values()), default=0)
            times = [means.get(phase) for phase in ("import", "load", "first_inference", "steady")]
            rows.append([Cell(str(r.backend)), Cell(r.startup.cache), number(str(processes), processes),
                         *(number(units.seconds(t), t) for t in (*times, r.startup.build_s))])  # fmt: skip
    columns = ("backend", "cache", "processes#", "import#", "load#", "first inference#", "steady#", "making the graph#")
    return table("startup", "Start-up by phase", columns, rows) if rows else None


def ratios(records: Sequence[Record]) -> Table | None:
    """Show the ratios from interleaved blocks."""
    rows = []
    for r in records:
        if r.ratio is None:
            continue
        name = r.ratio.name if r.kind == "ratio" else f"{r.stage}: {r.scene}/{r.ratio.baseline_scene}"
        value, n = r.ratio.interval, len(r.ratio.log_ratios)
        estimate = value.estimate if value else None
        fields = [number(units.times(estimate), estimate), number(units.span(value), value.low if value else None)]
        threads = number(units.NOTHING if r.threads is None else str(r.threads), r.threads)
        rows.append([code(name), *fields, number(str(n), n), threads])
    note = "Times of the first over the second; the share is of the whole recipe. Workers took turns, block by block."
    columns = ("ratio", "estimate#", "95 % interval#", "blocks#", "threads#")
    return table("ratios", "Ratios from interleaved blocks", columns, rows, note=note) if rows else None


def facts(machine: Machine) -> Table:
    """Show what is known of the machine."""
    rows = [[Cell(name), Cell(value)] for name, value in {"fingerprint": machine.kind, **machine.facts}.items()]
    return table("machine", "The machine", ("fact", "value"), rows)


def versions(machine: Machine) -> Table | None:
    """Show the versions of the libraries."""
    rows = [[Cell(name), code(version)] for name, version in machine.versions.items()]
    return table("versions", "Versions", ("library", "version"), rows) if rows else None


def noisy(records: Sequence[Record]) -> Table | None:
    """Show the cells during which the machine was disturbed, and how that showed."""
    rows = [
        [code(r.name), Cell("; ".join(r.noise.reasons) or "no reason given")]
        for r in records
        if r.noise is not None and r.noise.noisy
    ]
    return table("noisy", "Noisy cells", ("cell", "why"), rows, long=len(rows) > LONG) if rows else None


def unmeasured(run: Run) -> Table | None:
    """Show what was planned and has no figures."""
    rows = [[code(skip.cell), Cell(f"failed: {skip.reason}")] for skip in run.failed]
    rows += [[code(skip.cell), Cell(f"skipped: {skip.reason}")] for skip in run.skipped]
    rows += [[code(cell), Cell("not reached")] for cell in run.unmeasured]
    return table("unmeasured", "Not measured", ("cell", "why"), rows, long=len(rows) > LONG) if rows else None


def comparison(compared: Comparison, number_: int) -> Table | None:
    """Show both sides' figures for each cell they share."""
    moods = {"slower": "bad", "more": "bad", "faster": "good", "less": "good"}
    rows = []
    for c in sorted(compared.changes, key=lambda change: -abs(change.ratio.estimate - 1)):
        write = units.mib if c.unit == "bytes" else units.seconds
        rows.append([
            code(c.fullname.rsplit("::", 1)[-1]), Cell(c.figure), number(write(c.before), c.before),
            number(write(c.after), c.after), number(units.times(c.ratio.estimate), c.ratio.estimate),
            number(units.span(c.ratio), c.ratio.low),
            Cell(c.verdict or "no verdict", mood=moods.get(c.verdict or "", "")), Cell("noisy" if c.noisy else ""),
        ])  # fmt: skip
    before, after = compared.before.label, compared.after.label
    kind = "95 % interval" if compared.by_file else "95 % interval within these runs"
    columns = ("cell", "figure", f"{before}#", f"{after}#", "ratio#", f"{kind}#", "verdict", "machine")
    return table(f"comparison-{number_}", f"{after} / {before}", columns, rows, long=len(rows) > LONG) if rows else None


def one_sided(compared: Comparison, number_: int) -> Table | None:
    """List the cells that one side lacks."""
    rows = [[code(cell), Cell(f"only in {compared.before.label}")] for cell in compared.only_before]
    rows += [[code(cell), Cell(f"only in {compared.after.label}")] for cell in compared.only_after]
    title = "Cells on one side only"
    return table(f"one-sided-{number_}", title, ("cell", "where"), rows, long=len(rows) > LONG) if rows else None


def machines_differ(compared: Comparison, number_: int) -> Table | None:
    """Show what the two sides say of their machines where they differ."""
    rows = [[Cell(name), Cell(old), Cell(new)] for name, (old, new) in compared.machine_differences.items()]
    columns = ("fact", compared.before.label, compared.after.label)
    return table(f"machines-{number_}", "How the machines differ", columns, rows) if rows else None
