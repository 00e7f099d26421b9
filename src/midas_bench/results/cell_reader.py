"""One benchmark of a JSON file -> a record."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from midas_bench.errors import UserError
from midas_bench.results.intervals import median_interval
from midas_bench.results.json_fields import Fields, clean
from midas_bench.results.kinds import KINDS, Memory, Ratio
from midas_bench.results.passes import pass_medians
from midas_bench.results.record import CellInfo
from midas_bench.results.runs import CellRecord, Record, Times
from midas_bench.results.struct_reader import read
from midas_bench.results.units import MIB

TIMERS_IN_NANOSECONDS = "_ns"
PLAIN = "plain"


def record_from(benchmark: Fields, path: Path) -> Record:
    """Turn one entry of `benchmarks` into a record.

    Raises:
        UserError: a value is of the wrong type, or its unit cannot be the one it must have.
    """
    name = benchmark.text("name") or benchmark.text("fullname")
    if name is None:
        raise benchmark.wrong("name", None, "a string")
    fullname = benchmark.text("fullname") or name
    fields = benchmark.section("extra_info") or Fields(path, "extra_info", {})
    kind = fields.plain("kind")
    # the extra_info of other projects may hold anything under our names
    own = KINDS.get(kind) if isinstance(kind, str) else None
    info = CellInfo() if own is None else _info(fields, own)
    if isinstance(info, Memory) and info.peak_rss_bytes < MIB:
        peak = f"{clean(fullname)} has a peak of {info.peak_rss_bytes} bytes"
        reason = f"{peak}, less than any process needs, so its unit is another one"
        raise UserError(path, reason, "leave the file out")
    return CellRecord(
        fullname=fullname,
        name=name,
        group=benchmark.text("group"),
        kind=PLAIN if own is None else str(kind),
        times=_times(benchmark, info, path, clean(fullname)),
        info=info,
    )


def _info(fields: Fields, kind: type[CellInfo]) -> CellInfo:
    info = read(fields, kind)
    if isinstance(info, Ratio) and not (info.interval or info.block_log_ratios):
        info = None
    return info or read(fields, CellInfo) or CellInfo()


def _times(benchmark: Fields, info: CellInfo, path: Path, fullname: str) -> Times:
    stats = benchmark.section("stats")
    if stats is None:
        raise benchmark.wrong("stats", None, "an object")
    options = benchmark.section("options")
    timer = options.text("timer") if options else None
    if timer and timer.endswith(TIMERS_IN_NANOSECONDS):
        raise UserError(path, f"{fullname} was timed with {timer}, in nanoseconds", "time with a timer of seconds")
    rounds_s = np.array(stats.numbers("data"), np.float64)
    rounds_s.setflags(write=False)
    median_s = stats.required("median", "seconds")
    low, high = stats.required("min", "seconds"), stats.required("max", "seconds")
    _check_seconds(path, fullname, "its raw rounds", float(np.median(rounds_s)) if len(rounds_s) else None, median_s)
    _check_seconds(path, fullname, "latency_s", info.latency_s.p50, median_s)
    if not low <= median_s <= high:
        raise UserError(path, f"{fullname} has a median outside its own range", "leave the file out")
    passes_s = pass_medians(rounds_s, info.rounds_by_pass)
    if len(passes_s) > 1:
        median_s = float(np.median(passes_s))
    return Times(
        rounds=stats.whole("rounds") or len(rounds_s),
        median_s=median_s,
        mean_s=stats.required("mean", "seconds"),
        min_s=low,
        max_s=high,
        stddev_s=stats.number("stddev", "seconds") or 0.0,
        interval=info.median_ci_s.around(median_s) if info.median_ci_s else median_interval(rounds_s),
        rounds_s=rounds_s,
        passes_s=passes_s,
    )


def _check_seconds(path: Path, fullname: str, name: str, value: float | None, median_s: float) -> None:
    if value is not None and not 0.5 * median_s <= value <= 2 * median_s:
        reason = f"{fullname} mixes units: the median is {median_s:g} s by its stats and {value:g} by {name}"
        raise UserError(path, reason, "leave the file out")
