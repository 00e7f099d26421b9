"""Energy of the CPU's packages by RAPL's counters, which are read before and after timed calls, and never within them.

Source: Linux, Documentation/power/powercap/powercap.rst. Counters that cannot be read give no energy: it is never
estimated. A package's counter holds all that runs on it, this process or another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from midas_bench.cpu import kernel_text

POWERCAP = Path("/sys/class/powercap")
MICRO = 1e-6


@dataclass(frozen=True)
class Package:
    """A CPU package with a counter.

    Attributes:
        energy_uj: the file of the counter, in microjoules.
        range_uj: where the counter starts again from 0.
    """

    energy_uj: Path
    range_uj: int


@cache
def packages(root: Path = POWERCAP) -> tuple[Package, ...]:
    """Return the machine's packages; none where a counter is missing or not ours to read.

    The parts of a package, such as its cores, are in its own counter, and so is the package in that of the platform.
    """
    zones = [
        zone for zone in sorted(root.glob("intel-rapl:*")) if (kernel_text(zone / "name") or "").startswith("package")
    ]
    ranges_uj = [_number(zone / "max_energy_range_uj") for zone in zones]
    counted = tuple(
        Package(zone / "energy_uj", range_uj) for zone, range_uj in zip(zones, ranges_uj, strict=True) if range_uj
    )
    return counted if len(counted) == len(zones) and read_uj(counted) else ()


def read_uj(of: Sequence[Package]) -> tuple[int, ...] | None:
    """Read the counters; None without any, or where one cannot be read: a sum over the others would be too low."""
    counts = [_number(package.energy_uj) for package in of]
    return tuple(count for count in counts if count is not None) if counts and None not in counts else None


def joules(of: Sequence[Package], before_uj: Sequence[int] | None, after_uj: Sequence[int] | None) -> float | None:
    """Return the energy between two readings; None where one of them is missing.

    A counter that is lower afterwards has started again once. It takes minutes to do so, and a visit takes seconds.
    """
    if before_uj is None or after_uj is None:
        return None
    passed_uj = (
        after - before + (package.range_uj if after < before else 0)
        for package, before, after in zip(of, before_uj, after_uj, strict=True)
    )
    return sum(passed_uj) * MICRO


def _number(path: Path) -> int | None:
    text = kernel_text(path) or ""
    return int(text) if text.isdecimal() and text.isascii() else None
