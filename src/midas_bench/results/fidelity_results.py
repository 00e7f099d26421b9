"""Speed beside fidelity: each backend's time for one photo, and how close its depth is to the reference's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from midas_bench.results.intervals import Interval, mean_interval
from midas_bench.results.kinds import Stream
from midas_bench.results.ranking import ARTICLE, Setup
from midas_bench.results.runs import Record, of_type

EXACT = 1e-3
"""The largest error, as a share of the depth range, that rounding in float32 may make."""


@dataclass(frozen=True)
class TeacherAgreement:
    """How closely the depth of a network in a backend follows that of the first model of the run; of the worst photo.

    Attributes:
        teacher: that model's name.
        rank_correlation: Spearman's.
        pairs_kept: share of pixel pairs in the same order.
    """

    teacher: str
    rank_correlation: float
    pairs_kept: float

    def is_of_another(self, setup: Setup) -> bool:
        """Tell whether a set-up runs another network than the first model."""
        return setup.model != self.teacher


@dataclass(frozen=True)
class FidelityPoint:
    """One backend, at the thread count that makes it fastest.

    Attributes:
        backend: its name, after that of its network where there are several.
        time: seconds for one photo, the mean over scenes of the medians.
        max_relative_error: the largest of all cells, as a share of the depth range.
        mean_relative_error: the mean over cells.
        rank_correlation: the lowest of all cells; None where it was not recorded.
        flipped_pairs: the largest share of all cells; None where it was not recorded.
        cells: those behind it.
        agreement: with the first of several models; None where the run has one network.
    """

    backend: str
    time: Interval
    max_relative_error: float | None
    mean_relative_error: float
    rank_correlation: float | None
    flipped_pairs: float | None
    cells: tuple[Record, ...]
    agreement: TeacherAgreement | None = None


def agreements(records: Sequence[Record]) -> dict[str, TeacherAgreement]:
    """Return how closely depth follows the first model's, by network and backend; nothing where there is one network.

    Streams count too, for a run may have no others.
    """
    by_name: dict[str, list[TeacherAgreement]] = {}
    for r in records:
        if r.is_pipeline or isinstance(r.info, Stream):
            teacher, correlation, kept = r.info.teacher, r.info.teacher_rank_correlation, r.info.teacher_pairs_kept
            if teacher is not None and correlation is not None and kept is not None:
                by_name.setdefault(r.info.backend_name, []).append(TeacherAgreement(teacher, correlation, kept))
    return {
        name: TeacherAgreement(
            cells[0].teacher, min(one.rank_correlation for one in cells), min(one.pairs_kept for one in cells)
        )
        for name, cells in by_name.items()
    }


def points(records: Sequence[Record]) -> list[FidelityPoint]:
    """Return a point for each backend whose fidelity was recorded, the fastest first."""
    by_setup: dict[tuple[str, int | None], list[Record]] = {}
    for r in records:
        if (
            r.is_pipeline
            and r.info.batch_size == 1
            and r.info.recipe != ARTICLE
            and r.info.mean_relative_error is not None
        ):
            by_setup.setdefault((r.info.backend_name, r.info.threads), []).append(r)
    ranked = sorted((_point(backend, cells) for (backend, _), cells in by_setup.items()), key=lambda p: p.time.estimate)
    best: dict[str, FidelityPoint] = {}
    for point in ranked:
        best.setdefault(point.backend, point)
    followed = agreements(records)
    return [replace(point, agreement=followed.get(point.backend)) for point in best.values()]


def _point(backend: str, cells: Sequence[Record]) -> FidelityPoint:
    infos = [r.info for r in cells]
    means = [i.mean_relative_error for i in infos if i.mean_relative_error is not None]
    return FidelityPoint(
        backend=backend,
        time=mean_interval([r.times.median.mapped(1 / (r.info.photos_per_round or 1)) for r in cells]),
        max_relative_error=max((i.max_relative_error for i in infos if i.max_relative_error is not None), default=None),
        mean_relative_error=sum(means) / len(means),
        rank_correlation=min((i.rank_correlation for i in infos if i.rank_correlation is not None), default=None),
        flipped_pairs=max((i.flipped_pairs for i in infos if i.flipped_pairs is not None), default=None),
        cells=tuple(cells),
    )


def reduced(records: Sequence[Record]) -> dict[str, FidelityPoint]:
    """Return the backends whose depth differs by more than rounding; by their streams where no batch was timed."""
    by_backend: dict[str, list[Record]] = {}
    for r in of_type(records, Stream):
        if r.info.mean_relative_error is not None:
            by_backend.setdefault(r.info.backend_name, []).append(r)
    checked = {backend: _point(backend, cells) for backend, cells in by_backend.items()}
    checked |= {point.backend: point for point in points(records)}
    return {name: p for name, p in checked.items() if p.max_relative_error is not None and p.max_relative_error > EXACT}
