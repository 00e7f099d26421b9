"""How long the run will take, shown at its start and beside each finished cell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from midas_bench.depth.flop import PLAIN_FLOP
from midas_bench.measure.plugin.cell import WARM_UP_CALLS
from midas_bench.measure.plugin.settings import is_cell, write_line
from midas_bench.results.units import duration

EFFICIENCY = {
    "eager": 0.4, "jit": 0.45, "onnx": 0.75, "jit-frozen": 0.45, "compile": 0.5, "eager-bf16": 0.7, "openvino": 0.75,
    "openvino-bf16": 1.4, "onnx-int8": 2, "openvino-int8": 2,
}  # fmt: skip
"""Rough shares of a matrix product's rate: good enough to tell seconds from minutes."""

PIPELINE_S_PER_PHOTO = 0.01
OPEN_S = 1.5
PRIOR_S = 30.0
# the check before, the calibration, and pytest-benchmark's last, untimed call
EXTRA_CALLS = WARM_UP_CALLS + 3


class Eta:
    """Expected seconds by cell, corrected by what the finished ones took."""

    def __init__(self, expected_s: dict[str, float]) -> None:
        self._expected_s = dict(expected_s)
        self._left = dict(expected_s)
        self._start_s = time.monotonic()

    @property
    def total_s(self) -> float:
        """Seconds that all cells are expected to take."""
        return sum(self._expected_s.values())

    def finish(self, nodeid: str) -> None:
        """Take a cell off the list."""
        self._left.pop(nodeid, None)

    def drop(self, nodeid: str) -> None:
        """Take a skipped or failed cell off the list: it tells nothing about the time of the others."""
        if self._left.pop(nodeid, None) is not None:
            del self._expected_s[nodeid]

    def left_s(self, now_s: float | None = None) -> float:
        """Return the expected seconds left, scaled by how the finished cells did against expectation.

        The first cells are weak evidence for the rest, so the expectation keeps the weight of `PRIOR_S` seconds.
        """
        left_s = sum(self._left.values())
        elapsed_s = (time.monotonic() if now_s is None else now_s) - self._start_s
        return left_s * (elapsed_s + PRIOR_S) / (self.total_s - left_s + PRIOR_S)


def expected_s(params: dict[str, Any], rounds: int, max_time_s: float, flop_per_s: float, network: bool) -> float:
    """Estimate one cell: its rounds, and the calls around them."""
    size = params.get("batch_size", 1)
    call_s = 0.002
    if network:
        rate = flop_per_s * EFFICIENCY.get(params.get("backend", "eager"), min(EFFICIENCY.values()))
        call_s = size * (PLAIN_FLOP / rate + PIPELINE_S_PER_PHOTO)
    return max(rounds * call_s, max_time_s) + EXTRA_CALLS * call_s


def flop_per_s(size: int = 768, repeats: int = 5) -> float:
    """Return the rate of a float32 matrix product here, over all threads that NumPy takes: the best of a few."""
    matrix = np.ones((size, size), np.float32)
    best_s = float("inf")
    for _ in range(repeats):
        start_s = time.perf_counter()
        matrix @ matrix
        best_s = min(best_s, time.perf_counter() - start_s)
    return 2 * size**3 / best_s


ETA = pytest.StashKey[Eta]()


# after `run_state`, which leaves out finished cells
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    cells = [item for item in items if is_cell(item)]
    if config.option.collectonly or config.option.benchmark_disable or config.option.benchmark_skip or not cells:
        return
    eta = Eta(_expectations(config, cells))
    config.stash[ETA] = eta
    if config.option.verbose == 0:
        # one line per cell: the run takes minutes, and dots would show too little
        config.option.verbose = 1
    write_line(config, f"{len(cells)} cells, about {duration(eta.total_s)}")


def _expectations(config: pytest.Config, cells: Sequence[pytest.Item]) -> dict[str, float]:
    rate = flop_per_s()
    seconds_by_cell = {}
    opened = set()
    for item in cells:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        names: Sequence[str] = getattr(item, "fixturenames", ())
        network = "opened" in names or "article" in names
        marker = item.get_closest_marker("expected_seconds")
        if marker:
            seconds_by_cell[item.nodeid] = float(marker.args[0])
            continue
        seconds = expected_s(
            params, config.option.benchmark_min_rounds, float(config.option.benchmark_max_time), rate, network
        )
        key = (item.path, params.get("backend"))
        if network and key not in opened:
            opened.add(key)
            seconds += OPEN_S
        seconds_by_cell[item.nodeid] = seconds
    return seconds_by_cell


def pytest_report_teststatus(
    report: pytest.TestReport | pytest.CollectReport, config: pytest.Config
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    eta = config.stash.get(ETA, None)
    if eta is None:
        return None
    if report.outcome != "passed":
        eta.drop(report.nodeid)
    if report.when != "call" or report.outcome != "passed":
        return None
    eta.finish(report.nodeid)
    left_s = eta.left_s()
    return "passed", ".", (f"timed, {duration(left_s)} left" if left_s else "timed", {"green": True})
