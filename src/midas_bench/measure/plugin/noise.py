"""Noise made visible: a probe around each cell, and cells measured again if the user asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest
from _pytest.runner import runtestprotocol

from midas_bench.measure.noise_probe import IDLE_S, NoiseProbe, NoiseReading, Reading, combined, judge
from midas_bench.measure.plugin import internals
from midas_bench.measure.plugin.settings import SETTINGS, is_cell

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
    """Take one reading between two cells, which is the end of one and the start of the next."""

    def __init__(self, probe: NoiseProbe) -> None:
        self._probe = probe
        self._last: Reading | None = None
        self.noise: dict[str, NoiseReading] = {}
        self.used: list[Shared[Any]] = []

    def around(self, nodeid: str, work: Callable[[], T], backend_alive: bool) -> tuple[T, NoiseReading]:
        """Do the work of a cell, and return its result with what disturbed it."""
        idle_s = IDLE_S if backend_alive else 0.0
        self.used = []
        before = self._last or self._probe.read(idle_s)
        try:
            result = work()
        except BaseException:
            for shared in self.used:
                # no reading follows that could tell what disturbed the measuring
                if shared.noise is None:
                    shared.forget()
            raise
        self._last = after = self._probe.read(idle_s)
        noise = judge(before, after, self._probe.best)
        for shared in self.used:
            shared.noise = shared.noise or noise
        # shared data may come from an earlier cell: a reading from the moment of their use would not fit them
        noises = [shared.noise for shared in self.used if shared.noise]
        self.noise[nodeid] = combined(noises) if noises else noise
        return result, self.noise[nodeid]

    def prepare_rerun(self, nodeid: str) -> bool:
        """Prepare another attempt at a disturbed cell; tell whether there is anything to be measured anew."""
        disturbed = [shared for shared in self.used if shared.noise and shared.noise.noisy]
        if any(shared.attempts > MAX_RERUNS for shared in disturbed):
            return False
        for shared in disturbed:
            shared.forget()
        # the last reading was taken during the disturbance that spoiled this attempt
        self._last = None
        del self.noise[nodeid]
        return True


NOISE_MONITOR = pytest.StashKey[NoiseMonitor]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOISE_MONITOR] = NoiseMonitor(NoiseProbe())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """With --noise rerun: measure a cell again while the probe says it was disturbed, at most `MAX_RERUNS` times.

    The probe alone decides, never the cell's own result.
    """
    config = item.config
    if config.stash[SETTINGS].noise != "rerun" or not is_cell(item):
        return None
    monitor = config.stash[NOISE_MONITOR]
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(1 + MAX_RERUNS):
        if attempt:
            internals.forget(config, item.nodeid)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        noise = monitor.noise.get(item.nodeid)
        if noise is None or not noise.noisy or attempt == MAX_RERUNS or not monitor.prepare_rerun(item.nodeid):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(scope="session")
def measured_once(pytestconfig: pytest.Config) -> Callable[[Callable[[], T]], Shared[T]]:
    """Give a function that lets several cells share what a measuring function returns.

    The disturbances during that measuring alone decide whether a cell that uses the data is noisy. So measure all data
    of a cell in this way. A rerun of the cell measures them anew.
    """
    monitor = pytestconfig.stash[NOISE_MONITOR]
    return lambda measure: Shared(monitor, measure)
