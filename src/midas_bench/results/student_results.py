"""Students beside their teacher: what a model gains in time and memory, and what its depth loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from midas_bench.results.intervals import Interval
from midas_bench.results.tuning_results import Trial


@dataclass(frozen=True)
class Student:
    """One model on one backend, beside the teacher; figures are means over photos.

    Attributes:
        model: its name.
        backend: what ran it.
        rank_correlation: with the teacher's depth.
        aligned_error: as a share of the teacher's range, after scale and shift.
        ordered_pairs_kept: share of pixel pairs that are in the teacher's order.
        abs_rel: against the true depth of the photos that have one; None where none has, as the next two.
        delta_125: likewise.
        spearman: likewise.
        file_bytes: of what the backend loads; None where that is no file.
        parameters: of the model; None where it was not counted.
        trial: its times and its memory; None where it was not timed.
        is_teacher: whether it is the teacher itself.
    """

    model: str
    backend: str
    rank_correlation: float
    aligned_error: float
    ordered_pairs_kept: float
    abs_rel: float | None = None
    delta_125: float | None = None
    spearman: float | None = None
    file_bytes: int | None = None
    parameters: int | None = None
    trial: Trial | None = None
    is_teacher: bool = False

    @property
    def name(self) -> str:
        """What tables and charts call the model; a teacher may also be among the students."""
        return f"{self.model} (teacher)" if self.is_teacher else self.model

    @property
    def photo_s(self) -> Interval | None:
        """Seconds for one photo, the median over passes."""
        return self.trial.call if self.trial else None

    @property
    def peak_bytes(self) -> int | None:
        """The highest resident memory of its process."""
        return self.trial.peak_bytes if self.trial else None

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON types and SI units."""
        figures = asdict(self)
        del figures["trial"]
        time, trial = self.photo_s, self.trial
        return figures | {
            "photo_s": time.estimate if time else None,
            "photo_ci_s": {"low": time.low, "high": time.high} if time and time.confidence else None,
            "passes": len(trial.visits) if trial else 0,
            "disturbed_passes": trial.disturbed if trial else 0,
            "peak_rss_bytes": self.peak_bytes,
        }


@dataclass(frozen=True)
class TeacherComparison:
    """What students were compared with, and how.

    Attributes:
        teacher: its name.
        photos: how many they were compared on.
        true_depth: of how many of these the true depth is known.
        threads: of each.
        cpu: on which they were timed.
        judged: whether figures say how good depth is: not where weights are random.
        students: a row each, the fastest first; those without a time come last, the closest first.
        left_out: what was not compared or not timed, by name, and why.
    """

    teacher: str
    photos: int
    true_depth: int
    threads: int
    cpu: str
    judged: bool
    students: tuple[Student, ...]
    left_out: dict[str, str]


def ranked(students: Sequence[Student]) -> tuple[Student, ...]:
    """Return them the fastest first; those without a time come last, the closest first."""

    def place(student: Student) -> tuple[float, float]:
        return student.photo_s.estimate if student.photo_s else float("inf"), -student.rank_correlation

    return tuple(sorted(students, key=place))
