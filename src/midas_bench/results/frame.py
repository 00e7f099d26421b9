"""Runs -> one tidy table: one row per cell, one column per fact, SI units."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from midas_bench.results.runs import TIMED, Record, Run

FIDELITY = ("max_relative_error", "mean_relative_error", "rank_correlation", "flipped_pairs")
PEAK = ("flop", "peak_flop_per_s")
COLUMNS = (
    "label", "run", "when", "commit", "machine", "status", "fullname", "name", "benchmark", "group", "kind", "scene",
    "backend", "recipe", "stage", "batch_size", "stream_photos", "threads", "rounds", "median_s", "median_low_s",
    "median_high_s", "mean_s", "min_s", "max_s", "stddev_s", "images_per_second", "load_s", "first_inference_s",
    *FIDELITY, *PEAK, "peer", "peer_median_s", "peak_rss_bytes", "baseline_rss_bytes", "loaded_rss_bytes",
    "ratio", "ratio_estimate", "ratio_low", "ratio_high", "noisy", "noise_reasons", "photos_repeated", "weights",
)  # fmt: skip


def frame(runs: Iterable[Run], label: str = "") -> pd.DataFrame:
    """Return one row for each cell of each run, with `COLUMNS`; a fact that a cell lacks is missing (NA)."""
    rows = [_row(run, record, label or run.name) for run in runs for record in run.records]
    table = pd.DataFrame(rows, columns=pd.Index(COLUMNS))
    whole = [
        "batch_size",
        "stream_photos",
        "threads",
        "rounds",
        "peak_rss_bytes",
        "baseline_rss_bytes",
        "loaded_rss_bytes",
    ]
    return table.astype(dict.fromkeys(whole, "Int64") | {"noisy": "boolean"})


def _row(run: Run, record: Record, label: str) -> dict[str, Any]:
    times, memory, ratio, noise = record.times, record.memory, record.ratio, record.noise
    row: dict[str, Any] = {
        "label": label,
        "run": run.name,
        "when": run.when,
        "commit": run.commit,
        "machine": run.machine.kind,
        "status": run.status,
        "weights": record.weights_source,
    }
    for name in ("fullname", "name", "benchmark", "group", "kind", "scene", "backend", "recipe", "stage"):
        row[name] = getattr(record, name)
    for name in (
        "batch_size",
        "stream_photos",
        "threads",
        "load_s",
        "first_inference_s",
        *FIDELITY,
        *PEAK,
        "photos_repeated",
    ):
        row[name] = getattr(record, name)
    if record.kind in TIMED:
        row |= {name: getattr(times, name) for name in ("rounds", "median_s", "mean_s", "min_s", "max_s", "stddev_s")}
        row["images_per_second"] = record.images_per_second
        if times.interval:
            row |= {"median_low_s": times.interval.low, "median_high_s": times.interval.high}
    if memory:
        row["peak_rss_bytes"] = memory.peak_bytes
        row |= {"baseline_rss_bytes": memory.baseline_bytes, "loaded_rss_bytes": memory.loaded_bytes}
    if ratio:
        row["ratio"] = ratio.name
        if ratio.interval:
            row["ratio_estimate"] = ratio.interval.estimate
            row |= {"ratio_low": ratio.interval.low, "ratio_high": ratio.interval.high}
    if record.peer:
        row |= {"peer": record.peer.name, "peer_median_s": record.peer.median.estimate}
    if noise:
        row |= {"noisy": noise.noisy, "noise_reasons": "; ".join(noise.reasons)}
    return row


def none_if_missing(value: Any) -> Any:
    """Return a fact out of the table, or None where the cell lacks it."""
    return None if pd.isna(value) else value
