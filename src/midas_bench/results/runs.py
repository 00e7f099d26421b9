"""The results of a run: one frozen record per cell, and what they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midas_bench.errors import printable
from midas_bench.results.intervals import Interval
from midas_bench.results.load_records import Load

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
        median_s: of all rounds; the figure that reports quote.
        mean_s: of all rounds.
        min_s: of all rounds.
        max_s: of all rounds.
        stddev_s: of all rounds.
        interval: of the median, or None where the rounds are too few or were not kept.
        rounds_s: float64 (rounds,), in the order they were timed; empty where the file does not hold them.
    """

    rounds: int
    median_s: float
    mean_s: float
    min_s: float
    max_s: float
    stddev_s: float
    interval: Interval | None = None
    rounds_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), compare=False, repr=False)

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


@dataclass(frozen=True)
class CellNoise:
    """Whether the machine was disturbed during a cell, and how that showed."""

    noisy: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Memory:
    """Resident memory of a fresh process that ran one cell, in bytes; `t_s` and `rss_bytes` are its samples."""

    peak_bytes: int
    baseline_bytes: int | None = None
    loaded_bytes: int | None = None
    t_s: tuple[float, ...] = ()
    rss_bytes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Startup:
    """Seconds of fresh processes for each phase, one value per process, and the mean seconds of making the graph."""

    cache: str
    phases_s: Mapping[str, tuple[float, ...]]
    build_s: float | None = None


@dataclass(frozen=True)
class Ratio:
    """A ratio of two times from interleaved blocks; `log_ratios` are natural logarithms, one per block."""

    name: str
    interval: Interval | None
    log_ratios: tuple[float, ...] = ()
    baseline_scene: str | None = None


@dataclass(frozen=True)
class Peer:
    """Somebody else's program or network in the same run, and its median seconds per call."""

    name: str
    median: Interval


@dataclass(frozen=True)
class PhotoRecord:
    """A photo that a cell worked on."""

    file: str
    width: int | None = None
    height: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One cell of one run. What its kind does not know, or its file does not say, is None or empty.

    Attributes:
        fullname: the benchmark's id, unique within a run.
        name: the id without its file.
        group: the table of the terminal summary that it stood in.
        kind: latency, stage, stream, memory, startup, ratio, scene, peer or load; `plain` where the file does not say.
    """

    fullname: str
    name: str
    group: str | None = None
    kind: str
    times: Times
    scene: str | None = None
    backend: str | None = None
    recipe: str | None = None
    stage: str | None = None
    batch_size: int | None = None
    stream_photos: int | None = None
    threads: int | None = None
    photos: tuple[PhotoRecord, ...] = ()
    photos_repeated: bool = False
    weights_source: str | None = None
    weights_sha256: str | None = None
    load_s: float | None = None
    first_inference_s: float | None = None
    max_relative_error: float | None = None
    mean_relative_error: float | None = None
    rank_correlation: float | None = None
    flipped_pairs: float | None = None
    noise: CellNoise | None = None
    memory: Memory | None = None
    startup: Startup | None = None
    ratio: Ratio | None = None
    depth_maps: tuple[str, ...] = ()
    flop: int | None = None
    peak_flop_per_s: float | None = None
    peer: Peer | None = None
    load: Load | None = None

    @property
    def benchmark(self) -> str:
        """The test function's name."""
        return self.name.split("[", 1)[0]

    @property
    def is_pipeline(self) -> bool:
        """Whether it is of the main matrix: the whole way from a scene's photos to heat maps.

        Thread scaling and the largest photo are questions of their own, and would distort the means over scenes. A time
        of 0 s can be neither ranked nor compared.
        """
        own = self.kind == "latency" and self.benchmark in PIPELINES and self.backend is not None
        return own and self.times.resolved

    @property
    def images_per_second(self) -> float | None:
        """Photos per second: at the median, where the photos of a round are known, or as LoadGen counted them."""
        if self.load is not None:
            return self.load.images_per_second
        images = {"latency": self.batch_size, "stream": self.stream_photos}.get(self.kind)
        return images / self.times.median_s if images is not None and self.times.resolved else None


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
    def unmeasured(self) -> tuple[str, ...]:
        """Ids of planned cells that are neither finished, failed nor skipped."""
        accounted_for = {r.fullname for r in self.records} | {skip.cell for skip in (*self.failed, *self.skipped)}
        return tuple(cell for cell in self.planned if cell not in accounted_for)

    def of_kind(self, *kinds: str) -> tuple[Record, ...]:
        """Return the cells of some kinds."""
        return tuple(record for record in self.records if record.kind in kinds)


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
