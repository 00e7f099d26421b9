"""The least time that the network could take on this machine's peak, and others' figures beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from midas_bench.results.intervals import Interval
from midas_bench.results.runs import Record


@dataclass(frozen=True)
class Roof:
    """One cell that timed the network alone.

    Attributes:
        record: the cell.
        least_s: seconds per call if all arithmetic ran at the peak and nothing else took time.
        share: of the peak that is reached; above 1 where the runtime finds a way with fewer operations than counted.
    """

    record: Record
    least_s: float
    share: Interval


def roofs(records: Sequence[Record]) -> list[Roof]:
    """Return the cells whose operations and peak are known, the shortest time per photo first."""
    cells = []
    for r in records:
        if r.stage == "inference" and r.flop and r.peak_flop_per_s and r.times.resolved:
            least_s = r.flop / r.peak_flop_per_s
            cells.append(Roof(r, least_s, r.times.median.inverted().mapped(least_s)))
    return sorted(cells, key=lambda roof: roof.record.times.median_s / (roof.record.batch_size or 1))


def beside_peers(records: Sequence[Record]) -> list[tuple[str, Record, Interval]]:
    """Return name, cell and seconds per call of each peer and of our network alone, one image per call, fastest first.

    Empty where no peer was measured.
    """
    peers = [(r.peer.name, r, r.peer.median) for r in records if r.peer]
    if not peers:
        return []
    threads = {r.threads for _, r, _ in peers}
    ours = [
        (str(r.backend), r, r.times.median)
        for r in records
        if r.stage == "inference" and r.kind == "stage" and r.backend and r.batch_size == 1 and r.threads in threads
    ]
    return sorted(peers + ours, key=lambda row: row[2].estimate)
