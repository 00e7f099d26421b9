"""The answers in words: lowest latency, highest throughput, least memory, and whether the machine was quiet."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from midas_bench.results import fidelity_results, units
from midas_bench.results.fidelity_results import FidelityPoint, TeacherAgreement
from midas_bench.results.intervals import Interval
from midas_bench.results.json_fields import clean
from midas_bench.results.ranking import (
    ARTICLE,
    Alternative,
    Recommendation,
    Setup,
    best_throughput,
    cells_behind,
    fastest,
    least_memory,
)
from midas_bench.results.record import Interface
from midas_bench.results.runs import TIMED, Record

FORMATS: Mapping[str, Callable[[Interval], str]] = {
    "latency": units.seconds_span,
    "throughput": units.rate_span,
    "memory": units.mib_span,
}
TITLES = {"latency": "lowest latency", "throughput": "highest throughput", "memory": "least memory"}
OWN_WEIGHTS = {"file": "weights", "model": "model"}
"""The argument of `DepthPipeline.open` that names the user's own, by the source of the weights."""
COSTS = {"latency": "the time", "throughput": "the time per photo", "memory": "the memory"}
MEASURE_PIPELINE = "pytest bench/test_pipeline.py --benchmark-autosave"
DISTURBED = 0.5
"""Share of disturbed visits from which on the median over passes may be one of a disturbed machine."""
UNDECIDED = "the machine was too disturbed to say; the best of it was"
Agreements: TypeAlias = Mapping[str, TeacherAgreement]
"""By network and backend, as `fidelity_results.agreements` returns them."""
NO_AGREEMENTS: Agreements = MappingProxyType({})
MOST_NAMES = 2
"""Set-ups that a sentence lists by name."""


def answers(records: Sequence[Record]) -> list[Recommendation]:
    """Return the answers that the records allow, in the order latency, throughput, memory."""
    questions = (fastest, best_throughput, least_memory)
    return [answer for question in questions if (answer := question(records)) is not None]


def _answers_on_time(records: Sequence[Record]) -> list[Recommendation]:
    return [answer for answer in (fastest(records), best_throughput(records)) if answer is not None]


def widest_price(records: Sequence[Record]) -> float | None:
    """Return how far the least certain price may be off: half its 95 % interval over the price.

    A price is what a set-up costs in time beside the best. Where the records have none, figures stand for prices: of
    the answers, else of the cells. Infinity where one has no interval; None without any figure.
    """
    of_time = _answers_on_time(records)
    prices = [alternative.relative_cost for answer in of_time for alternative in answer.alternatives]
    figures = [answer.figure for answer in of_time] or [r.times.median for r in records if r.kind in TIMED]
    widths = [(i.high - i.low) / 2 / i.estimate if i.confidence and i.estimate else math.inf for i in prices or figures]
    return max(widths, default=None)


def answering_cells(records: Sequence[Record]) -> set[str]:
    """Return the ids of the cells that the answers on time rest on."""
    return set().union(*(cells_behind(records, answer) for answer in _answers_on_time(records)))


def setup_text(answer: Recommendation, chosen: Setup) -> str:
    """Name a set-up as far as the answer's question leaves it open."""
    threads = "" if chosen.threads is None or answer.question == "memory" else units.counted(chosen.threads, "thread")
    size = "" if answer.question == "latency" else f"batch {chosen.batch_size}"
    if chosen.stream_photos:
        size, threads = "stream", f"{threads} per photo" if threads else ""
    rest = ", ".join(part for part in (size, threads) if part)
    name = clean(chosen.name)
    return f"{name} ({rest})" if rest else name


def figure_text(answer: Recommendation) -> str:
    """Return the winner's figure with its interval."""
    return FORMATS[answer.question](answer.figure)


def basis_text(answer: Recommendation) -> str:
    """Say what the figure is a mean over and what its interval is."""
    many = len(answer.scenes) > 1
    if answer.question == "memory":
        processes = "highest resident memory of one process"
        if answer.rounds > 1:
            processes = f"mean of the peaks of {answer.rounds} processes, and their range"
        return processes + (f", over {len(answer.scenes)} scenes" if many else "")
    if answer.winner.stream_photos and answer.passes < 2:
        streams = f"median of {units.counted(answer.rounds, 'stream')} of {answer.winner.stream_photos} photos"
        return f"{streams}; {_confidence(answer)}"
    if answer.passes > 1:
        what = f"the mean over {len(answer.scenes)} scenes" if many else "the medians"
        return f"median over {answer.passes} passes of {what}; {_confidence(answer)}"
    over = f"mean over {len(answer.scenes)} scenes of the medians" if many else "median"
    least = f"{answer.rounds} rounds or more per cell" if many else units.counted(answer.rounds, "round")
    return f"{over}, {least}; {_confidence(answer)}"


def _confidence(answer: Recommendation) -> str:
    if answer.figure.confidence:
        return "95 % interval from the passes" if answer.passes > 1 else "95 % interval within this run"
    if answer.disturbed:
        return "no interval: the machine was disturbed, and one visit cannot tell how much"
    return "no interval: too few rounds, or one of 0 s"


def python_lines(answer: Recommendation, records: Sequence[Record]) -> list[str]:
    """Return the two lines of Python that stream `photos` as the winner does; none where a batch won.

    A checkpoint or model of the user's own is not recorded by name, so its place is left open.
    """
    winner = answer.winner
    if not winner.stream_photos:
        return []
    weights = [r.info.weights for r in records if r.fullname in answer.cells]
    own = [f'{OWN_WEIGHTS[source]}="..."' for source in {w.source for w in weights} if source in OWN_WEIGHTS]
    sizes = {w.interface.size for w in weights if not w.own} - {Interface().size}
    own += [f'model_settings={{"size": "{size}"}}' for size in sizes]
    return stream_python([repr(winner.backend), f"threads={winner.threads}", *own])


def stream_python(arguments: Sequence[str]) -> list[str]:
    """Return the two lines of Python that open a pipeline with these arguments and stream `photos` through it."""
    opening = f"with DepthPipeline.open({', '.join(arguments)}) as pipeline:"
    return [opening, "    for heatmap in pipeline.map(photos): ..."]


def relative_cost_text(answer: Recommendation, alternative: Alternative) -> str:
    """Say what an alternative costs beside the winner."""
    cost = units.times_span(alternative.relative_cost)
    return f"{setup_text(answer, alternative.setup)} takes {cost} {COSTS[answer.question]}"


def next_best(
    answer: Recommendation, reduced: Collection[str], agreements: Agreements = NO_AGREEMENTS
) -> Alternative | None:
    """Return the next best set-up; after a winner of reduced precision, the next best whose depth is exact.

    Of several models it is one of the first, which the others are there to replace, unless that itself has won.
    """
    exact = [a for a in answer.alternatives if a.setup.name not in reduced]
    rest: Sequence[Alternative] = exact if answer.winner.name in reduced else answer.alternatives
    followed = agreements.get(answer.winner.name)
    if followed and followed.is_of_another(answer.winner):
        rest = [a for a in rest if not followed.is_of_another(a.setup)] or rest
    return next(iter(rest), None)


def runner_up_text(
    answer: Recommendation, reduced: Collection[str], agreements: Agreements = NO_AGREEMENTS
) -> str | None:
    """Say what the next best costs, as `next_best` chooses it."""
    alternative = next_best(answer, reduced, agreements)
    return relative_cost_text(answer, alternative) if alternative else None


def network_text(answer: Recommendation, agreements: Agreements) -> str:
    """Say that the winner is another network than the first model, and how closely it follows; else nothing."""
    followed = agreements.get(answer.winner.name)
    if followed is None or not followed.is_of_another(answer.winner):
        return ""
    return (
        f"another network, rank correlation {units.correlation(followed.rank_correlation)} with "
        f"{clean(followed.teacher)}"
    )


def caution_text(
    answer: Recommendation, reduced: Mapping[str, FidelityPoint], agreements: Agreements = NO_AGREEMENTS
) -> str:
    """Say that the winner is another network or of reduced precision, and what this run cannot tell from it."""
    network = network_text(answer, agreements)
    sentences = [f"{network[0].upper()}{network[1:]}."] if network else []
    point = reduced.get(answer.winner.name)
    if point:
        sentences.append(
            f"Reduced precision: its depth is {units.percent(point.mean_relative_error)} of the range off."
        )
    if answer.tied:
        names = " or ".join(setup_text(answer, tied) for tied in answer.tied)
        sentences.append(f"Too close to call: this run cannot tell it from {names}.")
    if answer.disturbed >= DISTURBED:
        sentences.append(_disturbed_text(answer))
    return " ".join(sentences)


def _disturbed_text(answer: Recommendation) -> str:
    if answer.passes < 2:
        return "Caution: the machine was noisy."
    return "The machine was disturbed in most passes; idle, it is faster."


def noise_text(records: Sequence[Record], answer_cells: Sequence[str] = ()) -> str:
    """Return a sentence on whether the machine was quiet enough for the answers to hold."""
    judged = [r for r in records if r.info.noise.noisy is not None]
    if not judged:
        return "The noise of the machine was not recorded: take small differences with caution."
    noisy = {r.fullname for r in judged if r.info.noise.noisy}
    if not noisy:
        return f"The machine was quiet: none of {len(judged)} cells was disturbed."
    affected = len(noisy.intersection(answer_cells))
    disturbed = f"The machine was disturbed during {len(noisy)} of {len(judged)} cells"
    if affected:
        return (
            f"{disturbed}, {affected} of them behind these answers. "
            "Run again on a quiet machine before relying on small differences."
        )
    return f"{disturbed}, none of them behind these answers. An alternative may look slower than it is."


def impossible_text(records: Sequence[Record]) -> str:
    """Return a sentence on networks that alone took longer than the pipeline they are a part of; empty without any.

    The times of such cells are noise: they were measured when the machine was busy with something else.
    """
    wholes: dict[tuple[object, ...], list[float]] = {}
    for r in records:
        if r.is_pipeline and r.info.recipe != ARTICLE:
            wholes.setdefault((r.info.backend_name, r.info.batch_size, r.info.threads), []).append(r.times.median_s)
    names = [
        f"{r.info.backend_name}, batch {r.info.batch_size}"
        for r in records
        if r.info.stage == "inference"
        and (whole := wholes.get((r.info.backend_name, r.info.batch_size, r.info.threads)))
        and r.times.median_s > max(whole)
    ]
    if not names:
        return ""
    return f"The network alone took longer than the whole pipeline ({clean('; '.join(names))}): that is noise."


def unresolved_text(records: Sequence[Record]) -> str:
    """Return a sentence on the cells that took 0 s by their timer, and cannot be ranked; empty without any."""
    names = [r.name for r in records if r.kind in TIMED and not r.times.resolved]
    if not names:
        return ""
    cells = "1 cell has" if len(names) == 1 else f"{len(names)} cells have"
    which = clean(names[0]) + ("" if len(names) == 1 else " and others")
    return f"{cells} a median of 0 s, below the resolution of the timer: no ratio, rate or ranking ({which})."


def times_pipeline(records: Sequence[Record]) -> bool:
    """Tell whether a run times the way from photos to heat maps, which the answers on time rest on."""
    return any(record.is_pipeline for record in records)


def unanswered_text(file: str, records: Sequence[Record]) -> str:
    """Return which answers on time the file of a run lacks, and the command that measures them.

    Empty where it has them, and where no cell is of this suite.
    """
    if times_pipeline(records) or all(record.kind == "plain" for record in records):
        return ""
    answered = {answer.question for answer in answers(records)}
    missing = " and ".join(TITLES[question] for question in ("latency", "throughput") if question not in answered)
    return f"{file} does not time the whole pipeline, as needed for {missing}; run `{MEASURE_PIPELINE}`."


def three_lines(records: Sequence[Record]) -> list[str]:
    """Return one sentence for each answer that the records allow: set-up, figure, and the next best with its interval.

    Below a stream stand its two lines of Python. One more line names cells that could not be ranked.
    """
    lines = []
    reduced, agreements = fidelity_results.reduced(records), fidelity_results.agreements(records)
    for answer in answers(records):
        sentence = _sentence(answer, reduced, agreements)
        if answer.disturbed >= DISTURBED and answer.tied:
            sentence = f"{UNDECIDED} {sentence}"
        elif answer.disturbed >= DISTURBED:
            sentence = f"{sentence} {_disturbed_text(answer)}"
        lines.append(f"{TITLES[answer.question].capitalize()}: {sentence}")
        lines += [f"    {line}" for line in python_lines(answer, records)]
    return [*lines, *filter(None, [unresolved_text(records)])]


def _sentence(answer: Recommendation, reduced: Collection[str], agreements: Agreements) -> str:
    is_reduced = answer.winner.name in reduced
    alternative = next_best(answer, reduced, agreements)
    remarks = []
    if alternative and alternative.setup not in answer.tied:
        remarks.append(_comparison(answer, alternative, is_reduced))
    if answer.tied:
        remarks.append(f"too close to call: {_listed([_short_name(answer, tied) for tied in answer.tied])}")
    if network := network_text(answer, agreements):
        remarks.append(network)
    if not remarks and answer.question != "memory":
        size = units.time_unit(answer.figure.estimate)[0] if answer.question == "latency" else 1.0
        remarks.append(_interval_text(units.span(answer.figure, size)))
    precision = ", reduced precision" if is_reduced else ""
    bracket = f" ({'; '.join(remarks)})" if remarks else ""
    return f"{_in_words(answer, answer.winner)}, {_estimate_text(answer, answer.figure.estimate)}{precision}{bracket}."


def _estimate_text(answer: Recommendation, value: float) -> str:
    if answer.question == "latency":
        return f"{units.seconds(value)} per photo"
    return f"{units.mib(value)} at the peak" if answer.question == "memory" else units.rate(value)


def _comparison(answer: Recommendation, alternative: Alternative, is_reduced: bool) -> str:
    """Say how far the winner, of reduced precision or not, is ahead of an alternative, and how sure that is."""
    ratio, other = alternative.relative_cost, alternative.setup
    name = _short_name(answer, other)
    if is_reduced and other.recipe != ARTICLE:
        name = f"exact {name}"
    if answer.question == "memory":
        at_size = "" if _is_of_figures(answer, alternative) else f", both with batch {other.batch_size}"
        return f"{name} needs {units.times(ratio.estimate)} as much{at_size}"
    ends = "" if ratio.low == ratio.high else f"{units.times(ratio.low)} to {units.times(ratio.high)}"
    lead = "faster than" if answer.question == "latency" else "as many as"
    return f"{units.times(ratio.estimate)} {lead} {name}, {_interval_text(ends)}"


def _is_of_figures(answer: Recommendation, alternative: Alternative) -> bool:
    """Tell whether a relative cost is the ratio of the two figures; not where both have a larger batch in common."""
    ratio = alternative.figure.estimate / answer.figure.estimate
    return math.isclose(ratio, alternative.relative_cost.estimate, rel_tol=1e-6)


def _interval_text(ends: str) -> str:
    return "no interval" if ends in ("", units.NOTHING) else f"95 % interval {ends}"


def _in_words(answer: Recommendation, chosen: Setup) -> str:
    """Name a set-up as `setup_text` does, as a phrase of a sentence."""
    threads = "" if chosen.threads is None or answer.question == "memory" else units.counted(chosen.threads, "thread")
    size = "" if answer.question == "latency" else f"batch {chosen.batch_size}"
    name = _name(chosen)
    if chosen.stream_photos:
        return f"{name} as a stream" + (f" with {threads} per photo" if threads else "")
    rest = " and ".join(part for part in (size, threads) if part)
    return f"{name} with {rest}" if rest else name


def _name(chosen: Setup) -> str:
    return f"the {chosen.name}" if chosen.recipe == ARTICLE else clean(chosen.name)


def _short_name(answer: Recommendation, chosen: Setup) -> str:
    """Return what tells a set-up from the winner: its name, or its batch or stream where the names are equal."""
    if chosen.name != answer.winner.name:
        return _name(chosen)
    return "a stream" if chosen.stream_photos else f"batch {chosen.batch_size}"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMES
    shown = [*names[:MOST_NAMES], f"{rest} others" if rest > 1 else "another one"] if rest > 0 else list(names)
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
