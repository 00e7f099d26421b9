"""The results of tuning, as text, as JSON, and as the lines of Python that open what it recommends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from midas_bench.depth.weights import TIMING_ONLY
from midas_bench.measure.machine import MachineFacts
from midas_bench.measure.tune import TunePlan, Tuning
from midas_bench.results import tuning_results, units
from midas_bench.results.intervals import Interval
from midas_bench.results.price import per_million_photos
from midas_bench.results.ranking import Setup
from midas_bench.results.recommendations import TITLES, UNDECIDED, stream_python
from midas_bench.results.tuning_results import Choice, Trial, setup_name

NAMED_WEIGHTS = ("auto", "official", "seeded")
"""Others are a file, which another folder knows by its whole path alone."""
REMEDY = "run again when it is idle (midas-bench doctor names what is busy)"


@dataclass(frozen=True)
class Advice:
    """All that is reported about one search.

    Attributes:
        plan: what was tried.
        tuned: what was measured.
        left_out: what was not tried or not to the end, by name, and why.
        weights: as the user asked for them.
        machine: where.
        price_per_hour: of that machine; None where none was given.
    """

    plan: TunePlan
    tuned: Tuning
    left_out: Mapping[str, str]
    weights: str
    machine: MachineFacts
    price_per_hour: float | None = None

    @cached_property
    def choices(self) -> list[Choice]:
        """The answers, in the order latency, throughput, memory; none where nothing could be measured."""
        return tuning_results.choices(self.tuned.trials)

    def python(self, setup: Setup) -> list[str]:
        """Return the lines that open this pipeline and call it."""
        config = self.plan.config
        path = None if self.weights in NAMED_WEIGHTS else config.weights.path
        model = [f"model={config.weights.path!r}"] if config.model is not None else []
        model += [f"model_settings={dict(config.model_settings)!r}"] if config.model_settings else []
        return python_lines(setup, path or self.weights, model)

    def lines(self) -> list[str]:
        """Return the text."""
        trials = self.tuned.trials
        lines = [f"{len(trials)} set-ups measured in {self.tuned.elapsed_s:.0f} s on {self.machine.cpu_model}"]
        lines += [self._time_line()] if self.tuned.passes or self.tuned.interrupted else []
        lines += [TIMING_ONLY] if self.plan.config.weights.source == "seeded" else []
        shown: set[Setup] = set()
        for choice in self.choices:
            setup = choice.best.setup
            lines += ["", answer_line(choice), *self._price_lines(choice), *caveats(choice)]
            code = ["opened as above"] if setup in shown else self.python(setup)
            lines += [f"    {line}" for line in code]
            shown.add(setup)
        front = tuning_results.pareto(trials)
        if front:
            lines += ["", "Pareto front (no other set-up is better in latency, throughput and memory):"]
            lines += [f"  {front_line(trial)}" for trial in front]
        if self.left_out:
            lines += ["", "left out:"]
            lines += [f"  {', '.join(names)}: {reason}" for reason, names in _by_reason(self.left_out).items()]
        return lines

    def _price(self, choice: Choice) -> Interval | None:
        """Return the price of a million photos with the highest throughput; None elsewhere, and without a price."""
        rate = choice.best.images_per_second
        if choice.question != "throughput" or self.price_per_hour is None or rate is None:
            return None
        return per_million_photos(rate, self.price_per_hour)

    def _price_lines(self, choice: Choice) -> list[str]:
        price = self._price(choice)
        if price is None:
            return []
        basis = f"at {self.price_per_hour:g} per hour, always busy"
        return [f"  price: {units.price_span(price)} per million photos, {basis}"]

    def _price_json(self, choice: Choice) -> dict[str, Any]:
        price = self._price(choice)
        if price is None:
            return {}
        ends = {"low": price.low, "high": price.high} if price.confidence else {"low": None, "high": None}
        return {"price_per_million_photos": {"estimate": price.estimate, **ends}, "price_per_hour": self.price_per_hour}

    def _time_line(self) -> str:
        """Say what the time went into, and that the user ended it."""
        tuned = self.tuned
        shares = [f"opening took {tuned.opening_s:.0f} s ({tuned.opening_s / tuned.elapsed_s:.0%})"]
        if tuned.graphs_s:
            shares.append(f"making graphs, once, {tuned.graphs_s:.0f} s ({tuned.graphs_s / tuned.elapsed_s:.0%})")
        early = "interrupted: this is what was known by then; " if tuned.interrupted else ""
        return f"{early}{tuned.passes} passes; {'; '.join(shares)}"

    def to_json(self) -> dict[str, Any]:
        """Return all of it in JSON types and SI units."""
        trials = self.tuned.trials
        front = {trial.setup for trial in tuning_results.pareto(trials)}
        return {
            "machine": self.machine.to_json(),
            "weights": self.plan.config.weights.described,
            "budget_s": self.plan.budget_s,
            "elapsed_s": self.tuned.elapsed_s,
            "passes": self.tuned.passes,
            "opening_s": self.tuned.opening_s,
            "graphs_s": self.tuned.graphs_s,
            "interrupted": self.tuned.interrupted,
            "answers": {
                choice.question: {
                    **tuning_results.to_json(choice.best),
                    "exact_alternative": tuning_results.to_json(choice.exact) if choice.exact else None,
                    "too_close_to_call": [setup_name(setup) for setup in choice.tied],
                    "too_disturbed_to_say": choice.disturbed,
                    "python": self.python(choice.best.setup),
                    **self._price_json(choice),
                }
                for choice in self.choices
            },
            "trials": [tuning_results.to_json(trial) | {"pareto": trial.setup in front} for trial in trials],
            "left_out": dict(self.left_out),
        }


def python_lines(setup: Setup, weights: str, model: Sequence[str] = ()) -> list[str]:
    """Return lines that run in any folder: they open this pipeline and give it photos of the user's own.

    `model` are the arguments for a model of the user's own.
    """
    arguments = [repr(setup.backend), f"threads={setup.threads}", *model]
    arguments += [f"weights={weights!r}"] if weights != "auto" else []
    per_call = f" * {setup.batch_size}" if setup.batch_size > 1 else ""
    kind = "as many as you like" if setup.stream_photos else f"{setup.batch_size} per call"
    calling = stream_python(arguments)
    if not setup.stream_photos:
        calling = [calling[0], "    heatmaps = pipeline(photos)"]
    photos = f'photos = ["photo.jpg"]{per_call}  # your own, {kind}: paths, bytes or pixels'
    return ["from midas_bench import DepthPipeline", photos, *calling]


def answer_line(choice: Choice) -> str:
    """Name the winner, or where most passes were disturbed what would have been one."""
    summary = trial_summary(choice.best, choice.question)
    answer = f"{UNDECIDED} {summary}; {REMEDY}" if choice.disturbed else summary
    return f"{TITLES[choice.question]}: {answer}"


def caveats(choice: Choice) -> list[str]:
    """Say what speaks against the best: its depth, what an exact one costs, and what the passes do not tell from it."""
    lines = []
    if choice.best.closeness and choice.best.closeness.problem:
        lines.append(f"  {choice.best.closeness.problem}")
    if choice.exact:
        summary = trial_summary(choice.exact, choice.question)
        lines.append(f"  exact: {summary}" + (f", {_cost_text(choice)}" if choice.relative_cost else ""))
    if choice.tied:
        *names, last = map(setup_name, (choice.best.setup, *choice.tied))
        lines.append(f"  too close to call: {', '.join(names)} and {last}")
    return lines


def _cost_text(choice: Choice) -> str:
    assert choice.relative_cost is not None
    figure = "memory" if choice.question == "memory" else "time per photo"
    return f"{units.times_span(choice.relative_cost)} the {figure}"


def trial_summary(trial: Trial, question: str) -> str:
    """Name a set-up, its figure for the question, how close its depth is, and how many passes were disturbed."""
    figures = {
        "latency": units.seconds_span(trial.call) if trial.call else "",
        "throughput": units.rate_span(trial.images_per_second) if trial.images_per_second else "",
        "memory": units.mib(trial.peak_bytes),
    }
    noise = "" if question == "memory" else f", disturbed in {trial.disturbed} of {len(trial.visits)} passes"
    return f"{setup_name(trial.setup)}, {figures[question]}{_precision(trial)}{noise}"


def _precision(trial: Trial) -> str:
    """Say that a set-up's precision is reduced, and how close its depth is nevertheless."""
    if trial.exact:
        return ""
    close = trial.closeness
    if close is None:
        return ", reduced precision (depth not compared)"
    return (
        f", reduced precision (rank correlation {close.rank_correlation:.4f} with {close.reference}, "
        f"mean error {units.percent(close.mean_relative_error)})"
    )


def _by_reason(left_out: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
    names: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        names.setdefault(reason, []).append(name)
    return names


def front_line(trial: Trial) -> str:
    """Return a line of the Pareto front."""
    seconds = units.seconds(trial.call.estimate if trial.call else None)
    call = "" if trial.setup.stream_photos else f"{seconds} per call"
    rate = units.rate(trial.images_per_second.estimate if trial.images_per_second else None)
    precision = _precision(trial).replace(", ", "  ", 1)
    return f"{setup_name(trial.setup):<38}{call:>18}{rate:>16}{units.mib(trial.peak_bytes):>10}{precision}"
