"""Other programs beside ours, photo to heat map: who is ahead, and whether that is sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from midas_bench.results import units
from midas_bench.results.intervals import Interval
from midas_bench.results.json_fields import clean
from midas_bench.results.kinds import PeerRatio
from midas_bench.results.runs import CellRecord, Record, of_type


@dataclass(frozen=True)
class Contest:
    """One of our backends against every peer that was measured, on one photo.

    Attributes:
        backend: ours.
        photo: its size, such as `1280x853`.
        threads: of both.
        cells: by peer, the least ahead of ours first.
    """

    backend: str
    photo: str
    threads: int | None
    cells: tuple[CellRecord[PeerRatio], ...]

    @property
    def ratios(self) -> dict[str, Interval]:
        """By peer, its time over ours with the interval; without one the ratio cannot be known to be above 1."""
        return {clean(cell.info.peer): _ratio(cell) for cell in self.cells}

    @property
    def text(self) -> str:
        """Whether ours is ahead of every peer, in one or two sentences.

        Each interval must be above 1 as a whole. Where each of several statements holds with 95 % confidence, so does
        their conjunction. Source: R. Berger, Multiparameter hypothesis testing and acceptance sampling, 1982.
        """
        unsure = {peer: ratio for peer, ratio in self.ratios.items() if not ratio.low > 1}
        count = units.counted(len(self.cells), "other program")
        with_what = f"a photo of {self.photo} with {units.counted(self.threads or 0, 'thread')}"
        if not unsure:
            closest, ratio = next(iter(self.ratios.items()))
            return (
                f"{self.backend} is ahead of every peer on {with_what}: {count}, and each interval is above 1. "
                f"The closest, {closest}, takes {units.times_span(ratio)} as long."
            )
        named = ", ".join(f"{peer} {_beside(ratio)}" for peer, ratio in unsure.items())
        return (
            f"{self.backend} is not surely ahead of every peer on {with_what}: {count} ran. "
            f"Intervals that are not above 1: {named}."
        )


def _beside(ratio: Interval) -> str:
    return units.times_span(ratio) if ratio.confidence else "(too few blocks for one)"


def _ratio(cell: CellRecord[PeerRatio]) -> Interval:
    estimate = cell.info.estimate
    return Interval(0.0, 0.0, float("inf"), confidence=0.0) if estimate is None else estimate


def photo_size(cell: CellRecord[PeerRatio]) -> str:
    """Return width x height of the cell's photo, such as `1280x853`; `unknown` where the file does not say."""
    sizes = [f"{photo.width}x{photo.height}" for photo in cell.info.photos if photo.width and photo.height]
    return next(iter(sizes), "unknown size")


def contests(records: Sequence[Record]) -> list[Contest]:
    """Return the contests of a run, by photo and backend in the order of the cells."""
    groups: dict[tuple[str, str, int | None], list[CellRecord[PeerRatio]]] = {}
    for cell in of_type(records, PeerRatio):
        groups.setdefault((photo_size(cell), cell.info.backend_name, cell.info.threads), []).append(cell)
    return [
        Contest(clean(backend), photo, threads, tuple(sorted(cells, key=lambda cell: _ratio(cell).estimate)))
        for (photo, backend, threads), cells in groups.items()
    ]
