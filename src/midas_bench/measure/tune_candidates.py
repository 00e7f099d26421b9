"""The candidates of a search: which there are, the most promising first, and the process in which each is timed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from midas_bench.cpu import calls_side_by_side
from midas_bench.depth.backends import registry
from midas_bench.depth.calls import long_stream_photos
from midas_bench.depth.config import Resolved
from midas_bench.measure.blocks import WARM_UP_CALLS
from midas_bench.measure.noise_probe import Best, Reading, judge
from midas_bench.measure.tune_budget import TimeOut
from midas_bench.measure.worker_client import TimedCall, Worker, WorkerSpec
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import Visit, setup_name

PRECISIONS = ("int8", "bf16", "fp16", "f32")
BATCH_SIZE = 4
VISIT_S = 0.4
"""Calls of one visit last about so long: the probe's counters tick in hundredths of a second."""
MOST_CALLS = 5
PIPELINE = "photos"


def by_promise(backends: Iterable[str]) -> tuple[str, ...]:
    """Return the backends, the most promising first: graphs, then PyTorch, of each reduced precision; eager is last."""

    def place(name: str) -> tuple[bool, int, bool]:
        row = registry.find(name)
        return not row.deployed, PRECISIONS.index(row.precision), row.artifact is None

    return tuple(sorted(backends, key=place))


def first_looks(backends: Sequence[str], threads: Sequence[int]) -> list[Setup]:
    """Return each backend with one photo on all threads, and as a stream: photos side by side, on the fewest each.

    PyTorch's streams come after its single photos: it opens slowly.
    """
    fewest = threads[-1]
    pairs = [(Setup(b, 1, threads[0]), Setup(b, 1, fewest, stream_photos=long_stream_photos(fewest))) for b in backends]
    early = [pair for pair in pairs if registry.find(pair[0].backend).deployed]
    late = [pair for pair in pairs if pair not in early]
    return [*(setup for pair in early for setup in pair), *(one for one, _ in late), *(stream for _, stream in late)]


def further_looks(backends: Sequence[str], threads: Sequence[int]) -> list[Setup]:
    """Return what `first_looks` left: batches, and single photos on fewer threads."""
    most, *fewer = threads
    kinds = [(BATCH_SIZE, most), *((1, count) for count in fewer), *((BATCH_SIZE, count) for count in fewer)]
    return [Setup(backend, size, count) for size, count in kinds for backend in backends]


@dataclass(eq=False)
class Candidate:
    """A set-up, and the process that makes its calls from the time it is opened until it leaves the race.

    Attributes:
        setup: which.
        worker: its process.
        stack: closing it ends the process.
        call_s: what one call is expected to take.
        visit_s: what one visit takes, its probe included: expected, and then as the last one was.
        peak_bytes: the highest resident memory of the process so far, where the system tells.
        readings: pass by pass, its number, the seconds of the calls, and the probe's readings around them.
    """

    setup: Setup
    worker: Worker
    stack: ExitStack
    call_s: float
    visit_s: float
    peak_bytes: int | None = None
    readings: list[tuple[int, tuple[float, ...], Reading, Reading]] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many calls a visit makes; fixed when the set-up is opened."""
        return min(MOST_CALLS, max(1, int(VISIT_S / self.call_s))) if self.call_s else MOST_CALLS

    def visit(self, time_out: TimeOut) -> tuple[float, ...]:
        """Make one call that does not count, for caches went to others meanwhile, and then those of a visit.

        Raises:
            WorkerDiedError: the process died, or did not answer in time and was killed.
        """
        self.worker.call(_one(self.setup), time_out())
        calls_s = tuple(self.worker.call(_timed(self.setup), time_out()) for _ in range(self.calls))
        self.peak_bytes = self.worker.peak_bytes() or self.peak_bytes
        return calls_s

    def visits(self, best: Best) -> tuple[Visit, ...]:
        """Return its visits, each judged by the best that the probe has seen."""
        return tuple(
            Visit(number, calls_s, tuple(judge(before, after, best).reasons))
            for number, calls_s, before, after in self.readings
        )

    def depth(self, timeout_s: float) -> NDArray[np.float32]:
        """Return the depth of its photos, float32 (N, h, w).

        Raises:
            WorkerDiedError: as `visit`.
        """
        with TemporaryDirectory(prefix="midas-bench-") as folder:
            inference = TimedCall(setup_name(self.setup), PIPELINE, "inference")
            saved = self.worker.save(inference, Path(folder, "depth"), timeout_s)
            assert saved is not None
            return saved.read().reshape(len(saved.shapes), *saved.shapes[0])

    def close(self) -> None:
        """End its process."""
        self.stack.close()


def opened(setup: Setup, config: Resolved, photos: Sequence[str], time_out: TimeOut, probe_s: float) -> Candidate:
    """Start a set-up's process, open its pipeline on the photos (paths), and warm it up.

    Raises:
        WorkerDiedError: it could not, or not in time.
    """
    spec = WorkerSpec(setup_name(setup), {PIPELINE: {"photos": list(photos), "config": asdict(config)}})
    with ExitStack() as stack:
        worker = stack.enter_context(Worker(spec, None))
        worker.open(time_out())
        call_s = median([worker.call(_one(setup), time_out()) for _ in range(WARM_UP_CALLS)])
        one_s = call_s
        if setup.stream_photos:
            call_s *= setup.stream_photos / calls_side_by_side(setup.threads or 1)
        candidate = Candidate(setup, worker, stack.pop_all(), call_s, 0.0)
    candidate.visit_s = probe_s + one_s + candidate.calls * call_s
    candidate.peak_bytes = worker.peak_bytes()
    return candidate


def _one(setup: Setup) -> TimedCall:
    return TimedCall(setup_name(setup), PIPELINE)


def _timed(setup: Setup) -> TimedCall:
    return TimedCall(setup_name(setup), PIPELINE, "long_stream" if setup.stream_photos else "pipeline")
