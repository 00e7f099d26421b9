"""Find what to deploy on this machine, within a time: set-ups take turns in passes, and the slow ones leave the race.

Every candidate has a process of its own, which is opened once and lives until the candidate leaves. A pass visits each
of them briefly, in a drawn order, so that drift and disturbance meet all of them; the noise probe runs around each
visit. The first passes are for each backend, with one photo on all threads and as a stream (photos side by side). Those
that stay are joined by their batches and smaller thread counts. After some more passes the best go on until the budget
ends. What there is too little time or memory for is listed with the reason: the least promising, for they come last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from midas_bench import scene_photos
from midas_bench.depth.backends import registry
from midas_bench.depth.config import Resolved
from midas_bench.errors import UserError, printable
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.measure.tune_budget import Budget, BudgetProgress
from midas_bench.measure.tune_candidates import first_looks, further_looks, opened
from midas_bench.measure.tune_depth import closeness
from midas_bench.measure.tune_race import Race
from midas_bench.measure.worker_client import WorkerDiedError
from midas_bench.processes import ProcessDiedError, ask
from midas_bench.results.passes import ENOUGH
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import Closeness, Trial, setup_name, survivors
from midas_bench.scene_photos import Photo

LOOK_PASSES = 3
"""Passes after which some leave; the median of three is not moved far by one that is disturbed."""
MOST_PASSES = 40
LEADERS = 4
"""Fastest exact set-up and fastest of reduced precision, for latency and for throughput each."""
GRAPHS_SHARE = 0.5
"""The share of the budget by which the last graph is made."""
LOOK_SHARE, FIELD_SHARE = 0.5, 0.75
"""The share of the time after the graphs by which the first passes, and those of all set-ups, are expected to end."""
OPENING_SHARE = 0.25
"""The share of the budget that one process may take for opening and its first calls."""
GRAPH_S = 20.0
"""Less time is not begun with: making one took 17 to 46 s of CPU time on a virtual core."""
OPENING_S, PROBE_S = 3.0, 0.4
"""What opening a process, and the probe around a visit, are taken to need before any was seen."""
CALLS = 3
MEMORY_SHARE = 0.8
"""The share of the available memory that a process may be expected to need."""

TOO_LATE = "the budget ended before its turn; a larger --budget includes it"
INTERRUPTED = "interrupted before its turn"
ITS_ERROR = "midas_bench.errors.UserError: "
"""What precedes the last words of a process that ended with one."""


@dataclass(frozen=True)
class TunePlan:
    """What is to be tried.

    Attributes:
        config: weights, cache and calibration of all of them.
        backends: names of the registry that can run here, the most promising first.
        threads: counts, the largest first.
        photos: of one scene.
        budget_s: seconds that all of it may take.
    """

    config: Resolved
    backends: tuple[str, ...]
    threads: tuple[int, ...]
    photos: Sequence[Photo]
    budget_s: float


@dataclass(frozen=True)
class Tuning:
    """What a search measured.

    Attributes:
        trials: every set-up that was measured.
        left_out: what was not, or not to the end, by name, and why; none of it is among the trials.
        elapsed_s: how long it took.
        passes: how many there were.
        opening_s: seconds of it that went into opening processes.
        graphs_s: likewise into making graphs, which is done once.
        interrupted: whether the user ended it early.
    """

    trials: tuple[Trial, ...]
    left_out: dict[str, str]
    elapsed_s: float
    passes: int = 0
    opening_s: float = 0.0
    graphs_s: float = 0.0
    interrupted: bool = False


def tune(plan: TunePlan, progress: BudgetProgress, now: Callable[[], float] = time.monotonic) -> Tuning:
    """Measure until the budget ends, or Ctrl-C; what the next step needs is estimated from what was seen before.

    Raises:
        UserError: the cache cannot be written, or the weights are not usable: then no backend would do better.
    """
    return _Search(plan, Budget(plan.budget_s, progress, now)).run()


def peak_of_new_process(
    config: Resolved, photos: Sequence[str], timeout_s: float, is_stream: bool = False
) -> int | None:
    """Return the peak of resident bytes of a new process that makes some calls on photos (paths); None if it dies."""
    request: dict[str, Any] = {"task": "memory", "config": config.to_json(), "photos": list(photos), "calls": CALLS}
    # what cannot be had does not end a search
    with suppress(ProcessDiedError, UserError):
        peak_bytes: int | None = ask(MODULE, request | {"stream": is_stream}, timeout_s)["peak_rss_bytes"]
        return peak_bytes
    return None


class _Search:
    def __init__(self, plan: TunePlan, budget: Budget) -> None:
        self._plan = plan
        self._budget = budget
        self._race = Race(budget)
        self._closeness: dict[str, Closeness] = {}
        self._left_out: dict[str, str] = {}
        self._late: list[Setup] = []

    def run(self) -> Tuning:
        interrupted = False
        try:
            self._search()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self._race.close()
        return Tuning(
            trials=tuple(self._trials()),
            left_out=self._left_out | self._race.lost | self._named_late(INTERRUPTED if interrupted else TOO_LATE),
            elapsed_s=self._budget.elapsed_s,
            passes=self._race.passes,
            opening_s=sum(seconds for _, seconds in self._budget.opening_s),
            graphs_s=self._budget.graphs_s,
            interrupted=interrupted,
        )

    def _search(self) -> None:
        race, threads = self._race, self._plan.threads
        self._admit(first_looks([name for name in self._plan.backends if self._has_graph(name)], threads), LOOK_SHARE)
        self._compare_depth()
        if not race.take_turns(LOOK_PASSES):
            # nobody leaves because of one or two passes
            return
        stay = survivors(self._trials())
        race.keep([trial.setup for trial in stay])
        already = len(race.seen)
        self._admit(further_looks(list(dict.fromkeys(trial.setup.backend for trial in stay)), threads), FIELD_SHARE)
        if len(race.seen) > already:
            if not race.take_turns(LOOK_PASSES):
                return
            stay = survivors([trial for trial in self._trials() if trial.finalist])
        race.keep(self._affordable(stay))
        self._fill_in_memory()
        race.take_turns(MOST_PASSES)

    def _trials(self) -> list[Trial]:
        return self._race.trials(self._closeness)

    def _config(self, setup: Setup) -> Resolved:
        return replace(self._plan.config, backend=setup.backend, threads=setup.threads or self._plan.threads[0])

    def _photos(self, setup: Setup) -> list[str]:
        return scene_photos.batch(self._plan.photos, setup.batch_size).paths

    def _has_graph(self, name: str) -> bool:
        """Make the backend's graph if need be, in a process that can be ended with the budget."""
        config = replace(self._plan.config, backend=name)
        if registry.is_prepared(name, config.weights, Path(config.cache_dir), config.calibration):
            return True
        left_s = GRAPHS_SHARE * self._plan.budget_s - self._budget.elapsed_s
        if left_s < GRAPH_S:
            self._left_out[name] = "its graph is not made yet, and too little time was left; a larger --budget makes it"
            return False
        self._budget.report(f"making the graph for {name}: once, up to a minute")
        try:
            with self._budget.making_graph():
                ask(MODULE, {"task": "graph", "config": config.to_json()}, left_s)
        except UserError as error:
            # one about a backend leaves the others a chance
            if error.thing == config.weights.path or Path(error.thing).is_relative_to(config.cache_dir):
                raise
            self._left_out[name] = error.why
        except ProcessDiedError as error:
            self._left_out[name] = f"its graph could not be made: {error}"
        return name not in self._left_out

    def _admit(self, setups: Iterable[Setup], share: float) -> None:
        """Open, from the first on, what time and memory suffice for; the first passes are included."""
        for setup in setups:
            if setup.backend in self._left_out:
                continue
            visits_s = [candidate.visit_s for candidate in self._race.running]
            visits_s.append(max(visits_s, default=1.0))
            needed_s = self._budget.expected_opening_s(setup.backend, OPENING_S) + LOOK_PASSES * sum(visits_s)
            if needed_s > self._budget.left_s(share):
                self._late.append(setup)
            elif self._expected_bytes(setup.backend) > MEMORY_SHARE * psutil.virtual_memory().available:
                self._left_out[setup_name(setup)] = "too little memory was left to measure it"
            else:
                self._open(setup)

    def _expected_bytes(self, backend: str) -> int:
        peaks = {c.setup.backend: c.peak_bytes or 0 for c in self._race.seen}
        return peaks.get(backend, max(peaks.values(), default=0))

    def _open(self, setup: Setup) -> None:
        name = setup_name(setup)
        self._budget.report(f"{name}: opening it")
        time_out = self._budget.time_out(OPENING_SHARE * self._plan.budget_s)
        try:
            with self._budget.opening(setup.backend):
                self._race.join(opened(setup, self._config(setup), self._photos(setup), time_out, PROBE_S))
        except WorkerDiedError as error:
            self._raise_what_all_share(error.reason)
            is_known = any(candidate.setup.backend == setup.backend for candidate in self._race.seen)
            self._left_out[name if is_known else setup.backend] = error.reason.removeprefix(ITS_ERROR)

    def _raise_what_all_share(self, last_words: str) -> None:
        """Raise an error about the weights or the cache, which no other backend would do better with."""
        text = last_words.removeprefix(ITS_ERROR)
        for place in filter(None, (self._plan.config.weights.path, self._plan.config.cache_dir)):
            if text != last_words and text.startswith(printable(place)):
                thing, _, why = text.partition(": ")
                reason, _, next_step = why.partition("; ")
                raise UserError(thing, reason, next_step)

    def _compare_depth(self) -> None:
        self._budget.report("comparing the depth of reduced precision with an exact one")
        may_compute = self._budget.left_s(LOOK_SHARE) > GRAPH_S
        [photo] = scene_photos.batch(self._plan.photos, 1).photos
        time_out = self._budget.time_out()
        self._closeness = closeness(self._race, self._plan.config, photo, time_out, may_compute)

    def _affordable(self, stay: Sequence[Trial]) -> list[Setup]:
        """Return as many, from the first on, as there is time for enough passes of; the leaders in any case."""
        lacking = max(1, ENOUGH - (self._race.passes - self._race.field_since))
        visits_s = {candidate.setup: candidate.visit_s for candidate in self._race.running}
        left_s = self._budget.left_s()
        kept: list[Setup] = []
        for trial in stay:
            left_s -= lacking * visits_s[trial.setup]
            if left_s >= 0 or len(kept) < LEADERS:
                kept.append(trial.setup)
        return kept

    def _fill_in_memory(self) -> None:
        """Measure the finalists' memory in processes of their own where the system keeps no mark of a peak."""
        for candidate in self._race.running:
            setup = candidate.setup
            enough_time = self._budget.left_s() > 2 * self._budget.expected_opening_s(setup.backend, OPENING_S)
            if candidate.peak_bytes is None and enough_time:
                self._budget.report(f"{setup_name(setup)}: measuring its memory")
                candidate.peak_bytes = peak_of_new_process(
                    self._config(setup), self._photos(setup), self._budget.time_out()(), setup.stream_photos > 0
                )

    def _named_late(self, why: str) -> dict[str, str]:
        """Name what there was no time for: a backend as a whole where none of it was measured, and for `why`."""
        named = {name.partition(" ")[0] for name in (*self._left_out, *self._race.lost)}
        named |= {candidate.setup.backend for candidate in self._race.seen if candidate.readings}
        unvisited = [candidate.setup for candidate in self._race.seen if not candidate.readings]
        late = {
            setup_name(setup): "too little time was left to measure it"
            for setup in (*self._late, *unvisited)
            if setup.backend in named and setup.backend not in self._left_out
        }
        return late | {backend: why for backend in self._plan.backends if backend not in named}
