"""Percentiles, and None where too few values support one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PERCENTILES = (50, 90, 95, 99)


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return p50, p90, p95 and p99 (linear interpolation), each None where too few values stand behind it.

    A percentile q needs 1 / (1 - q) values, so that at least one is expected beyond it. That is 10 for p90, 20 for p95
    and 100 for p99. With fewer it would be the maximum.
    """
    enough = {q: len(values) * (100 - q) >= 100 or q == 50 for q in PERCENTILES}
    return {f"p{q}": float(np.percentile(values, q)) if enough[q] else None for q in PERCENTILES}
