"""The steps from a photo to a PNG beside what this machine allows, as a table for report and terminal."""

from __future__ import annotations

from collections.abc import Sequence

from midas_bench.render.document import Table, TableCell, columns, number
from midas_bench.results import units
from midas_bench.results.intervals import Interval
from midas_bench.results.kinds import StepTime

NOTE = (
    "Least time: for decode, libjpeg-turbo's own fastest decode at the same scale. For inference, operations over this "
    "machine's peak. For the other steps, a copy of the bytes that they must read and write. The last line is the "
    "photo's floor. It is a bound and no aim: a PNG must also be compressed. "
    "A share above 100 % is none: the limit was disturbed, and there is no floor."
)


def share_cell(share: Interval) -> TableCell:
    """Return the share of a limit that is reached; one above all of it is none."""
    if share.estimate <= 1:
        return number(units.percent_span(share), share.estimate)
    return TableCell("above 100 %", key=share.estimate, status="unsure")


def floor_table(id: str, title: str, steps: Sequence[StepTime]) -> Table:
    """Return a row for each step, and the sum of all as the last.

    A limit that is not known leaves a dash there, and so does one that a step fell below: then their sum is no floor.
    """
    least_s = [step.least_s for step in steps if step.least_s is not None and step.least_s <= step.median_s]
    whole_s = sum(least_s) if len(least_s) == len(steps) else None
    rows = [_row(step.step, step.median_s, step.least_s, _work(step)) for step in steps]
    rows.append(_row("the photo", sum(step.median_s for step in steps), whole_s, ""))
    heads = columns("step", "time#", "least time#", "share#", "least work")
    return Table(id, title, heads, tuple(rows), NOTE)


def _row(name: str, median_s: float, least_s: float | None, work: str) -> tuple[TableCell, ...]:
    known = least_s is not None and median_s > 0
    share = least_s / median_s if known and least_s is not None else None
    return (
        TableCell(name),
        number(units.seconds(median_s), median_s),
        number(units.seconds(least_s), least_s),
        number(units.NOTHING, None) if share is None else share_cell(Interval(share, share, share)),
        TableCell(work),
    )


def _work(step: StepTime) -> str:
    if step.flop:
        return f"{units.digits(step.flop / 1e9)} GFLOP"
    return f"{units.digits(step.bytes_moved / 1e6)} MB read and written" if step.bytes_moved else ""
