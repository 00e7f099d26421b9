"""Noise made visible: a probe around each group of cells that are visited side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest

from midas_bench.measure.noise_probe import IDLE_S, NoiseProbe, NoiseReading, Reading, combined, judge

MAX_RERUNS = 2

T = TypeVar("T")


class Shared(Generic[T]):
    """Data of several cells, measured once; what disturbed the machine meanwhile goes with them to each cell."""

    def __init__(self, monitor: NoiseMonitor, measure: Callable[[], T]) -> None:
        self._monitor = monitor
        self._measure = measure
        self._kept: list[T] = []
        self.attempts = 0
        self.noise: NoiseReading | None = None

    def __call__(self) -> T:
        """Return the data, measured now if they are not yet there."""
        self._monitor.used.append(self)
        if not self._kept:
            self.attempts += 1
            self._kept.append(self._measure())
        return self._kept[0]

    def forget(self) -> None:
        """Let the next call measure anew."""
        self._kept.clear()
        self.noise = None


class NoiseMonitor:
    """Take one reading between two groups of cells, which is the end of one and the start of the next."""

    def __init__(self, probe: NoiseProbe) -> None:
        self._probe = probe
        self._last: Reading | None = None
        self._before: Reading | None = None
        self.used: list[Shared[Any]] = []
        self.judged = 0

    def begin(self) -> None:
        """Look at the machine before a group of cells."""
        self.used = []
        self._before = self._last or self._probe.read(IDLE_S)

    def end(self, failed: bool = False) -> NoiseReading:
        """Look at it after them, and return what disturbed them; of a group that failed, shared data are forgotten."""
        assert self._before is not None
        self._last = after = self._probe.read(IDLE_S)
        noise = judge(self._before, after, self._probe.best)
        for shared in self.used:
            if failed and shared.noise is None:
                shared.forget()
            shared.noise = shared.noise or noise
        self.judged += not failed
        # shared data may come from an earlier cell: a reading from the moment of their use would not fit them
        return combined([shared.noise for shared in self.used if shared.noise] or [noise])

    def prepare_rerun(self) -> bool:
        """Prepare another attempt at a disturbed group; tell whether there is anything to be measured anew."""
        disturbed = [shared for shared in self.used if shared.noise and shared.noise.noisy]
        if any(shared.attempts > MAX_RERUNS for shared in disturbed):
            return False
        for shared in disturbed:
            shared.forget()
        # the last reading was taken during the disturbance that spoiled this attempt
        self._last = None
        return True


NOISE_MONITOR = pytest.StashKey[NoiseMonitor]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOISE_MONITOR] = NoiseMonitor(NoiseProbe())


@pytest.fixture(scope="session")
def measured_once(pytestconfig: pytest.Config) -> Callable[[Callable[[], T]], Shared[T]]:
    """Give a function that lets several cells share what a measuring function returns.

    The disturbances during that measuring alone decide whether a cell that uses the data is noisy. So measure all data
    of a cell in this way. A rerun of the cell measures them anew.
    """
    monitor = pytestconfig.stash[NOISE_MONITOR]
    return lambda measure: Shared(monitor, measure)
