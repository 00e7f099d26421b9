"""The least time that the network could take on this machine's peak, and others' figures beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from midas_bench.results.intervals import Interval
from midas_bench.results.kinds import Peer, Stage
from midas_bench.results.runs import CellRecord, Record, of_type


@dataclass(frozen=True)
class Roof:
    """One cell that timed the network alone.

    Attributes:
        record: the cell.
        least_s: seconds per call if all arithmetic ran at the peak and nothing else took time.
        share: of the peak that is reached; above 1 where the runtime finds a way with fewer operations than counted.
    """

    record: CellRecord[Stage]
    least_s: float
    share: Interval


def roofs(records: Sequence[Record]) -> list[Roof]:
    """Return the cells whose operations and peak are known, the shortest time per photo first."""
    cells = []
    for r in of_type(records, Stage):
        if r.info.stage == "inference" and r.info.flop and r.info.peak_flop_per_s and r.times.resolved:
            least_s = r.info.flop / r.info.peak_flop_per_s
            cells.append(Roof(r, least_s, r.times.median.inverted().mapped(least_s)))
    return sorted(cells, key=lambda roof: roof.record.times.median_s / (roof.record.info.batch_size or 1))


def beside_peers(records: Sequence[Record]) -> list[tuple[str, Record, Interval]]:
    """Return name, cell and seconds per call of each peer and of our network alone, one image per call, fastest first.

    Empty where no peer was measured.
    """
    peers: list[tuple[str, Record, Interval]] = [(r.info.peer, r, _peer_time(r)) for r in of_type(records, Peer)]
    if not peers:
        return []
    threads = {r.info.threads for _, r, _ in peers}
    ours: list[tuple[str, Record, Interval]] = [
        (r.info.backend_name, r, r.times.median)
        for r in of_type(records, Stage)
        if r.info.stage == "inference" and r.info.backend and r.info.batch_size == 1 and r.info.threads in threads
    ]
    return sorted(peers + ours, key=lambda row: row[2].estimate)


def _peer_time(record: CellRecord[Peer]) -> Interval:
    """Return seconds per call; a peer that timed itself reports its median and no rounds."""
    median_s = record.info.peer_median_s
    return record.times.median if median_s is None else Interval(median_s, median_s, median_s, confidence=0.0)
