"""Shares of counts, with exact intervals: how often did something happen?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scipy import stats


@dataclass(frozen=True)
class Share:
    """A count, its total, and the exact interval of their ratio.

    Source: C. J. Clopper and E. S. Pearson, Biometrika 26, 1934.
    """

    count: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the 95 % interval."""
        ends = stats.binomtest(self.count, self.total).proportion_ci(0.95, "exact")
        return float(ends.low), float(ends.high)

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        low, high = self.interval
        return {"count": self.count, "of": self.total, "share": self.count / self.total, "low": low, "high": high}
