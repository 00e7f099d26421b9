"""The floor of a photo: what each step on the way to a PNG takes, and the least that this machine allows for it.

| step | limit |
| --- | --- |
| decode | libjpeg-turbo's own fastest decode of the file at the same scale |
| preprocess, heatmap, write | a copy of as many bytes as the step reads and writes at least |
| inference | the network's operations over the machine's peak |

A copy of n bytes reads n and writes n. So a step that reads r bytes and writes w is held against a copy of (r + w) / 2,
which is the same as (r + w) over the copy's bandwidth at that size. Steps and limits take turns, so both meet the
machine as it is just then. A step's time is the median of the rounds, and a limit's the shortest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median

import numpy as np

from midas_bench.depth import heatmap_png, preprocess
from midas_bench.depth.backends import registry
from midas_bench.depth.config import Resolved
from midas_bench.depth.flop import flop_per_image
from midas_bench.depth.photo import check, decode_roughly
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.stages import STAGES
from midas_bench.results.kinds import StepTime

WRITE = "write"
WARM_UP_ROUNDS = 3


def floor(config: Resolved, photo: bytes, rounds: int, peak_flop_per_s: float | None = None) -> list[StepTime]:
    """Time the steps from a photo to the bytes of a PNG, in turns with their limits.

    Args:
        config: of the pipeline that is opened for it.
        photo: encoded.
        rounds: timed ones.
        peak_flop_per_s: of the machine, in the backend's precision on as many threads; None where it is not known.

    Raises:
        UserError: the photo or the configuration is not usable.
    """
    with DepthPipeline.open(config=config) as pipeline, ThreadPoolExecutor(config.threads) as pool:
        once = pipeline.staged([photo], palette=True).timed()
        moved = {
            "preprocess": once.decoded[0].pixels.nbytes + once.batch.nbytes,  # type: ignore[attr-defined]
            "heatmap": once.depth.nbytes + once.heatmaps[0].nbytes,
            WRITE: once.heatmaps[0].nbytes + len(heatmap_png.encode(once.heatmaps[0])),
        }
        limits: dict[str, Callable[[], object]] = {
            step: _copy(count // 2, pool, config.threads) for step, count in moved.items()
        }
        checked = check(photo)
        if checked.info.format == "JPEG":
            least_side = preprocess.least_side(config.weights.interface)
            limits["decode"] = partial(decode_roughly, checked, least_side)
        taken_s: dict[str, list[float]] = {step: [] for step in (*STAGES, WRITE)}
        limits_s: dict[str, list[float]] = {step: [] for step in limits}
        for _ in range(WARM_UP_ROUNDS + rounds):
            ran = pipeline.staged([photo], palette=True).timed()
            ran.stage_s[WRITE] = _seconds(partial(heatmap_png.encode, ran.heatmaps[0]))
            for step, seconds in ran.stage_s.items():
                taken_s[step].append(seconds)
            for step, limit in limits.items():
                limits_s[step].append(_seconds(limit))
    least_s: dict[str, float] = {step: min(values) for step, values in limits_s.items()}
    flop = flop_per_image(registry.find(config.backend), config.weights)
    if flop and peak_flop_per_s:
        least_s["inference"] = flop / peak_flop_per_s
    return [
        StepTime(
            step,
            median(values[WARM_UP_ROUNDS:]),
            least_s.get(step),
            moved.get(step),
            flop if step == "inference" else None,
        )
        for step, values in taken_s.items()
    ]


def _copy(count: int, pool: ThreadPoolExecutor, threads: int) -> Callable[[], object]:
    """Return the faster of two copies of so many bytes: by one thread, or by several that share them."""
    source = np.ones(count, np.uint8)
    target = np.zeros_like(source)
    pairs = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))

    def alone() -> None:
        np.copyto(target, source)

    def shared() -> None:
        list(pool.map(lambda pair: np.copyto(*pair), pairs))

    ways: tuple[Callable[[], None], ...] = (alone, shared)
    return min(ways, key=lambda way: min(_seconds(way) for _ in range(WARM_UP_ROUNDS)))


def _seconds(call: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    call()
    return time.perf_counter() - start_s
