"""Find the largest rate that passes: by steps up until one fails, then by bisection."""

from __future__ import annotations

from collections.abc import Callable

STEP = 1.25
PRECISION = 0.05


def largest_rate(passes: Callable[[float], bool], start: float, goes_on: Callable[[int], bool]) -> float | None:
    """Return the largest rate that was seen to pass, or None if none did.

    Args:
        passes: tries a rate.
        start: the first one.
        goes_on: takes the number of rates tried, and returns whether there is time for another.
    """
    low, high = 0.0, float("inf")
    rate, tried = start, 0
    while goes_on(tried) and (high == float("inf") or high - low > PRECISION * high):
        tried += 1
        if passes(rate):
            low = rate
        else:
            high = rate
        rate = low * STEP if high == float("inf") else (low + high) / 2
    return low or None
