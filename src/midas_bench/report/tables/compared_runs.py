"""Two sides, cell by cell."""

from __future__ import annotations

from midas_bench.render.document import Column, Table, TableCell, code, number, table
from midas_bench.results import units
from midas_bench.results.compare import Comparison
from midas_bench.results.json_fields import clean


def comparison(compared: Comparison, number_: int) -> Table | None:
    """Show both sides' figures for each cell they share."""
    statuses = {"slower": "bad", "more": "bad", "faster": "good", "less": "good"}
    rows = []
    for c in sorted(compared.changes, key=lambda change: -abs(change.ratio.estimate - 1) if change.ratio else 0):
        write = units.mib if c.unit == "bytes" else units.seconds
        estimate, low = (c.ratio.estimate, c.ratio.low) if c.ratio else (None, None)
        verdict = "no verdict" if c.ratio else "no ratio with 0"
        rows.append([
            code(c.fullname.rsplit("::", 1)[-1]), number(units.times(estimate), estimate),
            TableCell(c.verdict or verdict, status=statuses.get(c.verdict or "", "")),
            number(units.span(c.ratio), low), TableCell(c.figure), number(write(c.before), c.before),
            number(write(c.after), c.after), TableCell("noisy" if c.noisy else ""),
        ])  # fmt: skip
    before, after = compared.before.label, compared.after.label
    kind = "95 % interval" if compared.by_file else "95 % interval within these runs"
    sides = [Column(clean(label), numeric=True) for label in (before, after)]
    columns: list[str | Column] = ["cell", "ratio#", "verdict", f"{kind}#", "figure", *sides, "machine"]
    return table(f"comparison-{number_}", f"{after} / {before}", columns, rows)


def one_sided(compared: Comparison, number_: int) -> Table | None:
    """List the cells that one side lacks."""
    rows = [[code(cell), TableCell(f"only in {compared.before.label}")] for cell in compared.only_before]
    rows += [[code(cell), TableCell(f"only in {compared.after.label}")] for cell in compared.only_after]
    title = "Cells on one side only"
    return table(f"one-sided-{number_}", title, ("cell", "where"), rows)


def machines_differ(compared: Comparison, number_: int) -> Table | None:
    """Show what the two sides say of their machines where they differ."""
    rows = [
        [TableCell(name), TableCell(old), TableCell(new)] for name, (old, new) in compared.machine_differences.items()
    ]
    columns: list[str | Column] = ["fact", *(Column(clean(side.label)) for side in (compared.before, compared.after))]
    return table(f"machines-{number_}", "How the machines differ", columns, rows)
