"""Noise made visible: a sentinel around each cell, and cells measured again if the user asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from _pytest.runner import runtestprotocol

from midas_bench.measure.plugin import internals
from midas_bench.measure.plugin.settings import SETTINGS, is_cell
from midas_bench.measure.sentinel import IDLE_S, Noise, Reading, Sentinel, judge

MAX_RERUNS = 2

T = TypeVar("T")


class Watch:
    """Take one reading between two cells, which is the end of one and the start of the next."""

    def __init__(self, sentinel: Sentinel) -> None:
        self._sentinel = sentinel
        self._last: Reading | None = None
        self.noise: dict[str, Noise] = {}

    def around(self, nodeid: str, work: Callable[[], T], backend_alive: bool) -> tuple[T, Noise]:
        """Do the work of a cell, and return its result with what disturbed it."""
        before = self._last or self._sentinel.read()
        result = work()
        self._last = after = self._sentinel.read(IDLE_S if backend_alive else 0.0)
        noise = self.noise[nodeid] = judge(before, after, self._sentinel.best)
        return result, noise


WATCH = pytest.StashKey[Watch]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[WATCH] = Watch(Sentinel())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """With --noise rerun: measure a cell again while the sentinel says it was disturbed, at most `MAX_RERUNS` times.

    The sentinel alone decides, never the cell's own result.
    """
    config = item.config
    if config.stash[SETTINGS].noise != "rerun" or not is_cell(item):
        return None
    watch = config.stash[WATCH]
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(1 + MAX_RERUNS):
        if attempt:
            internals.forget(config, item.nodeid)
        watch.noise.pop(item.nodeid, None)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        noise = watch.noise.get(item.nodeid)
        if noise is None or not noise.noisy:
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
