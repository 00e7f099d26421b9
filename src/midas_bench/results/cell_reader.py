"""One benchmark of a JSON file -> a record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from midas_bench.errors import UserError
from midas_bench.results.intervals import CONFIDENCE, Interval, block_ratio, median_interval
from midas_bench.results.json_fields import Fields, clean
from midas_bench.results.kinds import KINDS, PHASES
from midas_bench.results.load_records import Load
from midas_bench.results.runs import CellNoise, Memory, Peer, PhotoRecord, Ratio, Record, Startup, Times
from midas_bench.results.struct_reader import read

MIB = 1024 * 1024
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
    info = benchmark.section("extra_info") or Fields(path, "extra_info", {})
    kind = info.plain("kind")
    is_own = isinstance(kind, str) and kind in KINDS
    record = Record(
        fullname=fullname,
        name=name,
        group=benchmark.text("group"),
        kind=str(kind) if is_own else PLAIN,
        times=_times(benchmark, info if is_own else Fields(path, "extra_info", {}), path, clean(fullname)),
    )
    # the extra_info of other projects may hold anything under our names
    return _described(record, info, path) if is_own else record


def _described(record: Record, info: Fields, path: Path) -> Record:
    weights = info.section("weights")
    return replace(
        record,
        scene=info.text("scene"),
        backend=info.text("backend"),
        recipe=info.text("recipe"),
        stage=info.text("stage"),
        batch_size=info.whole("batch_size"),
        stream_photos=info.whole("stream_photos"),
        threads=info.whole("threads"),
        photos=tuple(_photo(photo) for photo in info.sections("photos")),
        photos_repeated=bool(info.flag("photos_repeated")),
        weights_source=weights.text("source") if weights else None,
        weights_sha256=weights.text("sha256") if weights else None,
        load_s=info.number("load_s", "seconds"),
        first_inference_s=info.number("first_inference_s", "seconds"),
        max_relative_error=info.number("max_relative_error"),
        mean_relative_error=info.number("mean_relative_error"),
        rank_correlation=info.number("rank_correlation", signed=True),
        flipped_pairs=info.number("flipped_pairs"),
        noise=_noise(info),
        # a process under load holds its queue too, so its peak is not what a call needs
        memory=None if record.kind == "load" else _memory(info, path, clean(record.fullname)),
        startup=_startup(info),
        ratio=_ratio(info),
        depth_maps=info.texts("depth_maps"),
        flop=info.whole("flop"),
        peak_flop_per_s=info.number("peak_flop_per_s"),
        peer=_peer(info, record.times),
        load=read(info, Load) if record.kind == "load" else None,
    )


def _times(benchmark: Fields, info: Fields, path: Path, fullname: str) -> Times:
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
    latency = info.section("latency_s")
    _check_seconds(path, fullname, "latency_s", latency.number("p50", "seconds") if latency else None, median_s)
    if not low <= median_s <= high:
        raise UserError(path, f"{fullname} has a median outside its own range", "leave the file out")
    return Times(
        rounds=stats.whole("rounds") or len(rounds_s),
        median_s=median_s,
        mean_s=stats.required("mean", "seconds"),
        min_s=low,
        max_s=high,
        stddev_s=stats.number("stddev", "seconds") or 0.0,
        interval=_median_interval(info, rounds_s, median_s),
        rounds_s=rounds_s,
    )


def _check_seconds(path: Path, fullname: str, name: str, value: float | None, median_s: float) -> None:
    if value is not None and not 0.5 * median_s <= value <= 2 * median_s:
        reason = f"{fullname} mixes units: the median is {median_s:g} s by its stats and {value:g} by {name}"
        raise UserError(path, reason, "leave the file out")


def _median_interval(info: Fields, rounds_s: np.ndarray, median_s: float) -> Interval | None:
    recorded = _interval(info, "median_ci_s", median_s)
    return recorded or median_interval(rounds_s)


def _interval(info: Fields, name: str, estimate: float | None) -> Interval | None:
    section = info.section(name)
    if section is None:
        return None
    low, high = section.number("low"), section.number("high")
    estimate = section.number("estimate") if estimate is None else estimate
    if low is None or high is None or estimate is None:
        return None
    if not low <= high:
        raise section.wrong("low", low, f"below high, {high:g}")
    confidence = section.number("confidence")
    return Interval(estimate, low, high, CONFIDENCE if confidence is None else confidence)


def _photo(photo: Fields) -> PhotoRecord:
    return PhotoRecord(photo.text("file") or "?", photo.whole("width"), photo.whole("height"), photo.text("sha256"))


def _peer(info: Fields, times: Times) -> Peer | None:
    name, median_s = info.text("peer"), info.number("peer_median_s", "seconds")
    if name is None:
        return None
    # a peer that timed itself reports its median and no rounds
    return Peer(name, times.median if median_s is None else Interval(median_s, median_s, median_s, confidence=0.0))


def _noise(info: Fields) -> CellNoise | None:
    section = info.section("noise")
    noisy = section.flag("noisy") if section else None
    return None if section is None or noisy is None else CellNoise(noisy, section.texts("reasons"))


def _memory(info: Fields, path: Path, fullname: str) -> Memory | None:
    peak = info.whole("peak_rss_bytes")
    if peak is None:
        return None
    if peak < MIB:
        reason = f"{fullname} has a peak of {peak} bytes, less than any process needs, so its unit is another one"
        raise UserError(path, reason, "leave the file out")
    samples = info.section("rss_over_time")
    times, sizes = (samples.numbers("t_s"), samples.numbers("rss_bytes")) if samples else ([], [])
    if samples and len(times) != len(sizes):
        raise samples.wrong("rss_bytes", len(sizes), f"as long as t_s, {len(times)}")
    return Memory(peak, info.whole("baseline_rss_bytes"), info.whole("loaded_rss_bytes"), tuple(times), tuple(sizes))


def _startup(info: Fields) -> Startup | None:
    section = info.section("startup_s")
    if section is None:
        return None
    phases = {phase: tuple(section.numbers(phase)) for phase in PHASES}
    builds = info.numbers("build_s")
    return Startup(info.text("cache") or "warm", phases, sum(builds) / len(builds) if builds else None)


def _ratio(info: Fields) -> Ratio | None:
    logs = tuple(info.numbers("block_log_ratios", signed=True))
    interval = _interval(info, "interval", None) or block_ratio(logs)
    if interval is None and not logs:
        return None
    name = info.text("ratio") or "/".join(t for t in (info.text("numerator"), info.text("denominator")) if t)
    baseline = info.text("baseline_scene")
    return Ratio(name or f"{info.text('scene')}/{baseline}", interval, logs, baseline)
