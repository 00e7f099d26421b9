"""LoadGen and what it drives: worker threads that answer one sample each at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import mlperf_loadgen as lg
import numpy as np
from numpy.typing import NDArray

from midas_bench.measure.loadgen.logs import NS
from midas_bench.measure.loadgen.rules import PERCENTILE, SAMPLES_PER_QUERY

MS = 1e3
NAMES = {
    "single-stream": lg.TestScenario.SingleStream,
    "multi-stream": lg.TestScenario.MultiStream,
    "offline": lg.TestScenario.Offline,
    "server": lg.TestScenario.Server,
}
ACCURACY = lg.TestMode.AccuracyOnly
SEEDS = {
    "qsl_rng_seed": 6023615788873153749,
    "sample_index_rng_seed": 15036839855038426416,
    "schedule_rng_seed": 9933818062894767841,
}
"""Of mlcommons/inference, loadgen/mlperf.conf; fixed, so that two runs get the same queries at the same times."""

Respond = Callable[[int], NDArray[np.float32] | None]
"""Work on the sample of an index, and return what an accuracy run logs, or None."""


class Workers:
    """Threads that take samples from one queue, in the order they were issued."""

    def __init__(self, respond: Respond, count: int) -> None:
        self._respond = respond
        self._samples: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]

    def issue(self, samples: Sequence[lg.QuerySample]) -> None:
        """Take a query without keeping LoadGen waiting: in Server the next one must start in time."""
        for sample in samples:
            self._samples.put((sample.id, sample.index))

    def _work(self) -> None:
        while (sample := self._samples.get()) is not None:
            query_id, index = sample
            response = None
            if self._error is None:
                try:
                    response = self._respond(index)
                # without an answer LoadGen would wait for ever
                except Exception as error:
                    self._error = error
            data = np.ascontiguousarray(response) if response is not None else None
            address, size = (data.ctypes.data, data.nbytes) if data is not None else (0, 0)
            lg.QuerySamplesComplete([lg.QuerySampleResponse(query_id, address, size)])

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the threads; at the end raise what one of them met."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            for _ in self._threads:
                self._samples.put(None)
            for thread in self._threads:
                thread.join()
        if self._error is not None:
            raise self._error


def settings(scenario: str, duration_s: float, least: int, latency_s: float, workers: int) -> lg.TestSettings:
    """Return LoadGen's settings for a performance run.

    Args:
        scenario: one of `rules.SCENARIOS`.
        duration_s: the minimum duration.
        least: the minimum of queries.
        latency_s: what one sample is expected to take, from which LoadGen makes enough queries.
        workers: threads that take samples in parallel.
    """
    lg_settings = lg.TestSettings()
    lg_settings.scenario = NAMES[scenario]
    lg_settings.mode = lg.TestMode.PerformanceOnly
    lg_settings.min_duration_ms = round(duration_s * MS)
    lg_settings.min_query_count = least
    lg_settings.single_stream_target_latency_percentile = PERCENTILE["single-stream"]
    # half the expected latency: a run that is faster must not end early
    lg_settings.single_stream_expected_latency_ns = round(latency_s * NS / 2)
    lg_settings.multi_stream_target_latency_percentile = PERCENTILE["multi-stream"]
    lg_settings.multi_stream_samples_per_query = SAMPLES_PER_QUERY
    lg_settings.multi_stream_expected_latency_ns = round(latency_s * NS / 2 * SAMPLES_PER_QUERY / workers)
    lg_settings.offline_expected_qps = workers / latency_s
    lg_settings.server_target_latency_percentile = PERCENTILE["server"]
    for name, seed in SEEDS.items():
        setattr(lg_settings, name, seed)
    return lg_settings


def drive(respond: Respond, workers: int, samples: int, lg_settings: lg.TestSettings, folder: Path) -> None:
    """Let LoadGen run once; its logs are in the folder afterwards.

    Raises:
        Exception: what `respond` raised first; LoadGen is given empty answers from then on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    output = lg.LogOutputSettings()
    output.outdir = str(folder)
    logging = lg.LogSettings()
    logging.log_output = output
    # a trace has one line per event: hundreds of megabytes in ten minutes
    logging.enable_trace = False
    pool = Workers(respond, workers)
    system = lg.ConstructSUT(pool.issue, lambda: None)
    library = lg.ConstructQSL(samples, samples, lambda _: None, lambda _: None)  # photos stay in memory
    try:
        with pool.running():
            # the empty path keeps LoadGen from reading an audit.config in the working directory
            lg.StartTestWithLogSettings(system, library, lg_settings, logging, "")
    finally:
        lg.DestroyQSL(library)
        lg.DestroySUT(system)
