"""What one cell's `extra_info` holds: the one owner of its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from midas_bench.results import stats
from midas_bench.results.intervals import block_ratio, median_interval

PHASES = ("import", "load", "first_inference", "steady")
"""Of a process's start, in `startup_s`, in their order; the last is a call of the ones that follow."""


@dataclass(frozen=True, kw_only=True)
class CellInfo:
    """A cell in `extra_info`'s own terms; what is None makes no sense for its kind and is left out.

    Attributes:
        kind: latency, stage, stream, ...
        scene: street, indoor, pet or portrait.
        backend: as in the registry.
        recipe: fast or article.
        stage: decode, preprocess, inference or heatmap; for cells that time one alone.
        batch_size: photos a call.
        stream_photos: photos of a whole stream, which one round is.
        threads: of the runtime and of OpenCV.
        input_shape: of the network's input.
        photos: file, width, height, bytes and sha256 of each in the batch.
        photos_repeated: whether one stands in the batch more than once, the scene having too few.
        weights: source and sha256.
        load_s: opening the backend, in seconds, the artifact being in the cache.
        first_inference_s: its first call, in seconds.
        compile_s: compiling the network, in seconds, where that is part of opening.
        threads_reported: what the libraries say they use, by library.
        baseline_rss_bytes: resident memory of a fresh process after its imports.
        loaded_rss_bytes: after loading the network.
        peak_rss_bytes: at its highest.
        rss_over_time: t_s and rss_bytes, sampled from outside.
        cache: `warm` or `empty`, for start-up.
        startup_s: import, load, first_inference and steady, each a list over fresh processes.
        build_s: tracing or exporting, where the cache was empty.
        ratio: which quotient of times, as `jit/eager`.
        numerator: what stands above.
        denominator: what stands below.
        block_log_ratios: natural logarithms, one a block.
        interval: estimate, low, high, confidence and blocks of the ratio.
        baseline_scene: the scene that a ratio over scenes is taken against.
        noise: what the sentinel saw, and involuntary context switches and page faults a call.
        depth_maps: files in the folder named like the JSON file, one a photo.
        max_relative_error: max|depth - eager's| / range of eager's.
        mean_relative_error: mean|depth - eager's| / range of eager's.
        rank_correlation: Spearman's with eager's depth, over a photo's pixels; of the worst photo.
        flipped_pairs: share of pixel pairs whose order is not eager's; of the worst photo.
        flop: operations of one call of the network, as its graph really executes them.
        peak_flop_per_s: of a matrix product in the backend's precision on the same threads, in the same run.
        peer: whose figure it is, where it is not ours.
        peer_median_s: seconds a call, as a peer that times itself reported them.
        scenario: LoadGen's, or closed-loop, open-loop or soak for HTTP; this and the rest are those of `load.Load`.
        rules: full or short.
        valid: whether the run holds by LoadGen's rules.
        invalid_reason: why not.
        queries: how many were sent.
        query_latency_s: p50, p90 and p99 of a query.
        early_stopping_s: LoadGen's own estimate of the scenario's percentile.
        images_per_second: that were completed; cells that are timed derive it.
        latency_bound_s: that a p99 must hold.
        target_per_second: the largest Poisson rate that was seen to hold it.
        load_points: one object a rate or number of clients, as `load.Point`.
        logs: the folder of LoadGen's logs.
        client_cpu_s: CPU seconds a request that the process took which sent them; of several loads the highest.
        outcomes: of a soak, how many requests of each name had each status, or what else became of them.
        rss_growth: by which share resident memory grew after the warm-up; of a soak.
    """

    kind: str
    scene: str | None = None
    backend: str | None = None
    recipe: str | None = None
    stage: str | None = None
    batch_size: int | None = None
    stream_photos: int | None = None
    threads: int | None = None
    input_shape: Sequence[int] | None = None
    photos: Sequence[Mapping[str, Any]] | None = None
    photos_repeated: bool | None = None
    weights: Mapping[str, str] | None = None
    load_s: float | None = None
    first_inference_s: float | None = None
    compile_s: float | None = None
    max_relative_error: float | None = None
    mean_relative_error: float | None = None
    rank_correlation: float | None = None
    flipped_pairs: float | None = None
    threads_reported: Mapping[str, int] | None = None
    baseline_rss_bytes: int | None = None
    loaded_rss_bytes: int | None = None
    peak_rss_bytes: int | None = None
    rss_over_time: Mapping[str, Sequence[float]] | None = None
    cache: str | None = None
    startup_s: Mapping[str, Sequence[float]] | None = None
    build_s: Sequence[float] | None = None
    ratio: str | None = None
    numerator: str | None = None
    denominator: str | None = None
    block_log_ratios: Sequence[float] | None = None
    interval: Mapping[str, float] | None = None
    baseline_scene: str | None = None
    noise: Mapping[str, Any] | None = None
    depth_maps: Sequence[str] | None = None
    flop: int | None = None
    peak_flop_per_s: float | None = None
    peer: str | None = None
    peer_median_s: float | None = None
    scenario: str | None = None
    rules: str | None = None
    valid: bool | None = None
    invalid_reason: str | None = None
    queries: int | None = None
    query_latency_s: Mapping[str, float] | None = None
    early_stopping_s: float | None = None
    images_per_second: float | None = None
    latency_bound_s: float | None = None
    target_per_second: float | None = None
    load_points: Sequence[Mapping[str, Any]] | None = None
    logs: str | None = None
    client_cpu_s: float | None = None
    outcomes: Mapping[str, Mapping[str, int]] | None = None
    rss_growth: float | None = None

    def to_extra_info(self, rounds_s: Sequence[float] = ()) -> dict[str, Any]:
        """Return what is known and what follows from the raw rounds (seconds a call), in JSON types."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        info = {name: value for name, value in known.items() if value is not None}
        if rounds_s:
            latency_s = stats.percentiles(rounds_s)
            interval = median_interval(rounds_s)
            if interval:
                info["median_ci_s"] = {"low": interval.low, "high": interval.high, "confidence": interval.confidence}
            info["latency_s"] = latency_s
            images = self.stream_photos or self.batch_size
            if images and latency_s["p50"]:
                info["images_per_second"] = images / latency_s["p50"]
            if self.flop and self.peak_flop_per_s and latency_s["p50"]:
                info["share_of_peak"] = self.flop / self.peak_flop_per_s / latency_s["p50"]
        return info


def ratio_fields(block_log_ratios: Sequence[float]) -> dict[str, Any]:
    """Return the fields of `CellInfo` that a ratio measured in blocks fills."""
    interval = block_ratio(block_log_ratios)
    fields: dict[str, Any] = {"block_log_ratios": list(block_log_ratios)}
    if interval:
        fields["interval"] = asdict(interval) | {"blocks": len(block_log_ratios)}
    return fields
