"""LoadGen's log files: the outcome of a run, and the responses of an accuracy run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DETAIL = "mlperf_log_detail.txt"
ACCURACY = "mlperf_log_accuracy.json"
PREFIX = ":::MLLOG "
NS = 1e9
PERCENTILES = ("50", "90", "99")
THROUGHPUT = {
    "single-stream": "result_qps_with_loadgen_overhead",
    "offline": "result_samples_per_second",
    "server": "result_completed_samples_per_sec",
}
EARLY_STOPPING = {"single-stream": "early_stopping_latency_ss", "multi-stream": "early_stopping_latency_ms"}


@dataclass(frozen=True)
class Outcome:
    """One run, as LoadGen judged it.

    Attributes:
        valid: whether LoadGen judged it valid.
        reasons: why not.
        queries: how many it issued.
        latency_s: p50, p90 and p99 of the queries.
        mean_s: their mean.
        images_per_second: samples that LoadGen saw completed; None in MultiStream, where it reports none.
        early_stopping_s: its estimate of the scenario's percentile, raised by what so many queries leave uncertain;
            None where there were too few for it.
        holds_bound: whether Server's latency bound was met.
    """

    valid: bool
    reasons: tuple[str, ...]
    queries: int
    latency_s: Mapping[str, float]
    mean_s: float
    images_per_second: float | None
    early_stopping_s: float | None
    holds_bound: bool


def log_values(folder: Path) -> dict[str, Any]:
    """Return LoadGen's detailed log as names and values, the last of each name."""
    lines = (folder / DETAIL).read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line.removeprefix(PREFIX)) for line in lines if line.startswith(PREFIX)]
    return {entry["key"]: entry["value"] for entry in entries}


def outcome(folder: Path, scenario: str) -> Outcome:
    """Read how a performance run went."""
    log = log_values(folder)
    per = "per_query_" if scenario == "multi-stream" else ""
    early_ns = log.get(EARLY_STOPPING.get(scenario, ""), 0)
    return Outcome(
        valid=log["result_validity"] == "VALID" and not log["num_errors"],
        reasons=tuple(_reasons(log)),
        queries=log["result_query_count"],
        latency_s={f"p{p}": log[f"result_{p}.00_percentile_{per}latency_ns"] / NS for p in PERCENTILES},
        mean_s=log[f"result_mean_{'query_' if per else ''}latency_ns"] / NS,
        images_per_second=log.get(THROUGHPUT.get(scenario, "")),
        early_stopping_s=early_ns / NS if log["early_stopping_met"] and early_ns else None,
        holds_bound=log.get("result_perf_constraints_met", True),
    )


def _reasons(log: Mapping[str, Any]) -> list[str]:
    early_stopping = " ".join(str(log.get("early_stopping_result", "")).replace("*", " ").split())
    rules = {
        "result_min_duration_met": "shorter than the minimum duration",
        "result_min_queries_met": "fewer queries than the minimum",
        "result_perf_constraints_met": "the latency bound was not met",
        "early_stopping_met": f"early stopping: {early_stopping}",
    }
    reasons = [text for name, text in rules.items() if log.get(name) is False]
    return reasons + ([f"LoadGen reported {log['num_errors']} errors"] if log.get("num_errors") else [])


def responses(folder: Path, shape: tuple[int, ...]) -> dict[int, NDArray[np.float32]]:
    """Return what was answered in an accuracy run, by the sample's index: float32 of the shape."""
    entries = json.loads((folder / ACCURACY).read_text(encoding="utf-8"))
    return {
        entry["qsl_idx"]: np.frombuffer(bytes.fromhex(entry["data"]), np.float32).reshape(shape) for entry in entries
    }
