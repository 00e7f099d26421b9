"""How a run goes through its cells: in passes, those that are compared side by side, until a budget is spent.

All cells of one backend in a row would charge to that backend whatever else the machine did meanwhile. So a pass visits
every cell briefly; cells that differ in their backend alone follow each other directly, in an order that is drawn anew;
and drift or a disturbance meets all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any

from midas_bench.measure.noise_probe import NoiseReading, combined
from midas_bench.results.kinds import cell_info
from midas_bench.results.passes import ENOUGH

LEAST_PASSES = 2
"""Fewer tell nothing of what differs between them."""

SETTLED = 0.03
"""Half the width of a price's interval, relative to the price, below which more passes are not worth their time."""

VISIT_S = 0.15
"""What a visit fills with rounds: one of the slow cells, a dozen of the fast."""

WARM_UP_BELOW_S = 0.3
"""A call that is shorter is made once untimed in each visit: the cell before it left the caches to something else.
Longer calls lose less than the spread of their rounds."""

OWN_SHARE = 1 / 3
"""Of the time after the first passes, what cells get that have processes of their own: the headlines rest on passes."""

OVERRUN = 0.05
"""Share of the budget by which its end may be missed: a pass that would end later is not begun."""


def drawn_order(groups: Mapping[Hashable, Sequence[str]], seed: int, number: int) -> list[list[str]]:
    """Return the cells of pass `number` in groups of those that are compared: groups and members each shuffled."""
    shuffle = random.Random(f"{seed} {number}")
    drawn = [shuffle.sample(cells, len(cells)) for cells in groups.values()]
    shuffle.shuffle(drawn)
    return drawn


@dataclass
class PassBudget:
    """The time of a run's cells, and whether it allows another pass.

    Attributes:
        budget_s: what they may take.
        clock: monotonic seconds.
        started_s: when the first cell began, by the clock; earlier by what a resumed run took before.
    """

    budget_s: float
    clock: Callable[[], float]
    started_s: float

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first cell."""
        return self.clock() - self.started_s

    @property
    def left_s(self) -> float:
        """Seconds until the budget is spent."""
        return self.budget_s - self.elapsed_s

    def allows(self, work_s: float) -> bool:
        """Tell whether work of so many seconds would end in time."""
        return self.elapsed_s + work_s <= self.budget_s * (1 + OVERRUN)


def whole_passes_fit(made: int, left_s: float, whole_s: float) -> bool:
    """Tell whether passes over all cells will be enough for intervals; else later ones keep to the answers' cells.

    Args:
        made: passes so far.
        left_s: of the budget.
        whole_s: what a pass over all cells takes.
    """
    return max(1, ENOUGH - made) * whole_s <= left_s


def another_pass(made: int, budget: PassBudget, pass_s: float, price: float | None) -> bool:
    """Decide whether a run goes on after so many passes.

    Args:
        made: passes so far.
        budget: of the run.
        pass_s: what the last pass took.
        price: how far the least certain price may be off, as `recommendations.widest_price` tells.
    """
    if made < LEAST_PASSES:
        return True
    return budget.allows(pass_s) and (made < ENOUGH or price is None or price > SETTLED)


def thoroughness(left_s: float, expected_s: float, slowness: float, pass_s: float) -> float:
    """Return the share of their usual processes and blocks that cells get which have processes of their own.

    `OWN_SHARE` of the time that is left once the least passes are paid for goes to them, the rest to further passes.

    Args:
        left_s: of the budget.
        expected_s: what these cells usually take.
        slowness: what those that are finished took, over what was expected.
        pass_s: what a pass takes.
    """
    if expected_s <= 0:
        return 1.0
    for_them_s = max(0.0, left_s - (LEAST_PASSES - 1) * pass_s) * OWN_SHARE
    return min(1.0, for_them_s / (expected_s * slowness))


def merged_info(visits: Sequence[Mapping[str, Any]], rounds: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return the `extra_info` of a cell from that of its visits, and the raw rounds of each, in seconds per call.

    What describes the cell is that of the first visit, which alone checked the output; what is measured beside the
    rounds is a mean over visits; and whatever follows from the rounds follows from all of them.
    """
    info = {**visits[0], "noise": merged_noise([visit.get("noise", {}) for visit in visits])}
    if all("cpu_s" in visit for visit in visits):
        info["cpu_s"] = fmean(visit["cpu_s"] for visit in visits)
    energies_j = [visit.get("energy_by_pass_j") for visit in visits]
    if all(energies_j):
        info["energy_by_pass_j"] = [joules for of_visit in energies_j for joules in of_visit or ()]
    else:
        info.pop("energy_by_pass_j", None)
    if len(visits) > 1:
        info["rounds_by_pass"] = [len(of_visit) for of_visit in rounds]
    return cell_info(info).to_extra_info([second for of_visit in rounds for second in of_visit])


def merged_noise(noises: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what disturbed a cell over its visits; it is noisy where at least half of them were disturbed."""
    means = {name: fmean(noise[name] for noise in noises) for name in noises[0] if name.endswith("_per_call")}
    figures = [field.name for field in fields(NoiseReading)]
    readings = [NoiseReading(*(noise[name] for name in figures)) for noise in noises if "noisy" in noise]
    if not readings:
        return means
    disturbed = [number for number, noise in enumerate(noises, start=1) if noise.get("noisy")]
    merged: dict[str, Any] = combined(readings).to_json() | {"noisy": 2 * len(disturbed) >= len(noises)} | means
    return merged | {"disturbed_passes": disturbed} if len(noises) > 1 else merged
