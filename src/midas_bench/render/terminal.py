"""A table as a terminal shows it."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as TerminalTable

from midas_bench.render.document import Table
from midas_bench.results.json_fields import visible


def print_table(table: Table, console: Console) -> None:
    """Print a table on a terminal, without its title."""
    printed = TerminalTable(box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        printed.add_column(column.title, no_wrap=True, justify="right" if column.numeric else "left")
    for row in table.rows:
        printed.add_row(*(visible(cell.text).replace("[", r"\[") for cell in row))
    console.print(printed, highlight=False)
