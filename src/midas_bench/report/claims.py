"""Each claim of claims.toml beside what this run measured."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from midas_bench.results import units
from midas_bench.results.intervals import Interval
from midas_bench.results.kinds import Memory, Ratio, SceneRatio
from midas_bench.results.pass_ratios import pipelines, stages, time_ratio
from midas_bench.results.ranking import ARTICLE, fastest
from midas_bench.results.runs import Record, of_own_models, of_type

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot tell"
NOT_FOR_MODEL = "not for this model"
OF_MIDAS = (
    "article_latency", "article_memory", "article_throughput", "parameters", "preprocess_share", "time_saved_best",
    "time_saved_jit", "time_saved_onnx",
)  # fmt: skip
"""Measures of the article's recipe, of PyTorch's backends, or of the network itself; a model of one's own has none."""
FORMATS: Mapping[str, Callable[[Interval], str]] = {
    "s": units.seconds_span,
    "bytes": lambda value: units.with_span(f"{units.digits(value.estimate / 1e9)} GB", value, 1e9),
    "rate": units.rate_span,
    "share": units.percent_span,
    "ratio": units.times_span,
    "millions": lambda value: f"{units.digits(value.estimate)} million",
}


@dataclass(frozen=True)
class Part:
    """One measured figure behind a claim; `name` tells it from the others where there are several."""

    name: str
    value: Interval


@dataclass(frozen=True)
class Unknown:
    """Why a claim cannot be judged."""

    reason: str


Measured = Sequence[Part] | Unknown


@dataclass(frozen=True)
class ClaimFinding:
    """One row of the claim table.

    Attributes:
        measured: the figures with their intervals, or a dash.
        verdict: holds, does not hold, cannot tell, or not for this model.
        why: what the verdict rests on, or why there is none.
    """

    id: str
    text: str
    article: str
    measured: str
    verdict: str
    why: str


def findings(records: Sequence[Record]) -> list[ClaimFinding]:
    """Judge every claim by the records of one run."""
    rows = tomllib.loads(files("midas_bench.report").joinpath("claims.toml").read_text(encoding="utf-8"))["claim"]
    own = of_own_models(records)
    return [
        _not_for_model(row)
        if own and row["measure"] in OF_MIDAS
        else _finding(row, MEASURES[row["measure"]](records, row))
        for row in rows
    ]


def _not_for_model(row: Mapping[str, Any]) -> ClaimFinding:
    why = "The article's recipe, eager and jit run MiDaS_small alone."
    return ClaimFinding(row["id"], row["text"], row["article"], units.NOTHING, NOT_FOR_MODEL, why)


def _finding(row: Mapping[str, Any], measured: Measured) -> ClaimFinding:
    if isinstance(measured, Unknown):
        return ClaimFinding(row["id"], row["text"], row["article"], units.NOTHING, OPEN, measured.reason)
    written = FORMATS[row["unit"]]
    figures = "; ".join(f"{part.name} {written(part.value)}".strip() for part in measured)
    why = row.get("note", "")
    if row["unit"] != "bytes" and any(part.value.confidence == 0 for part in measured):
        why = f"No interval: too few rounds, or the machine was disturbed. {why}".strip()
        return ClaimFinding(row["id"], row["text"], row["article"], figures, OPEN, why)
    verdict = together(row["rule"], [judge(row, part.value) for part in measured])
    if verdict == OPEN:
        why = f"The interval reaches over the limit. {why}".strip()
    return ClaimFinding(row["id"], row["text"], row["article"], figures, verdict, why)


def judge(row: Mapping[str, Any], value: Interval) -> str:
    """Tell whether a whole interval keeps a claim's rule, breaks it, or reaches over its limit."""
    low, high = row.get("low", float("-inf")), row.get("high", float("inf"))
    inside = low <= value.low and value.high <= high
    apart = value.high < low or value.low > high
    if row["rule"] == "outside":
        inside, apart = apart, inside
    return HOLDS if inside else FAILS if apart else OPEN


def together(rule: str, verdicts: Sequence[str]) -> str:
    """Join the parts' verdicts: all must hold, and one that does not decides; for `outside`, one that holds does."""
    decisive = HOLDS if rule == "outside" else FAILS
    return next((verdict for verdict in (decisive, OPEN) if verdict in verdicts), verdicts[0])


def _article(records: Sequence[Record]) -> list[Record]:
    return [r for r in records if r.is_pipeline and r.info.recipe == ARTICLE and r.info.batch_size == 1]


def _article_latency(records: Sequence[Record], _: Mapping[str, Any]) -> Measured:
    cells = _article(records)
    return [Part(str(r.info.scene), r.times.median) for r in cells] or Unknown("The article's recipe was not timed.")


def _article_throughput(records: Sequence[Record], _: Mapping[str, Any]) -> Measured:
    answer = fastest(_article(records))
    return [Part("", answer.figure.inverted())] if answer else Unknown("The article's recipe was not timed.")


def _article_memory(records: Sequence[Record], _: Mapping[str, Any]) -> Measured:
    cells = [r for r in of_type(records, Memory) if r.info.backend == "eager" and r.info.batch_size == 1]
    cells = [r for r in cells if r.info.recipe == ARTICLE] or cells
    peaks = [float(r.info.peak_rss_bytes) for r in cells]
    if not peaks:
        return Unknown("The memory of eager at batch 1 was not measured.")
    return [Part("", Interval(sum(peaks) / len(peaks), min(peaks), max(peaks), confidence=0.0))]


def _ratios(records: Sequence[Record]) -> list[Ratio]:
    return [r.info for r in of_type(records, Ratio) if r.kind == "ratio"]


def _ratio_names(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(ratio.name for ratio in _ratios(records)))


def _ratio(records: Sequence[Record], name: str) -> Interval | None:
    """Return the ratio of that name; of its short and its long form, that with most blocks."""
    ratios = [ratio for ratio in _ratios(records) if ratio.name == name and ratio.estimate]
    return max(ratios, key=lambda ratio: len(ratio.block_log_ratios)).estimate if ratios else None


def _preprocess_share(records: Sequence[Record], _: Mapping[str, Any]) -> Measured:
    parts = [stages(records, stage, ARTICLE) for stage in ("decode", "preprocess")]
    in_passes = time_ratio(parts, pipelines(records, "eager", recipe=ARTICLE))
    share = _ratio(records, "article preprocess share") or in_passes
    return [Part("", share)] if share else Unknown("The run times the article's recipe and its stages in no passes.")


def _over_eager(records: Sequence[Record], backend: str) -> Interval | None:
    """Return a backend's time over eager's: from blocks if there are any, else from the passes."""
    return _ratio(records, f"{backend}/eager") or time_ratio([pipelines(records, backend)], pipelines(records, "eager"))


def _time_saved(backend: str) -> Callable[[Sequence[Record], Mapping[str, Any]], Measured]:
    def saved(records: Sequence[Record], _: Mapping[str, Any]) -> Measured:
        ratio = _over_eager(records, backend)
        if ratio:
            return [Part("", ratio.mapped(-1, 1))]
        return Unknown(f"The run has neither a block ratio '{backend}/eager' nor passes with both.")

    return saved


def _time_saved_best(records: Sequence[Record], _: Mapping[str, Any]) -> Measured:
    names = [name.removesuffix("/eager") for name in _ratio_names(records) if name.endswith("/eager")]
    names += [r.info.backend_name for r in records if r.is_pipeline and r.info.backend != "eager"]
    ratios = {name: ratio for name in dict.fromkeys(names) if (ratio := _over_eager(records, name))}
    if not ratios:
        return Unknown("The run compares no backend with eager, in blocks or in passes.")
    best = min(ratios, key=lambda name: ratios[name].estimate)
    return [Part(best, ratios[best].mapped(-1, 1))]


def _batch_gain(records: Sequence[Record], _: Mapping[str, Any]) -> Measured:
    start = "b4/b1 per photo"
    parts = [
        Part(name.removeprefix(start).strip(), ratio.inverted())
        for name in _ratio_names(records)
        if name.startswith(start) and (ratio := _ratio(records, name))
    ]
    if not parts:
        names = dict.fromkeys(r.info.backend_name for r in records if r.is_pipeline)
        in_passes = {name: time_ratio([pipelines(records, name, 4)], pipelines(records, name)) for name in names}
        parts = [Part(name, ratio.mapped(1 / 4).inverted()) for name, ratio in in_passes.items() if ratio]
    return parts or Unknown("The run compares batches of four with single photos in neither blocks nor passes.")


def _scene_effect(records: Sequence[Record], _: Mapping[str, Any]) -> Measured:
    parts = [
        Part(f"{r.info.scene}/{r.info.baseline_scene}", estimate)
        for r in of_type(records, SceneRatio)
        if r.info.stage == "inference" and (estimate := r.info.estimate)
    ]
    return parts or Unknown("The network was not timed scene against scene.")


def _parameters(_: Sequence[Record], row: Mapping[str, Any]) -> Measured:
    counts = {"stored": row["stored"] / 1e6, "used": row["used"] / 1e6}
    return [Part(name, Interval(count, count, count, confidence=1.0)) for name, count in counts.items()]


def _frames(records: Sequence[Record], _: Mapping[str, Any]) -> Measured:
    recipe, best = fastest(_article(records)), fastest(records)
    parts = [Part("article's recipe", recipe.figure.inverted())] if recipe else []
    if best and best.winner.recipe != ARTICLE:
        parts.append(Part(best.winner.name, best.figure.inverted()))
    return parts or Unknown("The whole pipeline was not timed.")


MEASURES: Mapping[str, Callable[[Sequence[Record], Mapping[str, Any]], Measured]] = {
    "article_latency": _article_latency,
    "article_memory": _article_memory,
    "article_throughput": _article_throughput,
    "batch_gain": _batch_gain,
    "frames": _frames,
    "parameters": _parameters,
    "preprocess_share": _preprocess_share,
    "scene_effect": _scene_effect,
    "time_saved_best": _time_saved_best,
    "time_saved_jit": _time_saved("jit"),
    "time_saved_onnx": _time_saved("onnx"),
}
