"""Other programs from photo to heat map, beside ours."""

from __future__ import annotations

from collections.abc import Sequence

from midas_bench.render.document import Table, TableCell, code, count, number, table
from midas_bench.results import units
from midas_bench.results.other_programs import Contest


def other_programs(contests: Sequence[Contest]) -> Table | None:
    """Show each peer's time over ours, with its interval."""
    rows = []
    for contest in contests:
        for cell in contest.cells:
            info, ratio = cell.info, cell.info.estimate
            beside = number(units.NOTHING, None)
            if ratio:
                status = "good" if ratio.low > 1 else "unsure"
                beside = TableCell(units.times_span(ratio), ratio.estimate, status=status)
            rows.append(
                [
                    TableCell(info.peer),
                    TableCell(contest.photo),
                    number(units.seconds(info.peer_median_s), info.peer_median_s),
                    code(contest.backend),
                    number(units.seconds(info.own_median_s), info.own_median_s),
                    beside,
                    count(len(info.block_log_ratios)),
                ]
            )
    columns = ("program", "photo", "its time#", "ours", "our time#", "its time over ours#", "blocks#")
    note = (
        "Encoded photo to heat map of the photo's size, in float32, with equal threads. Each program prepares and "
        "colours as its authors do, on the network as it was trained. MiDaS run.py keeps the photo's aspect ratio, and "
        "so computes less for wide photos. Workers took turns, block by block. In brackets: 95 % interval."
    )
    return table("other-programs", "Other programs", columns, rows, note=note)
