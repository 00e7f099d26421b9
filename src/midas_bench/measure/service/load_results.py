"""The results of a load or a soak, request by request, and the figures that follow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from midas_bench.cpu import allowed_cores
from midas_bench.measure.service.client import RequestResult
from midas_bench.measure.service.soak_requests import OUTCOMES
from midas_bench.results.load_records import LoadPoint

ACCEPTED = "200"
REFUSED = "503"


class LostError(Exception):
    """Requests had no answer, or one that they must not get."""


@dataclass(frozen=True)
class Window:
    """What counts of a load that ran longer: requests that were due in it, and answers that arrived in it."""

    begin_s: float
    end_s: float

    def rate(self, ended_s: Sequence[float]) -> float:
        """Return how many requests per second ended in it."""
        return len(self._inside(ended_s)) / (self.end_s - self.begin_s)

    def steady_rate(self, ended_s: Sequence[float]) -> float:
        """Return the slope of the number that ended against time, by least squares.

        At saturation it is known far better than by counting, which is off by up to one at either end: 2 % in 4 s.

        Raises:
            LostError: fewer than two ended in it.
        """
        inside_s = self._inside(ended_s)
        if len(inside_s) < 2:
            seconds = f"{self.end_s - self.begin_s:g} s"
            raise LostError(f"{len(inside_s)} answers in {seconds} are too few for a rate; measure for longer")
        return float(np.polyfit(inside_s, np.arange(len(inside_s)), 1)[0])

    def _inside(self, ended_s: Sequence[float]) -> list[float]:
        return sorted(at_s for at_s in ended_s if self.begin_s <= at_s < self.end_s)


@dataclass(frozen=True)
class LoadResult:
    """One load: every request, and the CPU seconds of the process that sent them."""

    sent: tuple[RequestResult, ...]
    cpu_s: float
    window: Window

    @property
    def client_cpu_s(self) -> float:
        """CPU seconds of the client per request."""
        return self.cpu_s / len(self.sent)

    @property
    def client_share(self) -> float:
        """The share of all cores' time that the client took."""
        return self.cpu_s / (allowed_cores() * max(result.ended_s for result in self.sent))

    @property
    def achieved_per_second(self) -> float:
        """Answers per second with a heat map that arrived in the window."""
        return self.window.rate(self._accepted_s)

    @property
    def steady_per_second(self) -> float:
        """The same at saturation; see `Window.steady_rate`, also for what it raises."""
        return self.window.steady_rate(self._accepted_s)

    @property
    def _accepted_s(self) -> list[float]:
        return [result.ended_s for result in self.sent if result.outcome == ACCEPTED]

    def point(self, server_peak_bytes: int | None, **fields: Any) -> LoadPoint:
        """Return it as the record has it; `fields` are the rate or the number of clients.

        Raises:
            LostError: a request was neither answered nor refused for want of room, or none was answered.
        """
        lost = Counter(result.outcome for result in self.sent if result.outcome not in (ACCEPTED, REFUSED))
        due = [result for result in self.sent if self.window.begin_s <= result.due_s < self.window.end_s]
        latency_s = [result.ended_s - result.due_s for result in due if result.outcome == ACCEPTED]
        if lost or not latency_s:
            failed = ", ".join(f"{count} with {outcome}" for outcome, count in lost.items()) or "none"
            raise LostError(f"of {len(self.sent)} requests {len(latency_s)} were answered in time; failed: {failed}")
        p50_s, p90_s, p99_s = (float(np.percentile(latency_s, q)) for q in (50, 90, 99))
        return LoadPoint(
            achieved_per_second=self.achieved_per_second, p50_s=p50_s, p90_s=p90_s, p99_s=p99_s, requests=len(due),
            rejected=len(due) - len(latency_s), peak_rss_bytes=server_peak_bytes, **fields,
        )  # fmt: skip


@dataclass(frozen=True)
class SoakResult:
    """A soak's result.

    Attributes:
        outcomes: how many requests of each name had each outcome.
        rss_bytes: the server's resident memory, evenly over the requests.
        counted: by the server itself, answers by status.
        peak_rss_bytes: the server's highest resident memory.
    """

    outcomes: dict[tuple[str, str], int]
    rss_bytes: tuple[int, ...]
    counted: dict[str, int]
    peak_rss_bytes: int | None = None

    @property
    def requests(self) -> int:
        """How many were sent."""
        return sum(self.outcomes.values())

    @property
    def unexpected(self) -> dict[tuple[str, str], int]:
        """The outcomes that differ from those in `OUTCOMES`."""
        return {(name, outcome): n for (name, outcome), n in self.outcomes.items() if OUTCOMES[name] != outcome}

    @property
    def answered(self) -> dict[str, int]:
        """How many answers of each status the client had."""
        by_status: Counter[str] = Counter()
        for (_, outcome), times in self.outcomes.items():
            if outcome.isdigit():
                by_status[outcome] += times
        return dict(by_status)

    @property
    def rss_growth(self) -> float:
        """The growth of memory: the median of the last fifth over that of the fifth after the warm-up's tenth.

        Medians, because memory at a moment depends on the photos in work.
        """
        samples = np.array(self.rss_bytes)
        tenth = math.ceil(len(samples) / 10)
        return float(np.median(samples[-2 * tenth :]) / np.median(samples[tenth : 3 * tenth]) - 1)

    def to_fields(self) -> dict[str, Any]:
        """Return the fields of `Load` that it fills."""
        outcomes: dict[str, dict[str, int]] = {}
        for (name, outcome), times in sorted(self.outcomes.items()):
            outcomes.setdefault(name, {})[outcome] = times
        return {
            "scenario": "soak",
            "queries": self.requests,
            "outcomes": outcomes,
            "rss_growth": self.rss_growth,
            "peak_rss_bytes": self.peak_rss_bytes,
        }
