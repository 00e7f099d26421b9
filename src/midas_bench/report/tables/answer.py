"""What set-up to take, and what the article says, against this run's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from midas_bench.render.document import Table, TableCell, number, table
from midas_bench.report.claims import FAILS, HOLDS, NOT_FOR_MODEL, ClaimFinding
from midas_bench.results import units
from midas_bench.results.fidelity_results import TeacherAgreement
from midas_bench.results.frame import none_if_missing
from midas_bench.results.json_fields import clean
from midas_bench.results.ranking import ARTICLE, Recommendation, Setup
from midas_bench.results.recommendations import TITLES, figure_text, setup_text
from midas_bench.results.runs import PIPELINES

ARTICLES_OWN = ("the article", "all four", "1.05 to 1.23 s", "0.9 to 1.1 GB", "0.8 images/s", "its own machine")
"""The table's first row, by its columns."""


def alternatives(
    answers: Sequence[Recommendation], agreements: Mapping[str, TeacherAgreement] = MappingProxyType({})
) -> Table | None:
    """Show every set-up's figure and relative cost, question by question; of several models how closely it follows."""
    rows = []

    def followed(setup: Setup) -> list[TableCell]:
        agreement = agreements.get(setup.name)
        value = agreement.rank_correlation if agreement else None
        return [number(units.NOTHING if value is None else units.correlation(value), value)] if agreements else []

    for answer in answers:
        title = TableCell(TITLES[answer.question])
        rows.append([TableCell(setup_text(answer, answer.winner), status="good"), number(f"1{units.TIMES}", 1.0),
                     number(figure_text(answer), answer.figure.estimate), *followed(answer.winner), title])  # fmt: skip
        for other in answer.alternatives:
            shown = Recommendation(**{**vars(answer), "figure": other.figure})
            rows.append([TableCell(setup_text(answer, other.setup)),
                         number(units.times_span(other.relative_cost), other.relative_cost.estimate),
                         number(figure_text(shown), other.figure.estimate), *followed(other.setup), title])  # fmt: skip
    note = (
        "Relative cost: time per photo, or memory at the same batch size, over that of the first. Intervals hold "
        "within this run."
    )
    columns = ["set-up", "relative cost#", "figure#", "question"]
    if agreements:
        teacher = next(iter(agreements.values())).teacher
        columns.insert(3, "rank correlation#")
        note += (
            f" Rank correlation: of the depth with that of {clean(teacher)}, which was named first; of the worst photo."
        )
    return table("alternatives", "Relative cost of the alternatives", columns, rows, note=note)


def article_table(cells: pd.DataFrame, best: Recommendation | None) -> Table | None:
    """Reproduce the article's table for its recipe and for the fastest backend, beside its own figures."""
    timed = cells[(cells.kind == "latency") & (cells.batch_size == 1) & cells.benchmark.isin(PIPELINES)]
    groups = [("article's recipe", timed[timed.recipe == ARTICLE])]
    if best is not None and best.winner.recipe != ARTICLE:
        ours = timed[(timed.recipe != ARTICLE) & (timed.backend == best.winner.backend)]
        groups.append((best.winner.backend, ours[ours.threads == best.winner.threads] if best.winner.threads else ours))
    own = not timed.empty and (timed.weights == "model").all()
    first = [ARTICLES_OWN, *([(groups[0][0], *[units.NOTHING] * 4, NOT_FOR_MODEL)] if own else [])]
    rows = [[TableCell(text) if i < 2 or i == 5 else number(text, None) for i, text in enumerate(row)] for row in first]
    for name, group in groups:
        for _, row in group.iterrows():
            per_second = 1 / row["mean_s"] if row["mean_s"] > 0 else None
            rows.append([
                TableCell(name),
                TableCell(str(row.scene)),
                number(units.seconds(row["mean_s"]), row["mean_s"]),
                _peak(cells, row),
                number(units.rate(per_second), per_second),
                TableCell(_notes(row)),
            ])  # fmt: skip
    columns = ("recipe", "scene", "mean time#", "peak memory#", "throughput#", "notes")
    note = "Means, as in the article; everywhere else this report quotes medians. Memory in GB of 10⁹ bytes, as there."
    return table("article", "The article's table", columns, rows, note=note) if len(rows) > len(first) else None


def _peak(cells: pd.DataFrame, row: pd.Series[Any]) -> TableCell:
    of_backend = (cells.kind == "memory") & (cells.backend == row.backend) & (cells.batch_size == 1)
    processes = cells[of_backend & (cells.scene == row.scene)]
    if processes.empty:
        # a process of another scene serves too, because the photo adds little
        processes = cells[of_backend]
    if processes.empty:
        return number("not measured", None)
    peak = float(processes.peak_rss_bytes.astype(float).mean())
    return number(f"{units.digits(peak / 1e9)} GB", peak)


def _notes(row: pd.Series[Any]) -> str:
    notes = [f"{row.rounds} rounds", f"standard deviation {units.seconds(row.stddev_s)}"]
    if none_if_missing(row.noisy):
        notes.append("machine disturbed")
    return ", ".join(notes)


def claims(findings: Sequence[ClaimFinding]) -> Table | None:
    """Show what the article says, what this run measured, and whether they agree."""
    statuses = {HOLDS: "good", FAILS: "bad", NOT_FOR_MODEL: ""}
    rows = [
        [
            TableCell(f.text),
            TableCell(f.article),
            TableCell(f.measured),
            TableCell(f.verdict, status=statuses.get(f.verdict, "unsure")),
            TableCell(f.why),
        ]
        for f in findings
    ]
    columns = ("claim", "article", "measured here", "verdict", "remark")
    note = "In brackets: 95 % intervals; for memory, the range over processes."
    return table("claims", "Claim by claim", columns, rows, note=note)
