"""Where it was measured, what was disturbed, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from midas_bench.render.document import Table, TableCell, code, table
from midas_bench.results.runs import Record, RecordedMachine, Run


def facts(machine: RecordedMachine) -> Table | None:
    """Show what is known of the machine."""
    rows = [
        [TableCell(name), TableCell(value)] for name, value in {"fingerprint": machine.kind, **machine.facts}.items()
    ]
    return table("machine", "The machine", ("fact", "value"), rows)


def versions(machine: RecordedMachine) -> Table | None:
    """Show the versions of the libraries."""
    rows = [[TableCell(name), code(version)] for name, version in machine.versions.items()]
    return table("versions", "Versions", ("library", "version"), rows)


def noisy(records: Sequence[Record]) -> Table | None:
    """Show the cells during which the machine was disturbed, and how that showed."""
    rows = [
        [code(r.name), TableCell("; ".join(r.info.noise.reasons) or "no reason given")]
        for r in records
        if r.info.noise.noisy
    ]
    return table("noisy", "Noisy cells", ("cell", "why"), rows)


def unmeasured(run: Run) -> Table | None:
    """Show what was planned and has no figures."""
    rows = [[code(skip.cell), TableCell(f"failed: {skip.reason}")] for skip in run.failed]
    rows += [[code(skip.cell), TableCell(f"skipped: {skip.reason}")] for skip in run.skipped]
    rows += [[code(cell), TableCell("not reached")] for cell in run.unmeasured]
    return table("unmeasured", "Not measured", ("cell", "why"), rows)
