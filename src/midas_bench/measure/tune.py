"""Find what to deploy on this machine, within a time: backends, threads, batches and streams take turns, few stay.

First each backend runs alone in a fresh process, which shows whether it opens and what memory it needs. Then three
rounds of interleaved calls follow, in workers started anew for each. The first takes every backend with one photo on
all threads. The second takes the survivors (`tuning.survivors`) with every thread count and batch size, and as a
stream: photos side by side, on the fewest threads each. The third takes their survivors, for longer. At last the memory
of those is measured. Set-ups without enough time or memory are listed with the reason.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from midas_bench import scene_photos
from midas_bench.cpu import allowed_cores
from midas_bench.depth.backends import registry
from midas_bench.depth.calls import long_stream_photos
from midas_bench.depth.config import Resolved, make_graph
from midas_bench.errors import UserError
from midas_bench.measure.blocks import WARM_UP_CALLS, interleaved
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.measure.worker_client import TimedCall, WorkerDiedError, WorkerSpec
from midas_bench.processes import ProcessDiedError, ask
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import Trial, leaders, survivors
from midas_bench.scene_photos import Photo

BATCH_SIZES = (1, 4)
ROUNDS = (6, 6, 20)
"""Calls of each set-up, round by round; six are the fewest that give a median an interval."""
LEAST_ROUNDS = 3
ROUND_END_SHARES = (0.6, 0.8, 0.9)
"""The share of the budget by which each round ends at the latest."""
LAST_TRY_SHARE = 0.45
"""The share of the budget after which no further backend is tried."""
OPENING_SHARE = 0.25
"""The share of the budget that one backend may take for opening and its first calls."""
CALLS = 3
MEMORY_SHARE = 0.8
"""The share of the available memory that simultaneous workers may need."""
SEED = 3

BudgetProgress = Callable[[str, float], None]
"""Takes what is being done, and the seconds that are left of the budget."""


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
        left_out: what was not, or not to the end, by name, and why.
        elapsed_s: how long it took.
    """

    trials: tuple[Trial, ...]
    left_out: dict[str, str]
    elapsed_s: float


def tune(plan: TunePlan, progress: BudgetProgress, now: Callable[[], float] = time.monotonic) -> Tuning:
    """Measure, and end about when the budget does; what a round needs is estimated from what was seen before.

    Raises:
        UserError: the cache cannot be written, or the weights are not usable: then no backend would do better.
    """
    return _Search(plan, progress, now).run()


class _Search:
    def __init__(self, plan: TunePlan, progress: BudgetProgress, now: Callable[[], float]) -> None:
        self._plan = plan
        self._now = now
        self._begun_s = now()
        self._progress = progress
        self._shuffle = random.Random(SEED)
        self._trials: dict[Setup, Trial] = {}
        self._left_out: dict[str, str] = {}
        self._open_s: dict[str, float] = {}

    def run(self) -> Tuning:
        plan = self._plan
        for name in plan.backends:
            self._try_backend(name)
        stay = self._round(0, list(self._trials))
        backends = dict.fromkeys(trial.setup.backend for trial in stay)
        stay = self._round(1, [setup for backend in backends for setup in self._setups(backend)]) or stay
        leading = [trial.setup for trial in leaders(stay)]
        setups = list(dict.fromkeys([*leading, *(trial.setup for trial in stay)]))
        last = self._round(2, setups, leading, keep_all=True) or stay
        for trial in last:
            self._trials[trial.setup] = replace(self._trials[trial.setup], finalist=True)
        for trial in last:
            if trial.peak_bytes is None and self._left_s() > 2 * self._open_s[trial.setup.backend]:
                self._report_progress(f"{_name(trial.setup)}: measuring its memory")
                self._measure_memory(trial.setup, _name(trial.setup))
        return Tuning(tuple(self._trials.values()), self._left_out, self._now() - self._begun_s)

    def _setups(self, backend: str) -> list[Setup]:
        """Return a backend with each batch size and thread count, and as a stream."""
        threads = self._plan.threads
        setups = [Setup(backend, size, count) for size in BATCH_SIZES for count in threads]
        # next to single photos, whose pipeline it uses: what comes late is left out first
        setups.insert(len(threads), Setup(backend, 1, threads[-1], stream_photos=long_stream_photos(threads[-1])))
        return setups

    def _left_s(self, share: float = 1.0) -> float:
        return share * self._plan.budget_s - (self._now() - self._begun_s)

    def _report_progress(self, text: str) -> None:
        self._progress(text, max(0.0, self._left_s()))

    def _config(self, setup: Setup) -> Resolved:
        return replace(self._plan.config, backend=setup.backend, threads=setup.threads or self._plan.threads[0])

    def _try_backend(self, name: str) -> None:
        """Make the backend's graph if need be, and run it in a process of its own."""
        if self._left_s(LAST_TRY_SHARE) <= 0:
            self._left_out[name] = "the budget ended before its turn; a larger --budget includes it"
            return
        try:
            make_graph(replace(self._plan.config, backend=name), self._report_progress)
        except UserError as error:
            self._raise_what_all_share(error)
            self._left_out[name] = error.why
            return
        self._report_progress(f"{name}: opening it and measuring its memory")
        begun_s = self._now()
        self._measure_memory(Setup(name, 1, self._plan.threads[0]), name)
        self._open_s[name] = self._now() - begun_s

    def _raise_what_all_share(self, error: Exception) -> None:
        """Raise an error about the weights or the cache; one about a backend leaves the others a chance."""
        config = self._plan.config
        if isinstance(error, UserError) and (
            error.thing == config.weights.path or Path(error.thing).is_relative_to(config.cache_dir)
        ):
            raise error

    def _measure_memory(self, setup: Setup, name: str) -> None:
        photos = scene_photos.batch(self._plan.photos, setup.batch_size).paths
        request = {"task": "memory", "config": self._config(setup).to_json(), "photos": photos, "calls": CALLS}
        request["stream"] = setup.stream_photos > 0
        try:
            reply = ask(MODULE, request, OPENING_SHARE * self._plan.budget_s)
        except (ProcessDiedError, UserError) as error:
            self._raise_what_all_share(error)
            self._left_out[name] = str(error)
            return
        self._keep(setup, peak_bytes=reply["peak_rss_bytes"])

    def _keep(self, setup: Setup, **measured: Any) -> Trial:
        trial = self._trials.get(setup) or Trial(setup, registry.find(setup.backend).exact)
        self._trials[setup] = replace(trial, **measured)
        return self._trials[setup]

    def _round(
        self, number: int, setups: Sequence[Setup], needed: Sequence[Setup] = (), keep_all: bool = False
    ) -> list[Trial]:
        """Let the set-ups take turns in a round, counted from 0; return those that stay.

        None stays where time is too short for all of them or for a needed one: the others would win without a rival.
        """
        afforded = self._afforded(setups, self._left_s(ROUND_END_SHARES[number]))
        if not afforded or not set(needed) <= set(afforded):
            return []
        self._report_progress(f"round {number + 1} of {len(ROUNDS)}: {len(afforded)} set-ups take turns")
        probes = {setup: _probe(setup) for setup in afforded}
        calls_s: dict[Setup, list[float]] = {setup: [] for setup in afforded}
        taking_turns = interleaved(self._arms(afforded), [list(probes.values())], ROUNDS[number], self._shuffle, None)
        try:
            with closing(taking_turns) as rounds:
                for count, seconds in enumerate(rounds, start=1):
                    for setup, probe in probes.items():
                        calls_s[setup].append(seconds[probe])
                    if count >= LEAST_ROUNDS and self._left_s(ROUND_END_SHARES[number]) <= 0:
                        break
        except WorkerDiedError as error:
            self._left_out[error.arm] = error.reason
            alive, needed = ([s for s in given if _arm_name(s) != error.arm] for given in (setups, needed))
            return self._round(number, alive, needed, keep_all)
        trials = [self._keep(setup, calls_s=tuple(calls)) for setup, calls in calls_s.items()]
        return trials if keep_all else survivors(trials)

    def _arms(self, setups: Sequence[Setup]) -> list[WorkerSpec]:
        arms: dict[str, dict[str, Any]] = {}
        for setup in setups:
            photos = scene_photos.batch(self._plan.photos, setup.batch_size).paths
            pipeline = {"photos": photos, "config": asdict(self._config(setup))}
            arms.setdefault(_arm_name(setup), {})[str(setup.batch_size)] = pipeline
        return [WorkerSpec(name, pipelines) for name, pipelines in arms.items()]

    def _afforded(self, setups: Sequence[Setup], left_s: float) -> list[Setup]:
        """Return, from the first on, what the time and the memory that are left suffice for."""
        memory_bytes = MEMORY_SHARE * psutil.virtual_memory().available
        afforded: list[Setup] = []
        for setup in setups:
            first = self._trials[Setup(setup.backend, 1, self._plan.threads[0])]
            photo_s = first.call.estimate if first.call else self._open_s[setup.backend] / 10
            slower = self._plan.threads[0] / (setup.threads or 1)
            side_by_side = max(1, allowed_cores() // (setup.threads or 1)) if setup.stream_photos else 1
            call_s = photo_s * slower * setup.photos_per_call / side_by_side
            earlier = self._trials.get(setup)
            call_s = earlier.call.estimate if earlier and earlier.call else call_s
            calls_s = (WARM_UP_CALLS + LEAST_ROUNDS) * (call_s + 0.1)
            left_s -= self._open_s[setup.backend] * _opening_share(setup, afforded) + calls_s
            memory_bytes -= first.peak_bytes or 0
            if min(left_s, memory_bytes) < 0:
                lacking = "time" if left_s < 0 else "memory"
                self._left_out[_name(setup)] = f"too little {lacking} was left to measure it"
                continue
            afforded.append(setup)
        return afforded


def _opening_share(setup: Setup, others: Sequence[Setup]) -> float:
    """Return the share of an opening that a set-up costs beside others, whose worker or pipeline it may use."""
    same_worker = [other for other in others if _arm_name(other) == _arm_name(setup)]
    if any(other.batch_size == setup.batch_size for other in same_worker):
        return 0.0
    return 0.5 if same_worker else 1.0


def _arm_name(setup: Setup) -> str:
    return f"{setup.backend}, threads {setup.threads}"


def _name(setup: Setup) -> str:
    return f"{_arm_name(setup)}, {'stream' if setup.stream_photos else f'batch {setup.batch_size}'}"


def _probe(setup: Setup) -> TimedCall:
    # a stream needs no pipeline of its own: it takes that of one photo
    return TimedCall(_arm_name(setup), str(setup.batch_size), "long_stream" if setup.stream_photos else "pipeline")
