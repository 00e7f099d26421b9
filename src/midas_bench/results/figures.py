"""One cell -> the figures that it is about: median time, throughput, peak memory or start-up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from midas_bench.results.intervals import Interval
from midas_bench.results.kinds import Memory, Startup
from midas_bench.results.load_records import Load
from midas_bench.results.runs import TIMED, Record

TIME = "median time"
THROUGHPUT = "throughput"
PEAK = "peak memory"
STARTUP = "start-up"


@dataclass(frozen=True)
class Figure:
    """One number of one cell.

    Attributes:
        name: median time, throughput, peak memory or start-up.
        unit: s, photos/s or bytes.
        value: above zero.
        interval: of the value, with finite ends; None where none is known.
    """

    name: str
    unit: str
    value: float
    interval: Interval | None = None


def time_s(record: Record) -> float | None:
    """Return the median seconds of a call; None where the rounds time something else."""
    return record.times.median_s if record.kind in TIMED else None


def peak_bytes(record: Record) -> float | None:
    """Return the highest resident memory of a process that ran one cell, and nothing else."""
    return float(record.info.peak_rss_bytes) if isinstance(record.info, Memory) else None


def startup_s(record: Record) -> float | None:
    """Return the seconds from a process's start to its first heat map: the sum of its phases' means."""
    if not isinstance(record.info, Startup):
        return None
    phases = [values for phase, values in record.info.phases_s.items() if phase != "steady" and values]
    return sum(sum(values) / len(values) for values in phases) if phases else None


def figures(record: Record) -> list[Figure]:
    """Return what a cell tells in numbers.

    Left out are a time of 0 s, which is below the timer's resolution, and the throughput of a run of LoadGen that is
    not valid.
    """
    interval = record.times.interval if record.kind in TIMED else None
    invalid = isinstance(record.info, Load) and record.info.judged == "not valid"
    rate = None if invalid else record.images_per_second
    rates = interval.inverted().mapped(rate * record.times.median_s) if interval and rate else None
    known = (
        (TIME, "s", time_s(record), interval),
        (THROUGHPUT, "photos/s", rate, rates),
        (PEAK, "bytes", peak_bytes(record), None),
        (STARTUP, "s", startup_s(record), None),
    )
    return [Figure(name, unit, value, _finite(spread)) for name, unit, value, spread in known if value]


def _finite(interval: Interval | None) -> Interval | None:
    return interval if interval and math.isfinite(interval.low) and math.isfinite(interval.high) else None
