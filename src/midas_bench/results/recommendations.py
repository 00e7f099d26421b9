"""The answers in words: fastest, best throughput, least memory, and whether the machine was quiet enough to say so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from midas_bench.results import fidelity_results, units
from midas_bench.results.fidelity_results import FidelityPoint
from midas_bench.results.intervals import Interval
from midas_bench.results.json_fields import clean
from midas_bench.results.ranking import Alternative, Recommendation, Setup, best_throughput, fastest, least_memory
from midas_bench.results.runs import TIMED, Record

FORMATS: Mapping[str, Callable[[Interval], str]] = {
    "latency": units.seconds_span,
    "throughput": units.rate_span,
    "memory": units.mib_span,
}
TITLES = {"latency": "fastest for one photo", "throughput": "best throughput", "memory": "least memory"}
OWN_WEIGHTS = {"file": "weights", "model": "model"}
"""The argument of `DepthPipeline.open` that names the user's own, by the source of the weights."""
COSTS = {"latency": "the time", "throughput": "the time a photo", "memory": "the memory"}


def answers(records: Sequence[Record]) -> list[Recommendation]:
    """Return the answers that the records allow, in the order latency, throughput, memory."""
    questions = (fastest, best_throughput, least_memory)
    return [answer for question in questions if (answer := question(records)) is not None]


def setup(answer: Recommendation, chosen: Setup) -> str:
    """Name a set-up as far as the answer's question leaves it open."""
    threads = "" if chosen.threads is None or answer.question == "memory" else _plural(chosen.threads, "thread")
    size = "" if answer.question == "latency" else f"batch {chosen.batch_size}"
    if chosen.stream_photos:
        size, threads = "stream", f"{threads} per photo" if threads else ""
    rest = ", ".join(part for part in (size, threads) if part)
    name = clean(chosen.name)
    return f"{name} ({rest})" if rest else name


def figure(answer: Recommendation) -> str:
    """Return the winner's figure with its interval."""
    return FORMATS[answer.question](answer.figure)


def basis(answer: Recommendation) -> str:
    """Say what the figure is a mean over and what its interval is."""
    many = len(answer.scenes) > 1
    if answer.question == "memory":
        processes = "highest resident memory of one process"
        if answer.rounds > 1:
            processes = f"mean of the peaks of {answer.rounds} processes, and their range"
        return processes + (f", over {len(answer.scenes)} scenes" if many else "")
    if answer.winner.stream_photos:
        streams = f"median of {_plural(answer.rounds, 'stream')} of {answer.winner.stream_photos} photos"
        return f"{streams}; {_confidence(answer)}"
    over = f"mean over {len(answer.scenes)} scenes of the medians" if many else "median"
    least = f"{answer.rounds} rounds or more a cell" if many else _plural(answer.rounds, "round")
    return f"{over}, {least}; {_confidence(answer)}"


def _confidence(answer: Recommendation) -> str:
    return "95 % interval within this run" if answer.figure.confidence else "no interval: too few rounds, or one of 0 s"


def python(answer: Recommendation, records: Sequence[Record]) -> list[str]:
    """Return the two lines of Python that stream `photos` as the winner does; none where a batch won.

    A checkpoint or model of the user's own is not recorded by name, so its place is left open.
    """
    winner = answer.winner
    if not winner.stream_photos:
        return []
    sources = {r.weights_source for r in records if r.fullname in answer.cells}
    own = [f'{OWN_WEIGHTS[source]}="..."' for source in sources if source in OWN_WEIGHTS]
    return stream_python([repr(winner.backend), f"threads={winner.threads}", *own])


def stream_python(arguments: Sequence[str]) -> list[str]:
    """Return the two lines of Python that open a pipeline with these arguments and stream `photos` through it."""
    opening = f"with DepthPipeline.open({', '.join(arguments)}) as pipeline:"
    return [opening, "    for heatmap in pipeline.map(photos): ..."]


def relative_cost(answer: Recommendation, alternative: Alternative) -> str:
    """Say what an alternative costs beside the winner."""
    cost = units.times_span(alternative.relative_cost)
    return f"{setup(answer, alternative.setup)} takes {cost} {COSTS[answer.question]}"


def runner_up(answer: Recommendation, reduced: Collection[str]) -> str | None:
    """Say what the next best costs; after a winner of reduced precision, the next best whose depth is exact."""
    exact = [a for a in answer.alternatives if a.setup.backend not in reduced]
    rest = exact if answer.winner.backend in reduced else answer.alternatives
    return relative_cost(answer, rest[0]) if rest else None


def caution(answer: Recommendation, reduced: Mapping[str, FidelityPoint]) -> str:
    """Say that the winner's precision is reduced, and which set-ups this run cannot tell from it."""
    said = []
    point = reduced.get(answer.winner.backend)
    if point:
        said.append(f"Reduced precision: its depth is {units.percent(point.mean_relative_error)} of the range off.")
    if answer.tied:
        names = " or ".join(setup(answer, tied) for tied in answer.tied)
        said.append(f"This run cannot tell it from {names}.")
    return " ".join(said)


def quiet(records: Sequence[Record], answer_cells: Sequence[str] = ()) -> str:
    """Say in a sentence whether the machine was quiet enough for the answers to hold."""
    judged = [r for r in records if r.noise is not None]
    if not judged:
        return "Whether the machine was quiet was not recorded: take small differences with caution."
    noisy = {r.fullname for r in judged if r.noise and r.noise.noisy}
    if not noisy:
        return f"The machine was quiet: none of {len(judged)} cells was disturbed."
    hit = len(noisy & set(answer_cells))
    if hit:
        return (
            f"The machine was disturbed during {len(noisy)} of {len(judged)} cells, {hit} of them behind these "
            "answers: run again on a quiet machine before relying on small differences."
        )
    return (
        f"The machine was disturbed during {len(noisy)} of {len(judged)} cells, none of them behind these answers; "
        "an alternative may look slower than it is."
    )


def unresolved(records: Sequence[Record]) -> str:
    """Say which cells took 0 s by their timer, so that no ratio, rate or ranking can hold them; empty without any."""
    names = [r.name for r in records if r.kind in TIMED and not r.times.resolved]
    if not names:
        return ""
    cells = "1 cell has" if len(names) == 1 else f"{len(names)} cells have"
    which = clean(names[0]) + ("" if len(names) == 1 else " and others")
    return f"{cells} a median of 0 s, below what the timer can tell: no ratio, rate or ranking ({which})."


def three_lines(records: Sequence[Record]) -> list[str]:
    """Return a line for each answer that the records allow: figure, interval, and what the runner-up costs.

    Below a stream stand its two lines of Python. One more line tells of cells that could not be ranked.
    """
    width = max(map(len, TITLES.values())) + 1
    lines = []
    reduced = fidelity_results.reduced(records)
    for answer in answers(records):
        next_best = runner_up(answer, reduced)
        rest = ", reduced precision" if answer.winner.backend in reduced else ""
        rest += f"; {next_best}" if next_best else ""
        tied = " (too close to call)" if answer.tied else ""
        title = f"{TITLES[answer.question]}:"
        lines.append(f"{title:<{width}} {setup(answer, answer.winner)}, {figure(answer)}{rest}{tied}")
        lines += [f"    {line}" for line in python(answer, records)]
    return [*lines, *filter(None, [unresolved(records)])]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
