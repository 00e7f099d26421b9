"""One cell: checked, warmed up, timed by pytest-benchmark, and described in its `extra_info`."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from midas_bench.depth.backends import registry
from midas_bench.depth.flop import flop_per_image
from midas_bench.measure import energy, noise_probe
from midas_bench.measure.fidelity import fidelity, problem
from midas_bench.measure.passes import WARM_UP_BELOW_S
from midas_bench.measure.plugin import depth_maps, internals
from midas_bench.measure.plugin.open_pipelines import OpenedPipeline
from midas_bench.measure.plugin.run_models import RunModel
from midas_bench.measure.plugin.run_state import RUN_STATE
from midas_bench.measure.plugin.settings import RunContext
from midas_bench.measure.teacher import agreement
from midas_bench.processes import ProcessDiedError
from midas_bench.results.kinds import cell_info
from midas_bench.scene_photos import Batch

WARM_UP_CALLS = 3
"""TorchScript profiles in the first call of a shape and compiles in the second; the third runs what is kept."""

Report = Mapping[str, Any]


@dataclass
class Visit:
    """What a pass wants of a visit, and what came of it.

    Attributes:
        rounds: the least.
        seconds: to be filled with rounds.
        timed: whether the cell timed calls; else it measured itself, and needs no other visit.
    """

    rounds: int
    seconds: float
    timed: bool = False


@dataclass
class VisitHistory:
    """What earlier visits of this process spare a later one.

    Attributes:
        visit: the one under way.
        checked: cells whose output was compared with the reference.
        calls: untimed calls so far, by what they warm up.
        call_s: seconds of a call, by cell.
        iterations: calls of a round, by cell.
    """

    visit: Visit
    checked: set[str] = field(default_factory=set)
    calls: Counter[Hashable] = field(default_factory=Counter)
    call_s: dict[str, float] = field(default_factory=dict)
    iterations: dict[str, int] = field(default_factory=dict)


VISITS = pytest.StashKey[VisitHistory]()


class BenchmarkCell:
    """One point of a benchmark's matrix."""

    def __init__(
        self,
        nodeid: str,
        benchmark: BenchmarkFixture,
        run: RunContext,
        model: RunModel,
        depth_maps_folder: Path | None,
        history: VisitHistory,
    ) -> None:
        self._nodeid = nodeid
        self._benchmark = benchmark
        self._run = run
        self._model = model
        self._depth_maps_folder = depth_maps_folder
        self._history = history
        self._opened: OpenedPipeline | None = None
        self._fields: dict[str, Any] = {"kind": "latency"}

    def describe(self, **fields: Any) -> None:
        """Set the `kind`, and fields that it has in `results/kinds.py`; what is None is left out."""
        self._fields |= fields

    def describe_batch(self, batch: Batch) -> None:
        """Record the photos of a call."""
        photos = [
            {"file": p.file, "width": p.width, "height": p.height, "bytes": len(p.data), "sha256": p.sha256}
            for p in batch.photos
        ]
        self.describe(
            photos=photos, photos_repeated=batch.repeated, batch_size=len(batch.photos), scene=batch.photos[0].scene
        )

    def describe_backend(self, opened: OpenedPipeline) -> None:
        """Record the open backend, what it cost, and the threads that the libraries report.

        Raises:
            pytest.fail.Exception: a library does not use the threads it was asked for.
        """
        self._opened = opened
        config = opened.pipeline.config
        reported = {config.backend: opened.pipeline.backend.threads, "opencv": cv2.getNumThreads()}
        if set(reported.values()) != {config.threads}:
            pytest.fail(f"asked for {config.threads} threads, but the libraries report {reported}", pytrace=False)
        self.describe(
            backend=config.backend,
            recipe=config.recipe,
            threads=config.threads,
            threads_reported=reported,
            load_s=opened.load_s,
            first_inference_s=opened.first_inference_s,
            compile_s=getattr(opened.pipeline.backend, "compile_s", None),
        )

    def describe_work(self, photos: int, peaks: Mapping[int, Mapping[str, float]]) -> None:
        """Record what the network computes for so many photos, and this machine's peak for it, where both are known."""
        row = registry.find(str(self._fields.get("backend")))
        flop = flop_per_image(row, self._model.weights)
        peak = peaks.get(self._fields.get("threads", 0), {}).get(row.precision)
        if flop and peak:
            self.describe(flop=photos * flop, peak_flop_per_s=peak)

    def check(self, infer: Callable[[], NDArray[np.float32]], batch: Batch) -> None:
        """Compare depth (N, H, W) with the reference for the same photos; fail the cell if it is too far from it.

        Done in the first visit, before anything is timed: pytest-benchmark keeps the figures of a test that fails
        afterwards.
        """
        if self._nodeid in self._history.checked:
            return
        depth = infer()
        self._history.calls[self._warms] += 1
        reference = self._model.references[self._fields.get("recipe") or "fast"]
        reference_depth = reference.depth(batch.photos)
        measured = fidelity(depth, reference_depth)
        self.describe(**asdict(measured), input_shape=list(self._model.weights.interface.shape(len(depth))))
        name = str(self._fields.get("backend"))
        reason = problem(name, measured, self._model.weights.source, reference.backend)
        if reason:
            pytest.fail(f"{reason}; nothing was timed", pytrace=False)
        if self._depth_maps_folder is not None and self._fields.get("recipe") == "fast":
            prefix = f"{self._model.name}-{name}" if self._model.name else name
            names = depth_maps.save(self._depth_maps_folder, prefix, batch.photos, depth, reference_depth)
            self.describe(depth_maps=names)
        if self._run.settings.compared_models:
            self.describe(**self._agreement(self._run.models[0], depth, batch))
        self._history.checked.add(self._nodeid)

    @staticmethod
    def _agreement(teacher: RunModel, depth: NDArray[np.float32], batch: Batch) -> dict[str, Any]:
        """Return how closely depth (N, h, w) follows the first model's, of the worst photo; nothing if that is flat."""
        theirs = teacher.references["fast"].depth(batch.photos)
        try:
            of_photos = list(map(agreement, depth, theirs))
        except ValueError:
            return {}
        return {
            "teacher": teacher.name,
            "teacher_rank_correlation": min(one.rank_correlation for one in of_photos),
            "teacher_pairs_kept": min(one.ordered_pairs_kept for one in of_photos),
        }

    @property
    def _warms(self) -> Hashable:
        """What a call warms up: all that has the same network and the same shape of its input, or this cell alone."""
        if self._opened is None:
            return self._nodeid
        return id(self._opened), self._fields.get("batch_size")

    def time(self, group: str, call: Callable[..., object], *args: object, warm_up_calls: int = WARM_UP_CALLS) -> None:
        """Warm up, let pytest-benchmark time `call(*args)`, and fill `extra_info`.

        Args:
            group: the table of the terminal summary that the cell stands in.
            call: what is timed and nothing else.
            *args: what it is called with.
            warm_up_calls: before the first round of the run; a call that infers many times needs fewer.
        """
        benchmark = self._benchmark
        benchmark.group = group
        if not benchmark.enabled:
            benchmark(call, *args)
            return
        history, visit = self._history, self._history.visit
        call_s = self._warm_up(call, args, warm_up_calls)
        iterations = history.iterations.setdefault(self._nodeid, internals.iterations(benchmark, call_s))
        rounds = max(visit.rounds, ceil(visit.seconds / (call_s * iterations)) if call_s else 1)
        packages = energy.packages()
        energy_uj = energy.read_uj(packages)
        switches, faults = noise_probe.own_disturbance()
        cpu_s = time.process_time()
        benchmark.pedantic(call, args=args, rounds=rounds, iterations=iterations)  # type: ignore[no-untyped-call]
        cpu_s = time.process_time() - cpu_s
        switches_after, faults_after = noise_probe.own_disturbance()
        joules = energy.joules(packages, energy_uj, energy.read_uj(packages))
        history.call_s[self._nodeid] = statistics.median(internals.rounds_s(benchmark))
        # a round of several calls is followed by one more, for the result
        calls = rounds * iterations + (iterations > 1)
        self.describe(
            cpu_s=cpu_s / calls,
            energy_by_pass_j=None if joules is None else (joules / calls,),
            noise={
                "involuntary_switches_per_call": (switches_after - switches) / calls,
                "page_faults_per_call": (faults_after - faults) / calls,
            },
        )
        visit.timed = True
        self._finish()

    def _warm_up(self, call: Callable[..., object], args: tuple[object, ...], least_calls: int) -> float:
        """Make the untimed calls that this visit needs, and return the seconds of a call."""
        history, clock = self._history, internals.timer(self._benchmark)
        known_s = history.call_s.get(self._nodeid)
        in_each_visit = 1 if known_s is None or known_s < WARM_UP_BELOW_S else 0
        call_s = known_s or 0.0
        for _ in range(max(least_calls - history.calls[self._warms], in_each_visit)):
            start_s = clock()
            call(*args)
            call_s = clock() - start_s
            history.calls[self._warms] += 1
        return call_s

    def record(
        self,
        group: str,
        work: Callable[[], Report],
        rounds: int = 1,
        join: Callable[[list[Report]], Mapping[str, Any]] = lambda reports: reports[0],
    ) -> None:
        """Run work that measures itself, `rounds` times, and keep its reports.

        pytest-benchmark's figures are then the time of one round as a whole.

        Args:
            group: the table of the terminal summary that the cell stands in.
            work: returns its report.
            rounds: how often it is done, if the budget allows; fewer, but at least once, where it does not.
            join: turns the reports into fields of the cell.
        """
        benchmark = self._benchmark
        benchmark.group = group
        rounds = self._run.scaled(rounds)
        reports: list[Report] = []

        def measured() -> None:
            reports.append(work())

        failure = ""
        try:
            benchmark.pedantic(measured, rounds=rounds, iterations=1)  # type: ignore[no-untyped-call]
        except ProcessDiedError as error:
            failure = str(error)
        # outside of the handler, because pytest would show the handler's traceback too
        if failure:
            pytest.fail(f"the process that was measured died: {failure}", pytrace=False)
        if benchmark.enabled:
            self.describe(**join(reports))
            self._finish()

    def _finish(self) -> None:
        self.describe(weights=self._model.weights.described, model=self._model.name)
        self._benchmark.extra_info.update(cell_info(self._fields).to_extra_info())


@pytest.fixture
def cell(benchmark: BenchmarkFixture, run: RunContext, request: pytest.FixtureRequest) -> Iterator[BenchmarkCell]:
    """Give the cell under measurement, described by its benchmark's fixtures."""
    config = request.config
    state = config.stash.get(RUN_STATE, None)
    folder = state.journal.depth_maps_folder if state else None
    history = config.stash.setdefault(VISITS, VisitHistory(Visit(rounds=1, seconds=0.0)))
    model = request.getfixturevalue("model") if "model" in request.fixturenames else run.models[0]
    cell = BenchmarkCell(request.node.nodeid, benchmark, run, model, folder, history)
    try:
        for name in ("opened", "article"):
            if name in request.fixturenames:
                cell.describe_backend(request.getfixturevalue(name))
        for name in ("batch", "one_photo", "largest_photo"):
            if name in request.fixturenames:
                cell.describe_batch(request.getfixturevalue(name))
        yield cell
    finally:
        internals.suppress_unused_warning(benchmark)
