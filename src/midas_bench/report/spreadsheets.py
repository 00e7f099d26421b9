"""Records -> tidy CSV: one row per observation, SI units, the unit in the column's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from midas_bench.report.report_data import ReportData
from midas_bench.results.frame import frame
from midas_bench.results.kinds import Memory, Ratio, Startup
from midas_bench.results.load_records import Load
from midas_bench.results.runs import TIMED, Record, of_type

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula, or leaves out before one."""

NAMES = ("cells", "rounds", "claims", "blocks", "memory_over_time", "startup", "load", "history", "comparison",
         "machines")  # fmt: skip
"""Every file that may be written, without its suffix."""


def spreadsheets(data: ReportData) -> dict[str, str]:
    """Return the text of each CSV file that has rows, by name."""
    records = data.run.records
    tables: Mapping[str, pd.DataFrame] = {
        "cells": data.cells,
        "rounds": _rounds(records),
        "claims": pd.DataFrame([vars(finding) for finding in data.findings]),
        "blocks": pd.DataFrame(_blocks(records)),
        "memory_over_time": pd.DataFrame(_memory(records)),
        "startup": pd.DataFrame(_startup(records)),
        "load": pd.DataFrame(_load(records)),
        "history": frame(data.history) if len(data.history) > 1 else pd.DataFrame(),
        "comparison": pd.DataFrame(_comparison(data)),
    }
    return {name: safe(table).to_csv(index=False) for name, table in tables.items() if not table.empty}


def safe(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before text that a spreadsheet would take for a formula.

    Source: OWASP, CSV Injection.
    """
    texts = table.select_dtypes(include=["object", "string"]).columns
    guarded = {
        name: table[name].map(lambda v: f"'{v}" if isinstance(v, str) and v.startswith(FORMULA) else v)
        for name in texts
    }
    return table.assign(**guarded)


def _rounds(records: Iterable[Record]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"fullname": r.fullname, "round": range(len(r.times.rounds_s)), "time_s": r.times.rounds_s})
        for r in records
        if len(r.times.rounds_s) and r.kind in TIMED
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _blocks(records: Iterable[Record]) -> Iterable[dict[str, object]]:
    for r in of_type(records, Ratio):
        for block, log_ratio in enumerate(r.info.block_log_ratios):
            yield {"fullname": r.fullname, "ratio": r.info.name, "block": block, "log_ratio": log_ratio}


def _memory(records: Iterable[Record]) -> Iterable[dict[str, object]]:
    for r in of_type(records, Memory):
        samples = r.info.rss_over_time
        for t_s, rss_bytes in zip(samples.t_s, samples.rss_bytes, strict=True):
            yield {"fullname": r.fullname, "t_s": t_s, "rss_bytes": int(rss_bytes)}


def _startup(records: Iterable[Record]) -> Iterable[dict[str, object]]:
    for r in of_type(records, Startup):
        cell = _model_of(r) | {"backend": r.info.backend, "cache": r.info.cache_state}
        for phase, times in r.info.phases_s.items():
            for process, time_s in enumerate(times):
                yield cell | {"process": process, "phase": phase, "time_s": time_s}


def _model_of(record: Record) -> dict[str, object]:
    """Return the column that only a run of several models has."""
    return {"model": record.info.model} if record.info.model else {}


def _load(records: Iterable[Record]) -> Iterable[dict[str, object]]:
    for r in of_type(records, Load):
        cell = _model_of(r) | {"fullname": r.fullname, "backend": r.info.backend, "scenario": r.info.scenario}
        for point in r.info.load_points:
            yield cell | point.to_row()


def _comparison(data: ReportData) -> Iterable[dict[str, object]]:
    for compared in data.comparisons:
        for change in compared.changes:
            yield {
                "before_label": compared.before.label,
                "after_label": compared.after.label,
                "fullname": change.fullname,
                "figure": change.figure,
                "unit": change.unit,
                "before": change.before,
                "after": change.after,
                "ratio": change.ratio.estimate if change.ratio else None,
                "ratio_low": change.ratio.low if change.ratio and change.ratio.confidence else None,
                "ratio_high": change.ratio.high if change.ratio and change.ratio.confidence else None,
                "by_file": compared.by_file,
                "verdict": change.verdict,
            }
