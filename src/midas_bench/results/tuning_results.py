"""What tuning measured -> what to deploy: lowest latency, highest throughput, least memory, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from midas_bench.results.intervals import Interval, bootstrap_ratio, median_interval
from midas_bench.results.ranking import Setup

QUESTIONS = ("latency", "throughput", "memory")
TIMED = ("latency", "throughput")
KEPT = 1 / 4
"""Of what took turns, this share stays: successive halving by a factor of four.

Source: L. Li et al., Hyperband, Journal of Machine Learning Research 18, 2018, section 3.
"""
LEAST_KEPT = 2


@dataclass(frozen=True)
class Trial:
    """One set-up and what was measured of it.

    Attributes:
        setup: backend and threads, and a batch size or a stream.
        exact: whether its depth is eager's within rounding; if not, its precision is reduced.
        calls_s: seconds of each call, which is one batch or one stream, in the last round that it took part in.
        peak_bytes: the highest resident memory of a fresh process; None where that was not measured.
        finalist: whether it took part in the last round; only then its times compare with the winners'.
    """

    setup: Setup
    exact: bool
    calls_s: tuple[float, ...] = ()
    peak_bytes: int | None = None
    finalist: bool = False

    @property
    def call(self) -> Interval | None:
        """The median seconds of a call, with an interval where six calls or more stand behind it."""
        if not self.calls_s:
            return None
        median_s = float(np.median(self.calls_s))
        return median_interval(self.calls_s) or Interval(median_s, median_s, median_s, confidence=0.0)

    @property
    def images_per_second(self) -> Interval | None:
        """Photos per second, likewise."""
        return self.call.inverted().mapped(self.setup.photos_per_call) if self.call else None

    def cost(self, question: str) -> float | None:
        """Return what the question wants least of: seconds of a call with one photo, seconds per photo, or bytes."""
        if question == "memory":
            return self.peak_bytes
        if self.call is None or (question == "latency" and self.setup.photos_per_call != 1):
            return None
        return self.call.estimate / self.setup.photos_per_call


@dataclass(frozen=True)
class Choice:
    """One question answered.

    Attributes:
        question: latency, throughput or memory.
        best: what to deploy.
        exact: the best one whose depth is exact, where the best of all is not; else None.
        relative_cost: what `exact` takes over `best`, in time or memory.
        tied: set-ups whose interleaved calls do not tell them from the best.
    """

    question: str
    best: Trial
    exact: Trial | None
    relative_cost: Interval | None
    tied: tuple[Setup, ...]


def ranked(trials: Sequence[Trial], question: str) -> list[Trial]:
    """Return the trials that the question can be asked of, the best first; of equal ones a batch before a stream."""
    costs = [(cost, trial) for trial in trials if (cost := trial.cost(question)) is not None]
    order = sorted(costs, key=lambda row: (row[0], row[1].setup.stream_photos, row[1].setup))
    return [trial for _, trial in order]


def survivors(trials: Sequence[Trial]) -> list[Trial]:
    """Return what goes on to the next round.

    For latency and for throughput each, these are the best quarter of the exact set-ups and of the others, at least
    two of each.
    """
    kept: dict[Setup, Trial] = {}
    for question in TIMED:
        for exact in (True, False):
            order = ranked([trial for trial in trials if trial.exact == exact], question)
            for trial in order[: max(LEAST_KEPT, math.ceil(len(order) * KEPT))]:
                kept[trial.setup] = trial
    return list(kept.values())


def leaders(trials: Sequence[Trial]) -> list[Trial]:
    """Return the best for latency and for throughput, of the exact set-ups and of the others."""
    orders = [ranked([t for t in trials if t.exact == exact], q) for q in TIMED for exact in (True, False)]
    return list(dict.fromkeys(order[0] for order in orders if order))


def choices(trials: Sequence[Trial]) -> list[Choice]:
    """Return the answers that the trials allow; the timed ones are about those of the last round."""
    answers = []
    for question in QUESTIONS:
        order = ranked([t for t in trials if question == "memory" or t.finalist], question)
        if order:
            best, *others = order
            exact = None if best.exact else next((trial for trial in others if trial.exact), None)
            relative_cost = _relative_cost(exact, best, question) if exact else None
            tied = tuple(t.setup for t in others if question != "memory" and _relative_cost(t, best, question).low <= 1)
            answers.append(Choice(question, best, exact, relative_cost, tied))
    return answers


def _relative_cost(other: Trial, best: Trial, question: str) -> Interval:
    if question == "memory":
        ratio = (other.peak_bytes or 0) / (best.peak_bytes or 1)
        return Interval(ratio, ratio, ratio, confidence=0.0)
    return bootstrap_ratio(other.calls_s, best.calls_s).mapped(best.setup.photos_per_call / other.setup.photos_per_call)


def pareto(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that no other one beats in time per call, images per second and memory together.

    A stream has no calls: it stands for its images per second and its memory.
    """
    costs_of = {t.setup: costs for t in trials if (costs := _costs(t)) is not None}

    def beaten(costs: tuple[float, ...]) -> bool:
        return any(
            all(a <= b for a, b in zip(other, costs, strict=True)) and other != costs for other in costs_of.values()
        )

    return [t for t in trials if t.setup in costs_of and not beaten(costs_of[t.setup])]


def _costs(trial: Trial) -> tuple[float, float, float] | None:
    if trial.call is None or trial.peak_bytes is None:
        return None
    call_s = math.inf if trial.setup.stream_photos else trial.call.estimate
    return call_s, trial.call.estimate / trial.setup.photos_per_call, float(trial.peak_bytes)


def to_json(trial: Trial) -> dict[str, Any]:
    """Return a trial in JSON types and SI units."""
    call, rate, setup = trial.call, trial.images_per_second, trial.setup
    return {
        "backend": setup.backend,
        "threads": setup.threads,
        "batch_size": setup.batch_size,
        "stream_photos": setup.stream_photos or None,
        "exact": trial.exact,
        "median_s": call.estimate if call else None,
        "median_ci_s": {"low": call.low, "high": call.high} if call and call.confidence else None,
        "images_per_second": rate.estimate if rate else None,
        "peak_rss_bytes": trial.peak_bytes,
        "finalist": trial.finalist,
        "calls_s": list(trial.calls_s),
    }
