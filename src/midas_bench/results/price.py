"""What an hour of a machine costs, and its throughput -> the price of a million photos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from midas_bench.errors import UserError
from midas_bench.results.intervals import Interval

FLAG = "--price-per-hour"
MILLION = 1_000_000
SECONDS_PER_HOUR = 3600


def per_million_photos(images_per_second: Interval, price_per_hour: float) -> Interval:
    """Return the price of a million photos, in the currency of the price per hour.

    It is `price_per_hour / 3600 / images_per_second * 1,000,000`: the machine is paid for the seconds that the photos
    take, and is never idle in them. The ends are those of the throughput, so the price itself counts as exact.
    """
    return images_per_second.inverted().mapped(price_per_hour / SECONDS_PER_HOUR * MILLION)


@dataclass(frozen=True)
class PricedMachine:
    """What a price may name a machine by: its label, its fingerprint, or a part of its CPU's name."""

    label: str
    kind: str
    cpu: str

    def is_named(self, name: str) -> bool:
        """Tell whether a name means this machine; capitals do not matter in the CPU's name."""
        return name in (self.label, self.kind) or name.casefold() in self.cpu.casefold()


@dataclass(frozen=True)
class Prices:
    """What an hour of each machine costs, in any one currency.

    Attributes:
        by_name: by what names a machine.
        other: of machines that no name means; None where they have no price.
    """

    by_name: Mapping[str, float] = field(default_factory=dict)
    other: float | None = None

    def of(self, machine: PricedMachine) -> float | None:
        """Return a machine's price per hour: by its label or fingerprint, else by the longest part of its CPU's name.

        None where it has none.
        """
        named = [name for name in self.by_name if machine.is_named(name)]
        exact = [name for name in (machine.label, machine.kind) if name in named]
        best = next(iter([*exact, *sorted(named, key=len, reverse=True)]), None)
        return self.other if best is None else self.by_name[best]

    def check(self, machines: Iterable[PricedMachine]) -> None:
        """Refuse a name that means none of the machines: it may be a slip, and the price would go unused.

        Raises:
            UserError: there is such a name.
        """
        known = list(machines)
        for name in self.by_name:
            if not any(machine.is_named(name) for machine in known):
                there = "; ".join(f"{machine.cpu} ({machine.kind})" for machine in known)
                raise UserError(
                    f"{FLAG} {name}", f"means none of the machines here: {there}",
                    "give a label, a fingerprint or a part of a CPU's name",
                )  # fmt: skip
