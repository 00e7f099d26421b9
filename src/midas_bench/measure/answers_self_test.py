"""How often are the answers right? Runs on simulated machines, through the code that real runs go through.

Backends of known speed stand on a machine whose disturbances are scripted. Order and number of the passes, the verdicts
of the noise probe, the merging of visits and the answers are those of real runs; clock, calls and counters are not.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from math import ceil, exp, sin
from pathlib import Path
from typing import Any

from midas_bench.measure.noise_probe import Best, Reading, judge
from midas_bench.measure.passes import VISIT_S, WARM_UP_BELOW_S, PassBudget, another_pass, drawn_order, merged_info
from midas_bench.results.ranking import Recommendation, fastest
from midas_bench.results.recommendations import widest_price
from midas_bench.results.run_files import run_from
from midas_bench.results.runs import Record
from midas_bench.results.share import Share

SCENES = ("indoor", "pet", "portrait", "street")
TIE = 0.03
"""Set-ups nearer to each other than this are a tie: to name either is no error."""
BUDGET_S = 360.0
OTHER_CELLS_S = 30.0
"""What the cells of other questions take in each pass, between those of the answer."""
OTHER_GROUPS = 20
READING_S = 0.15


@dataclass(frozen=True)
class FakeBackend:
    """A backend of known speed.

    Attributes:
        name: as records have it.
        call_s: seconds of a call for one photo on a quiet machine.
        beside_neighbour: how many times as long a call takes while a neighbour uses a core.
    """

    name: str
    call_s: float
    beside_neighbour: float


BACKENDS = (
    FakeBackend("first", 0.060, 1.8),
    FakeBackend("first + 2 %", 0.0612, 1.7),
    FakeBackend("first + 8 %", 0.0648, 1.6),
    FakeBackend("twice first", 0.120, 1.5),
    FakeBackend("2.4 times first", 0.144, 1.4),
)
SCENE_SPEEDS = {"indoor": 1.0, "pet": 1.1, "portrait": 1.3, "street": 0.95}
CALL_SPREAD = 0.02
"""Standard deviation of a call's logarithm on a quiet machine; one call in thirty takes up to a third longer."""
DRIFT = 0.03
"""Of the machine's speed, up and down within minutes: clock rates and heat."""


class SimulatedMachine:
    """A clock that calls move on, a neighbour who comes and goes, and a speed that changes."""

    def __init__(self, script: Script, seed: int, budget_s: float) -> None:
        self._draw = random.Random(seed)
        self.now_s = 0.0
        self._neighbour, self._slowness = script.drawn(self._draw, budget_s)
        self._phase = self._draw.uniform(0, 6.28)
        self._busy_s = 0.0
        self._own_s = 0.0
        self._hidden = script.hidden
        self.best = Best()

    def call(self, quiet_s: float, beside_neighbour: float) -> float:
        """Make a call, and return its seconds."""
        factor = exp(self._draw.gauss(0, CALL_SPREAD)) * self._common()
        if self._draw.random() < 1 / 30:
            factor *= self._draw.uniform(1, 1.33)
        if self._neighbour(self.now_s):
            factor *= beside_neighbour
        self._pass(quiet_s * factor, own=True)
        return quiet_s * factor

    def idle(self, seconds: float) -> None:
        """Do what no answer rests on."""
        while seconds > 0:
            step_s = min(seconds, 0.5)
            self._pass(step_s, own=True)
            seconds -= step_s

    def read(self) -> Reading:
        """Read the counters and time the fixed work, as the noise probe does."""
        self._pass(READING_S, own=False)
        slow = self._common() * (self._draw.uniform(1.0, 1.6) if self._neighbour(self.now_s) else 1.0)
        matrix_s = 0.01 * slow * exp(abs(self._draw.gauss(0, 0.02)))
        copy_s = 0.01 * slow * exp(abs(self._draw.gauss(0, 0.15)))
        self.best = Best(min(self.best.matrix_s, matrix_s), min(self.best.copy_s, copy_s))
        return Reading(matrix_s, copy_s, self.now_s, self._busy_s, self._own_s, 0.0)

    def _common(self) -> float:
        return self._slowness(self.now_s) * (1 + DRIFT * sin(self.now_s / 60 + self._phase))

    def _pass(self, seconds: float, own: bool) -> None:
        if self._neighbour(self.now_s) and not self._hidden:
            self._busy_s += seconds
        self._busy_s += seconds * own
        self._own_s += seconds * own
        self.now_s += seconds


Course = Callable[[float], float]


@dataclass(frozen=True)
class Script:
    """What disturbs a machine.

    Attributes:
        name: in words.
        drawn: for a generator and a budget, returns by time whether the neighbour is there and how slow the machine is.
        hidden: whether no counter shows the neighbour, as on a virtual machine that is told of no steal.
    """

    name: str
    drawn: Callable[[random.Random, float], tuple[Course, Course]]
    hidden: bool = False


def _always(value: float) -> Course:
    return lambda _: value


def _quiet(_: random.Random, __: float) -> tuple[Course, Course]:
    return _always(0), _always(1)


def _third(draw: random.Random, budget_s: float) -> tuple[Course, Course]:
    start_s = draw.uniform(0, budget_s * 2 / 3)
    return (lambda now_s: start_s <= now_s < start_s + budget_s / 3), _always(1)


def _slow_minute(draw: random.Random, budget_s: float) -> tuple[Course, Course]:
    start_s = draw.uniform(0, budget_s - 60)
    return _always(0), lambda now_s: 1.6 if start_s <= now_s < start_s + 60 else 1.0


def _comes_and_goes(draw: random.Random, budget_s: float) -> tuple[Course, Course]:
    spans, now_s = [], 0.0
    while now_s < 2 * budget_s:
        away_s, there_s = draw.expovariate(1 / 6), draw.expovariate(1 / 3)
        spans.append((now_s + away_s, now_s + away_s + there_s))
        now_s = spans[-1][1]
    place = 0

    def there(moment_s: float) -> bool:
        nonlocal place
        while spans[place][1] < moment_s:
            place += 1
        return spans[place][0] <= moment_s

    return there, _always(1)


def _half_speed(_: random.Random, budget_s: float) -> tuple[Course, Course]:
    return _always(0), lambda now_s: 2.0 if now_s > budget_s / 2 else 1.0


SCRIPTS = (
    Script("quiet", _quiet),
    Script("a busy neighbour for a third of the run", _third),
    Script("the same, unseen by any counter", _third, hidden=True),
    Script("a slow minute", _slow_minute),
    Script("a neighbour who comes and goes every few seconds", _comes_and_goes),
    Script("half the speed from the middle on", _half_speed),
)


@dataclass
class SimulatedRun:
    """One run: its cells' visits, and the answer it ends with."""

    machine: SimulatedMachine
    budget: PassBudget
    visits: dict[str, list[tuple[list[float], dict[str, Any]]]] = field(default_factory=dict)
    passes: int = 0

    def answer(self) -> tuple[Recommendation, float]:
        """Go through the cells as a real run does, and return the answer with the seconds that the run took."""
        groups: Mapping[Any, Sequence[str]] = {
            **{scene: [f"{backend.name}|{scene}" for backend in BACKENDS] for scene in SCENES},
            **{number: [f"other|{number}"] for number in range(OTHER_GROUPS)},
        }
        pass_s = 0.0
        records: tuple[Record, ...] = ()
        while not self.passes or another_pass(self.passes, self.budget, pass_s, widest_price(records)):
            start_s = self.machine.now_s
            before = self.machine.read()
            for group in drawn_order(groups, 1, self.passes):
                before = self._visit(group, before)
            self.passes += 1
            pass_s = self.machine.now_s - start_s
            records = self._records()
        answer = fastest(records)
        assert answer is not None
        return answer, self.machine.now_s

    def _visit(self, group: Sequence[str], before: Reading) -> Reading:
        rounds_by_cell: dict[str, list[float]] = {}
        for cell in group:
            name, scene = cell.split("|")
            if name == "other":
                self.machine.idle(OTHER_CELLS_S / OTHER_GROUPS)
                continue
            backend = next(backend for backend in BACKENDS if backend.name == name)
            call_s = backend.call_s * SCENE_SPEEDS[scene]
            if call_s < WARM_UP_BELOW_S:
                self.machine.call(call_s, backend.beside_neighbour)
            rounds = max(1, ceil(VISIT_S / call_s))
            rounds_by_cell[cell] = [self.machine.call(call_s, backend.beside_neighbour) for _ in range(rounds)]
        after = self.machine.read()
        noise = judge(before, after, self.machine.best).to_json()
        for cell, rounds_s in rounds_by_cell.items():
            self.visits.setdefault(cell, []).append((rounds_s, noise))
        return after

    def _records(self) -> tuple[Record, ...]:
        rows = [_row(cell, visits) for cell, visits in self.visits.items()]
        return run_from({"benchmarks": rows}, Path("simulated")).records


def _row(cell: str, visits: Sequence[tuple[list[float], dict[str, Any]]]) -> dict[str, Any]:
    name, scene = cell.split("|")
    info = {"kind": "latency", "backend": name, "scene": scene, "batch_size": 1, "recipe": "fast"}
    data = [second for rounds_s, _ in visits for second in rounds_s]
    return {
        "name": f"test_pipeline[{cell}]",
        "fullname": cell,
        "extra_info": merged_info([info | {"noise": noise} for _, noise in visits], [r for r, _ in visits]),
        "stats": {
            "data": data, "rounds": len(data), "median": statistics.median(data), "mean": statistics.fmean(data),
            "min": min(data), "max": max(data), "stddev": statistics.pstdev(data),
        },
    }  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What one run said.

    Attributes:
        covered: by price, whether its interval holds the truth.
        half_widths: of the prices, relative to them.
        wrong: whether it named a winner that another one beats by more than a tie.
        undecided: whether it named no winner.
        passes: how many it made.
        took_s: by its clock.
    """

    covered: tuple[bool, ...]
    half_widths: tuple[float, ...]
    wrong: bool
    undecided: bool
    passes: int
    took_s: float


def outcome(script: Script, seed: int, budget_s: float = BUDGET_S) -> Outcome:
    """Simulate one run and compare what it says with the truth."""
    machine = SimulatedMachine(script, seed, budget_s)
    run = SimulatedRun(machine, PassBudget(budget_s, lambda: machine.now_s, 0.0))
    answer, took_s = run.answer()
    truth = {backend.name: backend.call_s for backend in BACKENDS}
    costs = {a.setup.backend: a.relative_cost for a in answer.alternatives}
    best, winner_s = min(truth.values()), truth[answer.winner.backend]
    tied = {answer.winner.backend, *(setup.backend for setup in answer.tied)}
    return Outcome(
        covered=tuple(cost.holds(truth[name] / winner_s) for name, cost in costs.items()),
        half_widths=tuple((cost.high - cost.low) / 2 / cost.estimate for cost in costs.values()),
        wrong=all(truth[name] > (1 + TIE) * best for name in tied),
        undecided=len(tied) > 1,
        passes=run.passes,
        took_s=took_s,
    )


def self_test(runs: int, say: Callable[[int], object], budget_s: float = BUDGET_S) -> dict[str, Any]:
    """Simulate so many runs of each script, in as many processes as there are cores; `say` hears of every ten.

    Returns:
        The results as JSON types: a row for each script.
    """
    rows = []
    with ProcessPoolExecutor() as pool:
        for place, script in enumerate(SCRIPTS):
            seeds = [place * 1_000_000 + number for number in range(runs)]
            outcomes = []
            for one in pool.map(_numbered, [place] * runs, seeds, [budget_s] * runs, chunksize=10):
                outcomes.append(one)
                say(1)
            rows.append(_summary(script, outcomes))
    return {"budget_s": budget_s, "runs": runs, "rows": rows}


def _numbered(place: int, seed: int, budget_s: float) -> Outcome:
    return outcome(SCRIPTS[place], seed, budget_s)


def _summary(script: Script, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    covered = [held for one in outcomes for held in one.covered]
    return {
        "disturbance": script.name,
        "covered": Share(sum(covered), len(covered)).to_json(),
        "wrong_winner": Share(sum(one.wrong for one in outcomes), len(outcomes)).to_json(),
        "undecided": Share(sum(one.undecided for one in outcomes), len(outcomes)).to_json(),
        "half_width": statistics.median(width for one in outcomes for width in one.half_widths),
        "passes": statistics.median(one.passes for one in outcomes),
        "longest_s": max(one.took_s for one in outcomes),
    }
