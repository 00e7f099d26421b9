"""The one formatter: SI values -> what people read."""

from __future__ import annotations

import math

from midas_bench.results.intervals import Interval

MIB = 1024 * 1024
NOTHING = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
UNITS_OF_TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


APART = 20
"""Times that one end of an interval is the other, from which on it tells nothing about a time."""


def digits(value: float, significant: int = 3) -> str:
    """Return a value with some significant digits, never in powers of ten between 0.0001 and a million."""
    rounded = float(f"{value:.{significant}g}")
    if rounded == 0:
        return "0"
    if not 1e-4 <= abs(rounded) < 1e6:
        return f"{value:.{significant}g}"
    return f"{rounded:.{max(0, significant - 1 - math.floor(math.log10(abs(rounded))))}f}"


def time_unit(value_s: float) -> tuple[float, str]:
    """Return the unit that suits a time in seconds: its size in seconds, and its name."""
    return next(((size, name) for size, name in UNITS_OF_TIME if value_s >= size), UNITS_OF_TIME[-1 if value_s else 0])


def seconds(value_s: float | None) -> str:
    """Return such as `60.8 ms`."""
    if value_s is None:
        return NOTHING
    size, name = time_unit(value_s)
    return f"{digits(value_s / size)} {name}"


def duration(value_s: float) -> str:
    """Return such as `2 min 05 s`."""
    minutes, rest = divmod(round(value_s), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def mib(value_bytes: float | None) -> str:
    """Return such as `312 MiB`."""
    return NOTHING if value_bytes is None else f"{digits(value_bytes / MIB)} MiB"


def gib(value_bytes: float) -> str:
    """Return such as `23.5 GiB`."""
    return f"{digits(value_bytes / MIB / 1024)} GiB"


def counted(count: int, noun: str) -> str:
    """Return such as `1 photo` or `3 photos`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def correlation(value: float) -> str:
    """Return such as `0.931`, rounded down, so that nothing but 1 is shown as 1."""
    return f"{math.floor(value * 1000) / 1000:.3f}" if value < 1 else "1"


def rate(value: float | None) -> str:
    """Return images per second, such as `19.3 images/s`."""
    return NOTHING if value is None else f"{digits(value)} images/s"


def flop_rate(value: float | None) -> str:
    """Return operations per second, such as `198 GFLOP/s`."""
    return NOTHING if value is None else f"{digits(value / 1e9)} GFLOP/s"


def times(value: float | None) -> str:
    """Return a ratio such as `1.39x`."""
    return NOTHING if value is None else f"{digits(value)}{TIMES}"


def percent(value: float | None) -> str:
    """Return a share such as `14.2 %`."""
    return NOTHING if value is None else f"{digits(100 * value)} %"


def span(interval: Interval | None, size: float = 1.0) -> str:
    """Return an interval's ends in a unit of some size, such as `59.1 to 62.6`; a dash where it has none.

    Two passes that differ much give an interval whose ends are a thousand times apart. That says nothing either.
    """
    if interval is None or interval.low == interval.high or 0 < APART * interval.low < interval.high:
        return NOTHING
    return f"{digits(interval.low / size)} to {digits(interval.high / size)}"


def with_span(text: str, interval: Interval, size: float = 1.0) -> str:
    """Return a figure and, where there is one, its interval in brackets."""
    ends = span(interval, size)
    return text if ends == NOTHING else f"{text} ({ends})"


def seconds_span(interval: Interval) -> str:
    """Return such as `60.8 ms (59.1 to 62.6)`."""
    return with_span(seconds(interval.estimate), interval, time_unit(interval.estimate)[0])


def mib_span(interval: Interval) -> str:
    """Return such as `312 MiB (310 to 314)`."""
    return with_span(mib(interval.estimate), interval, MIB)


def rate_span(interval: Interval) -> str:
    """Return such as `19.3 images/s (19.1 to 19.4)`."""
    return with_span(rate(interval.estimate), interval)


def times_span(interval: Interval) -> str:
    """Return such as `1.39x (1.35 to 1.45)`."""
    return with_span(times(interval.estimate), interval)


def percent_span(interval: Interval) -> str:
    """Return such as `14.2 % (13.8 to 14.6)`."""
    return with_span(percent(interval.estimate), interval, 0.01)


def price_span(interval: Interval) -> str:
    """Return such as `1.18 (1.16 to 1.20)`, in whatever currency the price was given."""
    return with_span(digits(interval.estimate), interval)


def joules_span(interval: Interval) -> str:
    """Return such as `2.41 J (2.38 to 2.45)`."""
    return with_span(f"{digits(interval.estimate)} J", interval)
