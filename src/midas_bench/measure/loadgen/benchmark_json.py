"""LoadGen's results in the form of pytest-benchmark's JSON, which `midas-bench report` reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from midas_bench.measure.machine import MachineFacts
from midas_bench.results.load_records import Load
from midas_bench.results.run_files import SCHEMA


def cell_name(backend: str, scenario: str) -> str:
    """Return a cell's id."""
    return f"loadgen[{scenario}-{backend}]"


def cell(load: Load, took_s: float) -> dict[str, Any]:
    """Return one benchmark: its one round is the run as a whole."""
    name = cell_name(str(load.backend), load.scenario)
    figures = dict.fromkeys(("min", "max", "mean", "median"), took_s)
    return {
        "name": name,
        "fullname": name,
        "group": "load",
        "extra_info": load.to_extra_info(),
        "stats": {**figures, "stddev": 0.0, "rounds": 1, "iterations": 1, "data": [took_s]},
    }


def document(
    machine: MachineFacts,
    cells: Sequence[Mapping[str, Any]],
    planned: Sequence[str],
    failed: Iterable[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Return the whole file; it is partial as long as a planned cell is missing."""
    finished = [each["name"] for each in cells]
    return {
        "datetime": datetime.now(UTC).isoformat(),
        "machine_info": {
            "cpu": {"brand_raw": machine.cpu_model, "count": machine.logical_cores},
            "midas_bench": machine.to_json(),
        },
        "benchmarks": list(cells),
        "midas_bench": {
            "schema": SCHEMA,
            "status": "complete" if set(planned) <= set(finished) else "partial",
            "planned": list(planned),
            "finished": finished,
            "failed": [{"cell": name, "reason": reason} for name, reason in failed],
            "skipped": [],
        },
    }
