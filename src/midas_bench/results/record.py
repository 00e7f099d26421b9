"""What one cell's `extra_info` holds: the one owner of its names. docs/report-and-json.md is made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from midas_bench.results import percentiles
from midas_bench.results.intervals import block_ratio, median_interval

PHASES = ("import", "load", "first_inference", "steady")
"""Of a process's start, in `startup_s`, in their order; the last is a call of the ones that follow."""

DERIVED: Mapping[str, str] = {
    "latency_s": "p50, p90, p95 and p99 of a call, in seconds; null where too few rounds support the percentile.",
    "median_ci_s": "low, high and confidence of the median, in seconds.",
    "share_of_peak": "share of `peak_flop_per_s` that the median call reaches.",
}
"""What `CellInfo.to_extra_info` adds from the raw rounds, and what it means."""


@dataclass(frozen=True, kw_only=True)
class CellInfo:
    """A cell in `extra_info`'s own terms; what is None makes no sense for its kind and is left out.

    Attributes:
        kind: latency, stage, stream, memory, startup, ratio, scene, peer or load.
        scene: type of photo: street, indoor, pet or portrait.
        backend: its name in the registry.
        recipe: the stages around the network: `fast`, this project's own, or `article`.
        stage: decode, preprocess, inference or heatmap, where one stage is timed alone.
        batch_size: photos per call.
        stream_photos: photos of a whole stream, which is one round.
        threads: of the runtime and of OpenCV.
        input_shape: shape of the network's input.
        photos: file, width, height, bytes and sha256 of each photo of the batch.
        photos_repeated: whether the batch repeats a photo because the scene has too few.
        weights: source (official, seeded, file or model) and sha256.
        load_s: seconds to open the backend with its graph in the cache.
        first_inference_s: seconds of the first call.
        compile_s: seconds to compile the network, where that is part of opening.
        max_relative_error: largest |depth - reference| / range of the reference.
        mean_relative_error: mean |depth - reference| / range of the reference.
        rank_correlation: Spearman's correlation with the reference over a photo's pixels; of the worst photo.
        flipped_pairs: share of pixel pairs whose order differs from the reference; of the worst photo.
        threads_reported: threads that each library reports, by library.
        baseline_rss_bytes: resident memory of a fresh process after its imports.
        loaded_rss_bytes: resident memory after loading the network.
        peak_rss_bytes: highest resident memory.
        rss_over_time: `t_s` and `rss_bytes`, sampled from outside the process.
        cache: `warm` or `empty`: whether the graph was in the cache at start-up.
        startup_s: import, load, first_inference and steady, each a list with one value per process.
        build_s: seconds to trace or export the graph, where the cache was empty.
        ratio: name of the quotient of times, such as `jit/eager`.
        numerator: name of the quotient's upper part.
        denominator: name of the quotient's lower part.
        block_log_ratios: natural logarithm of the ratio, one value per block.
        interval: estimate, low, high, confidence and blocks of the ratio.
        baseline_scene: scene that a ratio between scenes is relative to.
        noise: whether and why the machine was disturbed; page faults and involuntary context switches per call.
        depth_maps: files in the folder named like the JSON file, one per photo.
        flop: floating-point operations of one call of the network, as its graph executes them.
        peak_flop_per_s: highest rate of a matrix product in the backend's precision on as many threads, in this run.
        peer: name of the other program or network that was measured beside this one.
        peer_median_s: median seconds per call, where a peer timed itself.
        scenario: LoadGen's scenario, or `closed-loop`, `open-loop` or `soak` for HTTP.
        rules: LoadGen's rules, `full` or `short`.
        valid: whether the run is valid by LoadGen's rules.
        invalid_reason: why the run is not valid.
        queries: number of queries sent.
        query_latency_s: p50, p90 and p99 of a query, in seconds.
        early_stopping_s: LoadGen's own estimate of the scenario's percentile, in seconds.
        images_per_second: photos completed per second.
        latency_bound_s: bound on the p99, in seconds.
        target_per_second: highest Poisson rate whose p99 stayed within the bound.
        load_points: one object per rate or number of clients.
        logs: folder of LoadGen's logs.
        client_cpu_s: CPU seconds per request of the load client; of several loads the highest.
        outcomes: of a soak, the number of requests by their kind and by status or other outcome.
        rss_growth: of a soak, the share by which resident memory grew after the warm-up.
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
        """Return what is known and what follows from the raw rounds (seconds per call), in JSON types."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        info = {name: value for name, value in values.items() if value is not None}
        if rounds_s:
            latency_s = percentiles.percentiles(rounds_s)
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
