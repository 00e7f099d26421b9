"""Runs -> one tidy table: one row per cell, one column per fact, SI units."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from msgspec import inspect

from midas_bench.results.kinds import KINDS, Peer, Ratio
from midas_bench.results.load_records import Load
from midas_bench.results.runs import TIMED, Record, Run
from midas_bench.results.struct_reader import keys_of, value_type

# beside pyarrow, pandas would keep text as UTF-8, which cannot hold every name that a file may have
pd.set_option("mode.string_storage", "python")

SCALARS = (inspect.StrType, inspect.IntType, inspect.FloatType, inspect.BoolType)
FIGURES = {
    key.name: scalar
    for kind in KINDS.values()
    for key in keys_of(kind)
    if isinstance(scalar := value_type(key.type), SCALARS)
}
"""Every key of a cell that holds one value and is read, with its type: a column of its own."""
FIRST_COLUMNS = (
    "label", "run", "when", "commit", "machine", "status", "fullname", "name", "benchmark", "group", "kind", "scene",
    "backend", "recipe", "stage", "batch_size", "stream_photos", "threads", "rounds", "median_s", "median_low_s",
    "median_high_s", "mean_s", "min_s", "max_s", "stddev_s", "images_per_second", "load_s", "first_inference_s",
    "max_relative_error", "mean_relative_error", "rank_correlation", "flipped_pairs", "flop", "peak_flop_per_s",
    "peer", "peer_median_s", "peak_rss_bytes", "baseline_rss_bytes", "loaded_rss_bytes",
    "ratio", "ratio_estimate", "ratio_low", "ratio_high", "noisy", "noise_reasons", "photos_repeated", "weights",
)  # fmt: skip
"""The places that columns have had since they were first saved; further figures follow in the order of their kinds."""
COLUMNS = (*FIRST_COLUMNS, *(name for name in FIGURES if name not in FIRST_COLUMNS), "passes", "disturbed_passes")
# programs that read these tables know flop as a number with a point
WHOLE = (
    "rounds",
    "passes",
    "disturbed_passes",
    *(name for name, kind in FIGURES.items() if isinstance(kind, inspect.IntType) and name != "flop"),
)


def frame(runs: Iterable[Run], label: str = "") -> pd.DataFrame:
    """Return one row for each cell of each run, with `COLUMNS`; a fact that a cell lacks is missing (NA)."""
    rows = [_row(run, record, label or run.name) for run in runs for record in run.records]
    table = pd.DataFrame(rows, columns=pd.Index(COLUMNS))
    return table.astype(dict.fromkeys(WHOLE, "Int64") | {"noisy": "boolean"})


def _row(run: Run, record: Record, label: str) -> dict[str, Any]:
    times, info = record.times, record.info
    row: dict[str, Any] = {name: getattr(info, name) for name in info.__struct_fields__ if name in FIGURES}
    row |= {name: getattr(record, name) for name in ("fullname", "name", "benchmark", "group", "kind")}
    row |= {
        "label": label,
        "run": run.name,
        "when": run.when,
        "commit": run.commit,
        "machine": run.machine.kind,
        "status": run.status,
        "weights": info.weights.source,
        "photos_repeated": bool(info.photos_repeated),
        "images_per_second": None,
    }
    if record.kind in TIMED:
        row |= {name: getattr(times, name) for name in ("rounds", "median_s", "mean_s", "min_s", "max_s", "stddev_s")}
        row["images_per_second"] = record.images_per_second
        row["passes"] = len(times.passes_s) or None
        if times.interval:
            row |= {"median_low_s": times.interval.low, "median_high_s": times.interval.high}
    if isinstance(info, Load):
        # a process under load holds its queue too, so its peak is not what a call needs
        row["peak_rss_bytes"] = None
    if isinstance(info, Ratio):
        row["ratio"] = info.name
        if ratio := info.estimate:
            row |= {"ratio_estimate": ratio.estimate, "ratio_low": ratio.low, "ratio_high": ratio.high}
    if isinstance(info, Peer) and info.peer_median_s is None:
        row["peer_median_s"] = times.median_s
    if info.noise.noisy is not None:
        row |= {"noisy": info.noise.noisy, "noise_reasons": "; ".join(info.noise.reasons)}
        row["disturbed_passes"] = len(info.noise.disturbed_passes) if len(times.passes_s) else None
    return row


def none_if_missing(value: Any) -> Any:
    """Return a fact out of the table, or None where the cell lacks it."""
    return None if pd.isna(value) else value
