"""A first look at backends: each with one photo on all threads, in turns, to find those that are worth a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from midas_bench.depth.backends import registry
from midas_bench.depth.config import Resolved, make_graph
from midas_bench.errors import UserError
from midas_bench.measure.tune import ITS_ERROR, LOOK_PASSES, OPENING_S, PROBE_S
from midas_bench.measure.tune_budget import Budget, BudgetProgress
from midas_bench.measure.tune_candidates import by_promise, opened
from midas_bench.measure.tune_race import Race
from midas_bench.measure.worker_client import WorkerDiedError
from midas_bench.results import units
from midas_bench.results.ranking import Setup

BUDGET_S = 60.0
OTHERS = 2
"""How many stay beside the fastest exact backend, which the fidelity of reduced precision is seen beside."""


@dataclass(frozen=True)
class FirstLook:
    """What was found.

    Attributes:
        kept: the fastest exact backend and the fastest others, the fastest first.
        left_out: of each other backend, its name and why.
    """

    kept: tuple[str, ...]
    left_out: tuple[str, ...]


def able_backends(own_model: bool) -> tuple[str, ...]:
    """Return the backends that can run here, the most promising first; what compiles for long is no first look."""
    able = registry.select(["all"], own_model)
    return by_promise(name for name in able if not registry.find(name).compiles)


def first_look(
    config: Resolved,
    backends: Sequence[str],
    photo: str,
    progress: BudgetProgress,
    say: Callable[[str], object],
    budget_s: float = BUDGET_S,
    now: Callable[[], float] = time.monotonic,
) -> FirstLook:
    """Time backends in turns, within the budget; graphs that are not made yet are made before it begins.

    Args:
        config: weights, threads, cache and calibration of all of them.
        backends: names of the registry, the most promising first.
        photo: path.
        progress: hears what is being done, and the seconds that are left.
        say: hears of graphs that are made.
        budget_s: seconds for all of them.
        now: the clock.

    Raises:
        UserError: none could be timed.
    """
    left_out: dict[str, str] = {}
    for name in backends:
        try:
            make_graph(replace(config, backend=name), say)
        except UserError as error:
            left_out[name] = error.why
    budget = Budget(budget_s, progress, now)
    race = Race(budget)
    try:
        for name in backends:
            if name in left_out:
                continue
            visits_s = [candidate.visit_s for candidate in race.running]
            needed_s = budget.expected_opening_s(name, OPENING_S) + LOOK_PASSES * (sum(visits_s) + 1)
            if needed_s > budget.left_s():
                left_out[name] = "the first look had no time for it"
                continue
            budget.report(f"first look: opening {name}")
            setup = Setup(name, 1, config.threads)
            try:
                with budget.opening(name):
                    race.join(opened(setup, replace(config, backend=name), [photo], budget.time_out(), PROBE_S))
            except WorkerDiedError as error:
                left_out[name] = error.reason.removeprefix(ITS_ERROR)
        race.take_turns(LOOK_PASSES)
        calls = {trial.setup.backend: trial.call.estimate for trial in race.trials({}) if trial.call}
    finally:
        race.close()
    left_out |= {name.partition(" ")[0]: reason for name, reason in race.lost.items()}
    return _fastest(calls, left_out)


def _fastest(calls_s: dict[str, float], left_out: dict[str, str]) -> FirstLook:
    ranked = sorted(calls_s, key=calls_s.__getitem__)
    if not ranked:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise UserError("--backend fast", f"no backend could be timed ({reasons})", "name backends instead")
    exact = [name for name in ranked if registry.find(name).exact][:1]
    others = [name for name in ranked if name not in exact][: OTHERS + 1 - len(exact)]
    kept = [name for name in ranked if name in (*exact, *others)]
    fastest = units.seconds(calls_s[kept[0]])
    slower = {
        name: f"{units.seconds(value)} per photo in a first look, where {kept[0]} took {fastest}"
        for name, value in calls_s.items()
        if name not in kept
    }
    return FirstLook(tuple(kept), tuple(f"backend {name}: {why}" for name, why in (slower | left_out).items()))
