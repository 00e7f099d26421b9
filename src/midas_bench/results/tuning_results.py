"""What tuning measured -> what to deploy: lowest latency, highest throughput, least memory, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from midas_bench.results.intervals import Interval
from midas_bench.results.passes import pass_interval
from midas_bench.results.ranking import Setup
from midas_bench.results.recommendations import DISTURBED

QUESTIONS = ("latency", "throughput", "memory")
TIMED = ("latency", "throughput")
KEPT = 1 / 4
"""Of what took turns, this share stays: successive halving by a factor of four.

Source: L. Li et al., Hyperband, Journal of Machine Learning Research 18, 2018, section 3.
"""
LEAST_KEPT = 2


@dataclass(frozen=True)
class Visit:
    """A set-up's calls in one pass.

    Attributes:
        number: of the pass; set-ups with the same number were visited within seconds of each other.
        calls_s: seconds of each call, which is one batch or one stream.
        disturbances: what disturbed it, in words; none where the machine was quiet.
    """

    number: int
    calls_s: tuple[float, ...]
    disturbances: tuple[str, ...] = ()

    @property
    def median_s(self) -> float:
        """What the pass says of the set-up."""
        return float(np.median(self.calls_s))


@dataclass(frozen=True)
class Closeness:
    """How close the depth of reduced precision is to an exact backend's, on the photo that was timed.

    Attributes:
        reference: the exact backend.
        rank_correlation: Spearman's, over the pixels.
        mean_relative_error: as a share of the depth range.
        max_relative_error: likewise.
        flipped_pairs: share of random pixel pairs whose order is reversed.
        problem: why that is not good enough, or None.
    """

    reference: str
    rank_correlation: float
    mean_relative_error: float
    max_relative_error: float
    flipped_pairs: float
    problem: str | None = None


@dataclass(frozen=True)
class Trial:
    """One set-up and what was measured of it.

    Attributes:
        setup: backend and threads, and a batch size or a stream.
        exact: whether its depth is eager's within rounding; if not, its precision is reduced.
        visits: what its figures stand on: one visit a pass.
        peak_bytes: the highest resident memory of a fresh process; None where that was not measured.
        finalist: whether it stayed to the end; only then its times compare with the winners'.
        earlier: its visits before the last set-ups joined, which decided only who stays.
        closeness: of its depth, where its precision is reduced and that was measured.
    """

    setup: Setup
    exact: bool
    visits: tuple[Visit, ...] = ()
    peak_bytes: int | None = None
    finalist: bool = False
    earlier: tuple[Visit, ...] = ()
    closeness: Closeness | None = None

    @property
    def call(self) -> Interval | None:
        """The seconds of a call: the median over passes, and an interval from the spread between them."""
        if not self.visits:
            return None
        medians_s = [visit.median_s for visit in self.visits]
        median_s = float(np.median(medians_s))
        return pass_interval(medians_s) or Interval(median_s, median_s, median_s, confidence=0.0)

    @property
    def images_per_second(self) -> Interval | None:
        """Photos per second, likewise."""
        return self.call.inverted().mapped(self.setup.photos_per_call) if self.call else None

    @property
    def disturbed(self) -> int:
        """In how many passes the machine was disturbed during its visit."""
        return sum(bool(visit.disturbances) for visit in self.visits)

    def cost(self, question: str) -> float | None:
        """Return what the question wants least of: seconds of a call with one photo, seconds per photo, or bytes."""
        if question == "memory":
            return self.peak_bytes
        if self.call is None or not self._is_asked(question):
            return None
        return self.call.estimate / self.setup.photos_per_call

    def quiet_cost(self, question: str) -> float | None:
        """Return the cost by its undisturbed passes alone, where it has any: what decides whether it stays.

        A pass is set aside by the noise probe, never by its result.
        """
        quiet = [visit.median_s for visit in self.visits if not visit.disturbances]
        if question == "memory" or not quiet or not self._is_asked(question):
            return self.cost(question)
        return float(np.median(quiet)) / self.setup.photos_per_call

    def _is_asked(self, question: str) -> bool:
        return question != "latency" or self.setup.photos_per_call == 1


@dataclass(frozen=True)
class Choice:
    """One question answered.

    Attributes:
        question: latency, throughput or memory.
        best: what to deploy.
        exact: the best one whose depth is exact, where the best of all is not; else None.
        relative_cost: what `exact` takes over `best`, in time or memory; None where they share fewer than two passes.
        tied: set-ups that the passes do not tell from the best.
        disturbed: whether half of the visits behind it or more were disturbed, so that it may be chance.
    """

    question: str
    best: Trial
    exact: Trial | None
    relative_cost: Interval | None
    tied: tuple[Setup, ...]
    disturbed: bool = False


def ranked(trials: Sequence[Trial], question: str, quiet: bool = False) -> list[Trial]:
    """Return the trials that the question can be asked of, the best first; of equal ones a batch before a stream.

    With `quiet` they are ranked by their undisturbed passes where they have any.
    """
    costs = [(cost, t) for t in trials if (cost := t.quiet_cost(question) if quiet else t.cost(question)) is not None]
    order = sorted(costs, key=lambda row: (row[0], row[1].setup.stream_photos, row[1].setup))
    return [trial for _, trial in order]


def survivors(trials: Sequence[Trial]) -> list[Trial]:
    """Return what stays in the race, the leader of each list first.

    For latency and for throughput each, these are the best quarter of the exact set-ups and of the others, at least
    two of each. Only undisturbed passes count, where there are any.
    """
    lists = [
        order[: max(LEAST_KEPT, math.ceil(len(order) * KEPT))]
        for question in TIMED
        for exact in (False, True)
        if (order := ranked([trial for trial in trials if trial.exact == exact], question, quiet=True))
    ]
    places = range(max(map(len, lists), default=0))
    return list(dict.fromkeys(order[place] for place in places for order in lists if place < len(order)))


def choices(trials: Sequence[Trial]) -> list[Choice]:
    """Return the answers that the trials allow; the timed ones are about those that stayed to the end."""
    answers = []
    for question in QUESTIONS:
        order = ranked([t for t in trials if question == "memory" or t.finalist], question)
        if order:
            best, *others = order
            exact = None if best.exact else next((trial for trial in others if trial.exact), None)
            relative_cost = _relative_cost(exact, best, question) if exact else None
            timed = question != "memory"
            tied = tuple(t.setup for t in others if timed and not _is_slower(t, best, question))
            answers.append(
                Choice(question, best, exact, relative_cost, tied, timed and _mostly_disturbed(best, others))
            )
    return answers


def _is_slower(other: Trial, best: Trial, question: str) -> bool:
    """Tell whether the passes are sure of it."""
    ratio = _relative_cost(other, best, question)
    return ratio is not None and ratio.low > 1


def _mostly_disturbed(best: Trial, others: Sequence[Trial]) -> bool:
    """Tell whether half of the best's visits or more were disturbed, or of the visits to all that are compared."""
    fields = ([best], [best, *others])
    return any(sum(t.disturbed for t in field) >= DISTURBED * sum(len(t.visits) for t in field) for field in fields)


def _relative_cost(other: Trial, best: Trial, question: str) -> Interval | None:
    if question == "memory":
        of_memory = (other.peak_bytes or 0) / (best.peak_bytes or 1)
        return Interval(of_memory, of_memory, of_memory, confidence=0.0)
    pairs = _shared(other.visits, best.visits)
    ratio = pass_interval([theirs / mine if mine else 0.0 for theirs, mine in pairs])
    return ratio.mapped(best.setup.photos_per_call / other.setup.photos_per_call) if ratio else None


def _shared(one: Sequence[Visit], other: Sequence[Visit]) -> list[tuple[float, float]]:
    """Return the medians of both for each pass that both took part in."""
    others = {visit.number: visit.median_s for visit in other}
    return [(visit.median_s, others[visit.number]) for visit in one if visit.number in others]


def pareto(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that no other one beats in time per call, images per second and memory together.

    Two are compared over the passes that they share, for the machine may have changed between others. A stream has no
    calls: it stands for its images per second and its memory.
    """
    comparable = [t for t in trials if t.call is not None and t.peak_bytes is not None]
    return [t for t in comparable if not any(_beats(other, t) for other in comparable)]


def _beats(one: Trial, other: Trial) -> bool:
    pairs = _shared((*one.earlier, *one.visits), (*other.earlier, *other.visits))
    assert one.call is not None
    assert other.call is not None
    mine, theirs = np.median(pairs, axis=0) if pairs else (one.call.estimate, other.call.estimate)
    ours, others = _costs(one, float(mine)), _costs(other, float(theirs))
    return ours != others and all(a <= b for a, b in zip(ours, others, strict=True))


def _costs(trial: Trial, call_s: float) -> tuple[float, float, float]:
    assert trial.peak_bytes is not None
    return math.inf if trial.setup.stream_photos else call_s, call_s / trial.setup.photos_per_call, trial.peak_bytes


def setup_name(setup: Setup) -> str:
    """Name a set-up in full."""
    calls = "stream" if setup.stream_photos else f"batch {setup.batch_size}"
    return f"{setup.backend} (threads {setup.threads}, {calls})"


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
        "calls_s": [call_s for visit in trial.visits for call_s in visit.calls_s],
        "passes": [_visit_json(visit) for visit in trial.visits],
        "earlier_passes": [_visit_json(visit) for visit in trial.earlier],
        "disturbed_passes": trial.disturbed,
        "fidelity": asdict(trial.closeness) if trial.closeness else None,
    }


def _visit_json(visit: Visit) -> dict[str, Any]:
    return {"number": visit.number, "median_s": visit.median_s, "disturbances": list(visit.disturbances)}
