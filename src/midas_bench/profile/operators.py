"""What a profile holds: the operators of a network as a runtime ran them, and the time of each in each round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operator:
    """One operator, after the runtime has fused and rearranged what the model says.

    Attributes:
        name: as the runtime calls it.
        kind: what it does, such as Conv.
        rounds_s: its seconds in each round, over all of its calls.
        output: the tensor it makes, by its name in the model; empty where that is not known.
        inputs: shapes of what it reads, data and weights first.
        outputs: shapes of what it makes.
        calls: in one round.
        flop: of one round, a product and its sum counted as two; None where it is not known.
        precision: what it computes in (f32, bf16 or int8); empty where that is not known.
    """

    name: str
    kind: str
    rounds_s: tuple[float, ...]
    output: str = ""
    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    calls: float = 1
    flop: int | None = None
    precision: str = ""

    @property
    def label(self) -> str:
        """What people find it by: the tensor it makes, or else its own name."""
        return self.output or self.name

    @property
    def median_s(self) -> float:
        """Its seconds in one call."""
        return statistics.median(self.rounds_s)

    @property
    def spread_s(self) -> float:
        """The interquartile range over rounds."""
        return spread_s(self.rounds_s)


@dataclass(frozen=True)
class Event:
    """An operator that ran once: its number in the profile, and seconds since its call began."""

    operator: int
    start_s: float
    took_s: float


@dataclass(frozen=True)
class Profile:
    """What the rounds of one call took, as a whole and by operator.

    Attributes:
        operators: in the order in which they first ran.
        calls_s: seconds of each round's call, with the runtime's profiler on.
        plain_s: seconds of the same call in a process without it, in turns with the others; empty if none was asked.
        events: of each round.
        photos: of one call.
    """

    operators: tuple[Operator, ...]
    calls_s: tuple[float, ...]
    plain_s: tuple[float, ...] = ()
    events: tuple[tuple[Event, ...], ...] = ()
    photos: int = 1

    @property
    def call_s(self) -> float:
        """The median of a call, with the profiler on."""
        return statistics.median(self.calls_s)

    @property
    def plain_call_s(self) -> float | None:
        """The median of a call without a profiler."""
        return statistics.median(self.plain_s) if self.plain_s else None

    @property
    def outside_s(self) -> float:
        """The median of what a call takes beside its operators: decoding, copies, Python, the runtime itself."""
        sums = (sum(operator.rounds_s[n] for operator in self.operators) for n in range(len(self.calls_s)))
        return statistics.median(call_s - inside_s for call_s, inside_s in zip(self.calls_s, sums, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return JSON types; the events are for the trace, and left out."""
        operators = [asdict(operator) | {"median_s": operator.median_s} for operator in self.operators]
        return {
            "photos": self.photos,
            "call_s": self.call_s,
            "plain_call_s": self.plain_call_s,
            "outside_s": self.outside_s,
            "calls_s": self.calls_s,
            "plain_s": self.plain_s,
            "operators": operators,
        }


def spread_s(values_s: Sequence[float]) -> float:
    """Return the interquartile range, or 0 of a single value."""
    if len(values_s) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values_s, n=4, method="inclusive")
    return high - low


def read_profile(
    rows: Mapping[str, Any], described: Iterable[Mapping[str, Any]], plain_s: Sequence[float], photos: int
) -> Profile:
    """Make a profile of a worker's rows.

    Args:
        rows: the reply of `worker.py`, with `rounds`.
        described: for each of its operators the fields of `Operator` that are known; `flop` is of a single occurrence.
        plain_s: seconds of the calls without a profiler.
        photos: of one call.
    """
    rounds = rows["rounds"]
    events = tuple(tuple(Event(int(n), start / 1e6, took / 1e6) for n, start, took in r["events"]) for r in rounds)
    known = list(described)
    took_s = [[0.0] * len(rounds) for _ in known]
    calls = [0] * len(known)
    for number, of_round in enumerate(events):
        for event in of_round:
            took_s[event.operator][number] += event.took_s
            calls[event.operator] += 1
    operators = []
    for fields, seconds, count in zip(known, took_s, calls, strict=True):
        flop = None if fields["flop"] is None else round(fields["flop"] * count / len(rounds))
        operators.append(Operator(**{**fields, "flop": flop}, rounds_s=tuple(seconds), calls=count / len(rounds)))
    return Profile(tuple(operators), tuple(r["seconds"] for r in rounds), tuple(plain_s), events, photos)
