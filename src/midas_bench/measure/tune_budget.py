"""The time of a search: what is left of it, and by when each of its parts must end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OUTPUT_S = 2.5
"""Kept free for the chart, whose library alone takes a second to import."""
DEADLINE_SHARE = 0.05
"""The share of the budget by which a call may outlast it before its process is killed."""
LEAST_TIME_OUT_S = 0.01

BudgetProgress = Callable[[str, float], None]
"""Takes what is being done, and the seconds that are left of the budget."""


TimeOut = Callable[[], float]
"""Gives the seconds that are left, for several calls in a row that share them."""


class Budget:
    """A search's clock.

    Attributes:
        total_s: what the user gave.
        graphs_s: what making graphs took, which no later part can save.
        opening_s: what opening took, by backend, once for each process.
    """

    def __init__(self, total_s: float, progress: BudgetProgress, now: Callable[[], float] = time.monotonic) -> None:
        self.total_s = total_s
        self.graphs_s = 0.0
        self.opening_s: list[tuple[str, float]] = []
        self._progress = progress
        self.now = now
        self._begun_s = now()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the search began."""
        return self.now() - self._begun_s

    def time_out(self, most_s: float = math.inf) -> TimeOut:
        """Return what gives the seconds that are left of `most_s` from now, or until the budget's end and a little."""
        end_s = self.now() + min(most_s, self.left_s() + DEADLINE_SHARE * self.total_s)
        return lambda: max(LEAST_TIME_OUT_S, end_s - self.now())

    def left_s(self, share: float = 1.0) -> float:
        """Return the seconds until this share of the time that graphs and output leave has passed."""
        return self.graphs_s + share * (self.total_s - OUTPUT_S - self.graphs_s) - self.elapsed_s

    def report(self, text: str) -> None:
        """Tell the user what is being done, and the time that is left."""
        self._progress(text, max(0.0, self.total_s - self.elapsed_s))

    @contextmanager
    def making_graph(self) -> Iterator[None]:
        """Count what happens inside as the making of a graph."""
        begun_s = self.now()
        try:
            yield
        finally:
            self.graphs_s += self.now() - begun_s

    @contextmanager
    def opening(self, backend: str) -> Iterator[None]:
        """Count what happens inside as opening a backend."""
        begun_s = self.now()
        try:
            yield
        finally:
            self.opening_s.append((backend, self.now() - begun_s))

    def expected_opening_s(self, backend: str, unseen_s: float) -> float:
        """Return the longest that opening this backend took; else of any, and `unseen_s` before the first."""
        own = [seconds for name, seconds in self.opening_s if name == backend]
        return max(own or [seconds for _, seconds in self.opening_s], default=unseen_s)
