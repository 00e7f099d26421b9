"""Memory and start-up of fresh processes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from midas_bench.render.document import Table, TableCell, code, count, number, table
from midas_bench.results import units
from midas_bench.results.frame import none_if_missing
from midas_bench.results.kinds import PHASES, Startup
from midas_bench.results.record import backend_name
from midas_bench.results.runs import Record, of_type


def memory(cells: pd.DataFrame) -> Table | None:
    """Show the memory of every process."""
    processes = cells[cells.kind == "memory"].sort_values("peak_rss_bytes")
    columns = ("cell", "backend", "recipe", "batch#", "scene", "after imports#", "after load#", "peak#")
    rows = [
        [code(str(row["name"])), TableCell(backend_name(row.backend, none_if_missing(row.model))),
         TableCell(str(none_if_missing(row.recipe) or "fast")), count(row.batch_size),
         TableCell(str(none_if_missing(row.scene) or units.NOTHING)),
         *(number(units.mib(none_if_missing(row[key])), none_if_missing(row[key]))
           for key in ("baseline_rss_bytes", "loaded_rss_bytes", "peak_rss_bytes"))]
        for _, row in processes.iterrows()
    ]  # fmt: skip
    return table("memory", "Memory of each process", columns, rows)


def startup(records: Sequence[Record]) -> Table | None:
    """Show the phases of start-up, means over fresh processes."""
    rows = []
    for r in of_type(records, Startup):
        means = {phase: sum(v) / len(v) for phase, v in r.info.phases_s.items() if v}
        processes = max(map(len, r.info.phases_s.values()))
        times = [means.get(phase) for phase in PHASES]
        rows.append([TableCell(r.info.backend_name), TableCell(r.info.cache_state), count(processes),
                     *(number(units.seconds(t), t) for t in (*times, r.info.mean_build_s))])  # fmt: skip
    columns = ("backend", "cache", "processes#", "import#", "load#", "first inference#", "steady#", "making the graph#")
    return table("startup", "Start-up by phase", columns, rows)
