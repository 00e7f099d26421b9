"""The result of the self-test of answers as Markdown; it is read in a terminal too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midas_bench.render.document import Table, TableCell, columns
from midas_bench.render.markdown import table_lines
from midas_bench.results import units

COLUMNS = columns(
    "disturbance",
    "prices whose interval covers the truth#",
    "wrong winner named#",
    "too close to call#",
    "half-width of a price#",
    "passes#",
    "longest run#",
)


def markdown(document: Mapping[str, Any]) -> str:
    """Return the table of a self-test's document."""
    rows = [
        (
            TableCell(row["disturbance"]),
            TableCell(_share(row["covered"])),
            TableCell(_share(row["wrong_winner"])),
            TableCell(units.percent(row["undecided"]["share"])),
            TableCell(f"±{units.percent(row['half_width'])}"),
            TableCell(f"{row['passes']:g}"),
            TableCell(units.duration(row["longest_s"])),
        )
        for row in document["rows"]
    ]
    head = f"{document['runs']:,} simulated runs per row, with a budget of {units.duration(document['budget_s'])}:"
    return "\n".join([head, "", *table_lines(Table("self-test-answers", "", COLUMNS, tuple(rows)))]) + "\n"


def _share(share: Mapping[str, Any]) -> str:
    low, high = (f"{100 * share[end]:.1f}" for end in ("low", "high"))
    return f"{100 * share['share']:.1f} % ({low} to {high})"
