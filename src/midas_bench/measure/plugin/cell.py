"""One cell: checked, warmed up, timed by pytest-benchmark, and described in its `extra_info`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from midas_bench.depth.backends import registry
from midas_bench.measure.plugin.matrix import Opened
from midas_bench.measure.plugin.settings import Run
from midas_bench.measure.reference import max_relative_error
from midas_bench.results.record import CellInfo
from midas_bench.scenes import Batch

WARM_UP_CALLS = 3
"""TorchScript profiles in the first call of a shape and compiles in the second; the third runs what is kept."""


class Cell:
    """One point of a benchmark's matrix."""

    def __init__(self, benchmark: BenchmarkFixture, run: Run) -> None:
        self._benchmark = benchmark
        self._run = run
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
        """Record the open backend and what it cost."""
        config = opened.pipeline.config
        self.describe(
            backend=config.backend,
            recipe=config.recipe,
            threads=config.threads,
            weights={"source": config.weights.source, "sha256": config.weights.sha256},
            load_s=opened.load_s,
            first_inference_s=opened.first_inference_s,
        )

    def check(self, depth: NDArray[np.float32], batch: Batch) -> None:
        """Compare depth (N, 256, 256) with eager's for the same photos; fail the cell if it is not the same.

        Done before anything is timed: pytest-benchmark keeps the figures of a test that fails afterwards.
        """
        reference = self._run.references[self._info.recipe or "fast"]
        error = max_relative_error(depth, reference.depth(batch.photos))
        self.describe(max_relative_error=error, input_shape=[len(depth), 3, *depth.shape[1:]])
        row = registry.find(str(self._info.backend))
        if row.exact and not error <= registry.MAX_RELATIVE_ERROR:
            pytest.fail(
                f"{row.name} differs from eager by {error:.2g} of the depth range, more than "
                f"{registry.MAX_RELATIVE_ERROR:g}; nothing was timed",
                pytrace=False,
            )

    def time(self, group: str, call: Callable[..., object], *args: object) -> None:
        """Warm up, let pytest-benchmark time `call(*args)`, and fill `extra_info`.

        Args:
            group: the table of the terminal summary that the cell stands in.
            call: what is timed and nothing else.
            *args: what it is called with.
        """
        benchmark = self._benchmark
        benchmark.group = group
        if benchmark.enabled:
            for _ in range(WARM_UP_CALLS):
                call(*args)
        benchmark(call, *args)
        rounds_s = benchmark.stats.stats.data if benchmark.stats is not None else ()
        benchmark.extra_info.update(self._info.to_extra_info(rounds_s))


@pytest.fixture
def cell(benchmark: BenchmarkFixture, run: Run, request: pytest.FixtureRequest) -> Cell:
    """Give the cell under measurement, with what its benchmark's fixtures say of it."""
    cell = Cell(benchmark, run)
    for name in ("opened", "article"):
        if name in request.fixturenames:
            cell.describe_backend(request.getfixturevalue(name))
    if "batch" in request.fixturenames:
        cell.describe_batch(request.getfixturevalue("batch"))
    return cell
