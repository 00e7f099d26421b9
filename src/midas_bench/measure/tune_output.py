"""The results of tuning, as text, as JSON, and as the lines of Python that open what it recommends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from midas_bench.depth.weights import TIMING_ONLY
from midas_bench.measure.machine import MachineFacts
from midas_bench.measure.tune import TunePlan, Tuning
from midas_bench.results import tuning_results, units
from midas_bench.results.ranking import Setup
from midas_bench.results.recommendations import stream_python
from midas_bench.results.tuning_results import Choice, Trial

TITLES = {"latency": "lowest latency", "throughput": "highest throughput", "memory": "least memory"}


@dataclass(frozen=True)
class Advice:
    """All that is reported about one search.

    Attributes:
        plan: what was tried.
        tuned: what was measured.
        left_out: what was not tried or not to the end, by name, and why.
        weights: as the user asked for them.
        machine: where.
    """

    plan: TunePlan
    tuned: Tuning
    left_out: Mapping[str, str]
    weights: str
    machine: MachineFacts

    @cached_property
    def choices(self) -> list[Choice]:
        """The answers, in the order latency, throughput, memory; none where nothing could be measured."""
        return tuning_results.choices(self.tuned.trials)

    def python(self, setup: Setup) -> list[str]:
        """Return the lines that open this pipeline and call it."""
        return python_lines(setup, self.weights)

    def lines(self) -> list[str]:
        """Return the text."""
        trials = self.tuned.trials
        lines = [f"{len(trials)} set-ups measured in {self.tuned.elapsed_s:.0f} s on {self.machine.cpu_model}"]
        lines += [TIMING_ONLY] if self.plan.config.weights.source == "seeded" else []
        shown: set[Setup] = set()
        for choice in self.choices:
            setup = choice.best.setup
            lines += ["", f"{TITLES[choice.question]}: {trial_summary(choice.best, choice.question)}", *caveats(choice)]
            code = ["opened as above"] if setup in shown else self.python(setup)
            lines += [f"    {line}" for line in code]
            shown.add(setup)
        front = tuning_results.pareto(trials)
        if front:
            lines += ["", "Pareto front (no other set-up is better in latency, throughput and memory):"]
            lines += [f"  {front_line(trial)}" for trial in front]
        if self.left_out:
            lines += ["", "left out:"]
            lines += [f"  {name}: {reason}" for name, reason in self.left_out.items()]
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return all of it in JSON types and SI units."""
        trials = self.tuned.trials
        front = {trial.setup for trial in tuning_results.pareto(trials)}
        return {
            "machine": self.machine.to_json(),
            "weights": self.plan.config.weights.identity,
            "budget_s": self.plan.budget_s,
            "elapsed_s": self.tuned.elapsed_s,
            "answers": {
                choice.question: {
                    **tuning_results.to_json(choice.best),
                    "exact_alternative": tuning_results.to_json(choice.exact) if choice.exact else None,
                    "too_close_to_call": [setup_name(setup) for setup in choice.tied],
                    "python": self.python(choice.best.setup),
                }
                for choice in self.choices
            },
            "trials": [tuning_results.to_json(trial) | {"pareto": trial.setup in front} for trial in trials],
            "left_out": dict(self.left_out),
        }


def python_lines(setup: Setup, weights: str) -> list[str]:
    """Return the import and the two lines that open a pipeline and give it `photos`: paths, bytes or pixels."""
    arguments = [repr(setup.backend), f"threads={setup.threads}"]
    arguments += [f"weights={weights!r}"] if weights != "auto" else []
    plural = "s" if setup.batch_size > 1 else ""
    calling = [
        f"pipeline = DepthPipeline.open({', '.join(arguments)})",
        f"heatmaps = pipeline(photos)  # {setup.batch_size} photo{plural} per call",
    ]
    if setup.stream_photos:
        calling = stream_python(arguments)
    return ["from midas_bench import DepthPipeline", *calling]


def caveats(choice: Choice) -> list[str]:
    """Give the relative cost of the best exact set-up, and name those that the calls do not tell from the best."""
    lines = []
    if choice.exact and choice.relative_cost:
        figure = "memory" if choice.question == "memory" else "time per photo"
        relative_cost = f"{units.times_span(choice.relative_cost)} the {figure}"
        lines.append(f"  exact: {trial_summary(choice.exact, choice.question)}, {relative_cost}")
    if choice.tied:
        lines.append(f"  too close to call: {', '.join(map(setup_name, choice.tied))}")
    return lines


def setup_name(setup: Setup) -> str:
    """Name a set-up in full."""
    calls = "stream" if setup.stream_photos else f"batch {setup.batch_size}"
    return f"{setup.backend} (threads {setup.threads}, {calls})"


def trial_summary(trial: Trial, question: str) -> str:
    """Name a set-up, its figure for the question, and whether its precision is reduced."""
    figures = {
        "latency": units.seconds_span(trial.call) if trial.call else "",
        "throughput": units.rate_span(trial.images_per_second) if trial.images_per_second else "",
        "memory": units.mib(trial.peak_bytes),
    }
    return f"{setup_name(trial.setup)}, {figures[question]}" + ("" if trial.exact else ", reduced precision")


def front_line(trial: Trial) -> str:
    """Return a line of the Pareto front."""
    seconds = units.seconds(trial.call.estimate if trial.call else None)
    call = "" if trial.setup.stream_photos else f"{seconds} per call"
    rate = units.rate(trial.images_per_second.estimate if trial.images_per_second else None)
    reduced = "" if trial.exact else "  reduced precision"
    return f"{setup_name(trial.setup):<38}{call:>18}{rate:>16}{units.mib(trial.peak_bytes):>10}{reduced}"
