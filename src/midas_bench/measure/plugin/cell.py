"""One cell: checked, warmed up, timed by pytest-benchmark, and described in its `extra_info`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from midas_bench.depth.backends import registry
from midas_bench.measure import sentinel
from midas_bench.measure.plugin import internals, pictures
from midas_bench.measure.plugin.ledger import LEDGER
from midas_bench.measure.plugin.matrix import Opened
from midas_bench.measure.plugin.noise import WATCH, Watch
from midas_bench.measure.plugin.settings import Run
from midas_bench.measure.reference import max_relative_error
from midas_bench.processes import ProcessDiedError
from midas_bench.results.record import CellInfo
from midas_bench.scenes import Batch

WARM_UP_CALLS = 3
"""TorchScript profiles in the first call of a shape and compiles in the second; the third runs what is kept."""

Report = Mapping[str, Any]


class Cell:
    """One point of a benchmark's matrix."""

    def __init__(
        self, nodeid: str, benchmark: BenchmarkFixture, run: Run, watch: Watch, pictures_folder: Path | None
    ) -> None:
        self._nodeid = nodeid
        self._benchmark = benchmark
        self._run = run
        self._watch = watch
        self._pictures = pictures_folder
        self._opened: Opened | None = None
        self._info = CellInfo(kind="latency")

    def describe(self, **fields: Any) -> None:
        """Set fields of `CellInfo`."""
        self._info = replace(self._info, **fields)

    def describe_batch(self, batch: Batch) -> None:
        """Record the photos of a call."""
        photos = [
            {"file": p.file, "width": p.width, "height": p.height, "bytes": len(p.data), "sha256": p.sha256}
            for p in batch.photos
        ]
        self.describe(
            photos=photos, photos_repeated=batch.repeated, batch_size=len(batch.photos), scene=batch.photos[0].scene
        )

    def describe_backend(self, opened: Opened) -> None:
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
        )

    def check(self, depth: NDArray[np.float32], batch: Batch) -> None:
        """Compare depth (N, 256, 256) with eager's for the same photos; fail the cell if it is not the same.

        Done before anything is timed: pytest-benchmark keeps the figures of a test that fails afterwards.
        """
        reference = self._run.references[self._info.recipe or "fast"].depth(batch.photos)
        error = max_relative_error(depth, reference)
        self.describe(max_relative_error=error, input_shape=[len(depth), 3, *depth.shape[1:]])
        row = registry.find(str(self._info.backend))
        if row.exact and not error <= registry.MAX_RELATIVE_ERROR:
            pytest.fail(
                f"{row.name} differs from eager by {error:.2g} of the depth range, more than "
                f"{registry.MAX_RELATIVE_ERROR:g}; nothing was timed",
                pytrace=False,
            )
        if self._pictures is not None and self._info.recipe == "fast":
            names = pictures.save(self._pictures, row.name, batch.photos, depth, reference)
            self.describe(depth_maps=names)

    def time(self, group: str, call: Callable[..., object], *args: object) -> None:
        """Warm up, let pytest-benchmark time `call(*args)`, and fill `extra_info`.

        Args:
            group: the table of the terminal summary that the cell stands in.
            call: what is timed and nothing else.
            *args: what it is called with.
        """
        benchmark = self._benchmark
        benchmark.group = group
        calls = 0

        def counted(*args: object) -> object:
            nonlocal calls
            calls += 1
            return call(*args)

        def work() -> tuple[int, int]:
            for _ in range(WARM_UP_CALLS):
                call(*args)
            switches, faults = sentinel.own_disturbance()
            benchmark(counted, *args)
            switches_after, faults_after = sentinel.own_disturbance()
            return switches_after - switches, faults_after - faults

        if not benchmark.enabled:
            benchmark(call, *args)
            return
        (switches, faults), noise = self._watch.around(self._nodeid, work, self._opened is not None)
        self.describe(
            noise=noise.to_json()
            | {"involuntary_switches_per_call": switches / calls, "page_faults_per_call": faults / calls}
        )
        self._finish(internals.rounds_s(benchmark))

    def record(
        self,
        group: str,
        work: Callable[[], Report],
        rounds: int = 1,
        join: Callable[[list[Report]], Mapping[str, Any]] = lambda reports: reports[0],
    ) -> None:
        """Do work that measures by itself, `rounds` times, and keep what it reports.

        pytest-benchmark's figures are then the time of one round as a whole.

        Args:
            group: the table of the terminal summary that the cell stands in.
            work: returns its report.
            rounds: how often it is done.
            join: turns the reports into fields of `CellInfo`.
        """
        benchmark = self._benchmark
        benchmark.group = group
        reports: list[Report] = []

        def measured() -> None:
            reports.append(work())

        def all_rounds() -> None:
            benchmark.pedantic(measured, rounds=rounds, iterations=1)  # type: ignore[no-untyped-call]

        died = ""
        try:
            if not benchmark.enabled:
                all_rounds()
                return
            _, noise = self._watch.around(self._nodeid, all_rounds, backend_alive=False)
        except ProcessDiedError as error:
            died = str(error)
        if died:  # outside of the handler, whose traceback would be shown too
            pytest.fail(f"the process that was measured died: {died}", pytrace=False)
        self.describe(noise=noise.to_json(), **join(reports))
        self._finish()

    def _finish(self, rounds_s: list[float] | None = None) -> None:
        weights = self._run.weights
        self.describe(weights={"source": weights.source, "sha256": weights.sha256})
        self._benchmark.extra_info.update(self._info.to_extra_info(rounds_s or ()))


@pytest.fixture
def cell(benchmark: BenchmarkFixture, run: Run, request: pytest.FixtureRequest) -> Iterator[Cell]:
    """Give the cell under measurement, with what its benchmark's fixtures say of it."""
    ledger = request.config.stash.get(LEDGER, None)
    folder = ledger.journal.pictures if ledger else None
    cell = Cell(request.node.nodeid, benchmark, run, request.config.stash[WATCH], folder)
    try:
        for name in ("opened", "article"):
            if name in request.fixturenames:
                cell.describe_backend(request.getfixturevalue(name))
        for name in ("batch", "one_photo", "largest_photo"):
            if name in request.fixturenames:
                cell.describe_batch(request.getfixturevalue(name))
        yield cell
    finally:
        # else pytest-benchmark warns of a cell that failed, or was interrupted, before it could be timed
        benchmark.skipped = True
