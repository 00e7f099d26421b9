"""The one-line summary of a LoadGen result."""

from __future__ import annotations

from midas_bench.measure.loadgen.rules import PERCENTILE
from midas_bench.results import units
from midas_bench.results.load_records import Load


def headline(load: Load) -> str:
    """Return the scenario and its figure, such as `single-stream: p90 61.2 ms`."""
    p = {name: units.seconds(value) for name, value in load.query_latency_s.items()}
    if load.scenario == "offline":
        figure = units.rate(load.images_per_second)
    elif load.scenario == "server":
        held = f"p99 within {units.seconds(load.latency_bound_s)}"
        rate = load.target_per_second
        figure = f"no rate that was tried has a {held}" if rate is None else f"{units.rate(rate)} with a {held}"
        figure += f" (p50 {p['p50']}, p99 {p['p99']})"
    else:
        name = f"p{PERCENTILE[load.scenario] * 100:.0f}"
        early = f", {units.seconds(load.early_stopping_s)} by early stopping" if load.early_stopping_s else ""
        figure = f"{name} {p[name]}{early} (p50 {p['p50']}, {units.rate(load.images_per_second)})"
    count = f", {load.queries} queries" if load.scenario != "offline" else ""
    return f"{load.scenario}: {figure}{count}"


def verdict(load: Load) -> str:
    """Return whether it holds, and why not."""
    if load.rules == "short":
        return "short run, not valid"
    return "valid" if load.valid else f"NOT VALID: {load.invalid_reason}"
