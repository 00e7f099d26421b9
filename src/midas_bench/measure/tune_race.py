"""The race of a search: passes that visit each candidate briefly, with the noise probe around every visit."""

from __future__ import annotations

import random
from collections.abc import Collection

from midas_bench.depth.backends import registry
from midas_bench.measure.noise_probe import IDLE_S, NoiseProbe
from midas_bench.measure.tune_budget import Budget
from midas_bench.measure.tune_candidates import Candidate
from midas_bench.measure.worker_client import WorkerDiedError
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import Closeness, Trial, setup_name

SEED = 3


class Race:
    """Candidates that take turns.

    Attributes:
        running: those that are still in it, in the order in which they were opened.
        seen: these and those that left.
        lost: those that died, by name, and why; nothing else of them is kept.
        passes: how many were begun.
        field_since: the passes that were over when the last candidates joined.
    """

    def __init__(self, budget: Budget) -> None:
        self.running: list[Candidate] = []
        self.seen: list[Candidate] = []
        self.lost: dict[str, str] = {}
        self.passes = 0
        self.field_since = 0
        self._budget = budget
        self._probe = NoiseProbe()
        self._shuffle = random.Random(SEED)

    def join(self, candidate: Candidate) -> None:
        """Take in a candidate; from now on the passes count that it takes part in."""
        self.running.append(candidate)
        self.seen.append(candidate)
        self.field_since = self.passes

    def take_turns(self, passes: int) -> bool:
        """Make so many passes, and tell whether the time sufficed for all of them; none is begun that would not end."""
        for _ in range(passes):
            needed_s = sum(candidate.visit_s for candidate in self.running)
            if not self.running or (self.passes and needed_s > self._budget.left_s()):
                return False
            if not self._pass(needed_s):
                return False
        return True

    def _pass(self, needed_s: float) -> bool:
        """Visit each candidate once, in a drawn order; the most promising first where time will not do for all."""
        self.passes += 1
        self._budget.report(f"pass {self.passes}: {len(self.running)} set-ups take turns")
        fits = needed_s <= self._budget.left_s()
        order = self._shuffle.sample(self.running, len(self.running)) if fits else list(self.running)
        before = self._probe.read(IDLE_S)
        for place, candidate in enumerate(order):
            begun_s = self._budget.now()
            if candidate.visit_s > self._budget.left_s() and (place or self.passes > 1):
                return False
            try:
                calls_s = candidate.visit(self._budget.time_out())
            except WorkerDiedError as error:
                if candidate.readings and self._budget.left_s() <= 0:
                    # killed because the budget ended: what was measured of it holds
                    return False
                self.lose(candidate, error.reason)
                before = self._probe.read(IDLE_S)
                continue
            after = self._probe.read(IDLE_S)
            candidate.readings.append((self.passes, calls_s, before, after))
            candidate.visit_s = self._budget.now() - begun_s
            before = after
        return True

    def lose(self, candidate: Candidate, reason: str) -> None:
        """Take a candidate that died out of the race and of the results."""
        self.lost[setup_name(candidate.setup)] = reason
        self.running.remove(candidate)
        self.seen.remove(candidate)
        candidate.close()

    def keep(self, setups: Collection[Setup]) -> None:
        """End the processes of all others; what was measured of them stays."""
        for candidate in self.running:
            if candidate.setup not in setups:
                candidate.close()
        self.running = [candidate for candidate in self.running if candidate.setup in setups]

    def close(self) -> None:
        """End all processes."""
        for candidate in self.running:
            candidate.close()

    def trials(self, closeness: dict[str, Closeness]) -> list[Trial]:
        """Return what was measured of each candidate that was visited.

        Args:
            closeness: by backend, of depth in reduced precision.
        """
        trials = []
        for candidate in self.seen:
            visits = candidate.visits(self._probe.best)
            # passes that all finalists share
            of_field = tuple(visit for visit in visits if visit.number > self.field_since)
            earlier = visits[: len(visits) - len(of_field)] if of_field else ()
            if visits:
                exact = registry.find(candidate.setup.backend).exact
                close = None if exact else closeness.get(candidate.setup.backend)
                peak, finalist = candidate.peak_bytes, candidate in self.running
                trials.append(Trial(candidate.setup, exact, of_field or visits, peak, finalist, earlier, close))
        return trials
