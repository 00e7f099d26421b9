"""Pipelines that stay open while a run goes from backend to backend and back."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from midas_bench.depth.config import Resolved
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.process_threads import use_threads

LEAST_FREE_BYTES = 1 << 30
"""Below that much available memory the pipeline that was used longest ago is closed before another is opened."""


@dataclass(frozen=True)
class OpenedPipeline:
    """A pipeline, and what it cost to have it.

    Attributes:
        load_s: opening it; its graph was made and cached before.
        first_inference_s: its first call.
    """

    pipeline: DepthPipeline
    load_s: float
    first_inference_s: float


class OpenPipelines:
    """Open each pipeline once: a pass visits every backend, and opening one takes as long as dozens of its calls."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, int, str], OpenedPipeline] = {}

    def take(self, config: Resolved, first_photo: bytes) -> OpenedPipeline:
        """Return the pipeline of a network, backend, thread count and recipe, and set the process's threads to its own.

        Raises:
            UserError: see `DepthPipeline.open`.
        """
        key = (config.weights.fingerprint, config.backend, config.threads, config.recipe)
        opened = self._open.pop(key, None)
        if opened is None:
            while self._open and psutil.virtual_memory().available < LEAST_FREE_BYTES:
                self._open.pop(next(iter(self._open))).pipeline.close()
            opened = _open(config, first_photo)
        # the last one used stands last
        self._open[key] = opened
        use_threads(config.threads)
        return opened

    def close(self) -> None:
        """Close all of them."""
        while self._open:
            self._open.popitem()[1].pipeline.close()


def _open(config: Resolved, first_photo: bytes) -> OpenedPipeline:
    start_s = time.perf_counter()
    pipeline = DepthPipeline.open(config=config)
    loaded_s = time.perf_counter()
    pipeline.run([first_photo])
    return OpenedPipeline(pipeline, loaded_s - start_s, time.perf_counter() - loaded_s)
