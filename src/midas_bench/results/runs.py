"""The results of a run: one frozen record per cell, and what they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from midas_bench.errors import printable
from midas_bench.results.intervals import Interval
from midas_bench.results.kinds import Latency, Stream
from midas_bench.results.load_records import Load
from midas_bench.results.record import CellInfo, Interface

PIPELINES = ("test_pipeline", "test_article")
"""The benchmarks that answers, claims and the article's table rest on."""

TIMED = ("latency", "stage", "stream", "plain")
"""The kinds whose rounds are times of what the cell asks; elsewhere they time a process or a block as a whole."""


UNKNOWN = "unknown"
"""The kind of a machine whose CPU has no name in the file."""


@dataclass(frozen=True)
class Times:
    """The timed rounds of a cell, seconds per call.

    Attributes:
        rounds: how many there were.
        median_s: of all rounds, or over passes where there are several; the figure that reports quote.
        mean_s: of all rounds.
        min_s: of all rounds.
        max_s: of all rounds.
        stddev_s: of all rounds.
        interval: of the median, or None where the rounds are too few or were not kept.
        rounds_s: float64 (rounds,), in the order they were timed; empty where the file does not hold them.
        passes_s: float64 (passes,), the median of each pass; empty where the rounds are of one visit.
    """

    rounds: int
    median_s: float
    mean_s: float
    min_s: float
    max_s: float
    stddev_s: float
    interval: Interval | None = None
    rounds_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), compare=False, repr=False)
    passes_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), compare=False, repr=False)

    @property
    def median(self) -> Interval:
        """The median in seconds with its interval, which is nothing but the median where none is known."""
        return self.interval or Interval(self.median_s, self.median_s, self.median_s, confidence=0.0)

    @property
    def resolved(self) -> bool:
        """Whether the median is above 0 s; else it is below the resolution of the timer, and has no ratio."""
        return self.median_s > 0

    @property
    def allow_ratio_interval(self) -> bool:
        """Whether an interval of a ratio can be drawn from the rounds: they are enough, and none is 0 s."""
        return self.interval is not None and len(self.rounds_s) > 0 and float(np.min(self.rounds_s)) > 0


Info = TypeVar("Info", bound=CellInfo, covariant=True)
Kind = TypeVar("Kind", bound=CellInfo)


@dataclass(frozen=True, kw_only=True)
class CellRecord(Generic[Info]):
    """One cell of one run.

    Attributes:
        fullname: the benchmark's id, unique within a run.
        name: the id without its file.
        group: the table of the terminal summary that it stood in.
        kind: a key of `KINDS`; `plain` where the file does not say.
        times: the timed rounds.
        info: what its `extra_info` says, of its kind's type; a bare `CellInfo` where that lacks what the kind is about.
    """

    fullname: str
    name: str
    group: str | None = None
    kind: str
    times: Times
    info: Info

    @property
    def benchmark(self) -> str:
        """The test function's name."""
        return self.name.split("[", 1)[0]

    @property
    def disturbed_by_pass(self) -> NDArray[np.bool_]:
        """Whether the machine was disturbed, bool (passes,); empty where the rounds are of one visit."""
        return np.isin(np.arange(1, len(self.times.passes_s) + 1), self.info.noise.disturbed_passes)

    @property
    def is_pipeline(self) -> bool:
        """Whether it is of the main matrix: the whole way from a scene's photos to heat maps.

        Thread scaling and the largest photo are questions of their own, and would distort the means over scenes. A time
        of 0 s can be neither ranked nor compared.
        """
        own = self.kind == "latency" and self.benchmark in PIPELINES and self.info.backend is not None
        return own and self.times.resolved

    @property
    def images_per_second(self) -> float | None:
        """Photos per second: at the median, where the photos of a round are known, or as LoadGen counted them."""
        if isinstance(self.info, Load):
            return self.info.images_per_second
        photos = self.info.photos_per_round if isinstance(self.info, Latency | Stream) else None
        return photos / self.times.median_s if photos is not None and self.times.resolved else None


Record: TypeAlias = CellRecord[CellInfo]


def of_type(records: Iterable[Record], kind: type[Kind]) -> list[CellRecord[Kind]]:
    """Return the cells whose `info` is of a type, all that it must hold being there."""
    return [cast(CellRecord[Kind], record) for record in records if isinstance(record.info, kind)]


@dataclass(frozen=True)
class RecordedMachine:
    """Where a run took place; two runs may be compared when their `kind` is the same, and not `UNKNOWN`.

    Attributes:
        kind: the fingerprint, or a description where the file has none.
        facts: names and values, for showing.
    """

    kind: str
    facts: Mapping[str, str]
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Skip:
    """A cell that was not measured, and why."""

    cell: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """One file.

    Attributes:
        path: of the file.
        records: its cells, in the order they ran.
        status: complete, partial, or unknown where the file does not say.
        planned: ids of the cells that were asked for.
        failed: those that failed, and why.
        skipped: those that were left out.
        when: ISO 8601, as the file says.
        commit: of the measured code.
        branch: of the measured code.
        machine: where it ran.
        conditions: load and the like at the time, for showing.
        lacking: in words, what the file could hold and does not.
    """

    path: Path
    records: tuple[Record, ...]
    status: str
    planned: tuple[str, ...]
    failed: tuple[Skip, ...]
    skipped: tuple[Skip, ...]
    when: str
    commit: str | None
    branch: str | None
    machine: RecordedMachine
    conditions: Mapping[str, str]
    lacking: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name without its suffix, as it is shown."""
        return printable(self.path.stem)

    @property
    def file(self) -> str:
        """The file's name, as it is shown."""
        return printable(self.path.name)

    @property
    def networks(self) -> frozenset[tuple[str | None, Interface]]:
        """What ran: MiDaS_small, or models of the user's own, each with its input."""
        return frozenset(record.info.weights.network for record in self.records)

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Ids of planned cells that are neither finished, failed nor skipped."""
        accounted_for = {r.fullname for r in self.records} | {skip.cell for skip in (*self.failed, *self.skipped)}
        return tuple(cell for cell in self.planned if cell not in accounted_for)

    def of_kind(self, *kinds: str) -> tuple[Record, ...]:
        """Return the cells of some kinds."""
        return tuple(record for record in self.records if record.kind in kinds)


def of_own_models(records: Sequence[Record]) -> bool:
    """Tell whether models of the user's own ran, and MiDaS_small did not."""
    own = {record.info.weights.own for record in records if record.info.weights.source}
    return own == {True}


def input_sizes(records: Iterable[Record]) -> str:
    """Return height x width of what the networks of some cells take, such as `256x256`."""
    return " or ".join(dict.fromkeys(record.info.weights.interface.size for record in records))


def of_one_kind(runs: Iterable[Run]) -> bool:
    """Tell whether all runs took place on one known kind of machine; one without a CPU's name is of none."""
    kinds = {run.machine.kind for run in runs}
    return len(kinds) == 1 and UNKNOWN not in kinds


def redundant_runs(runs: Sequence[Run]) -> list[Run]:
    """Return the runs that add nothing to the others: every cell's raw rounds are in another of them too.

    So it is with a file given twice, with its copy, and with what an interrupted run saved before it was resumed. None
    of them is a repetition, and an interval over files that counted them would be too narrow.
    """
    redundant, kept = [], list[set[tuple[str, bytes]]]()
    for run in sorted(runs, key=lambda run: -len(run.records)):
        # without raw rounds only the path tells
        own = {(r.fullname, r.times.rounds_s.tobytes()) for r in run.records if len(r.times.rounds_s)}
        own = own or {(str(run.path.resolve()), b"")}
        if any(own <= other for other in kept):
            redundant.append(run)
        else:
            kept.append(own)
    return redundant
