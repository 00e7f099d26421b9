"""The process that LoadGen runs in, with one open pipeline; run as `python -m midas_bench.measure.loadgen.process`.

LoadGen keeps its state and its log files in globals: no other process of this suite imports it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from midas_bench.cpu import calls_side_by_side
from midas_bench.depth.config import PipelineConfig
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.measure import memory_sampler
from midas_bench.measure.loadgen import sut
from midas_bench.measure.loadgen.logs import NS, Outcome, outcome, responses
from midas_bench.measure.loadgen.max_rate import largest_rate
from midas_bench.measure.loadgen.rules import BOUND_OF_P90, RETRIES, SAMPLES_PER_QUERY, Rules
from midas_bench.processes import Reply, answer
from midas_bench.results.load_records import Load, LoadPoint

MODULE = "midas_bench.measure.loadgen.process"
WARM_UP_CALLS = 3
PROBE_CALLS = 15
START_SHARE = 0.7
"""The search for Server's rate begins at this share of the workers' highest possible rate."""
BACK_OFF = 0.95
"""A rate that did not hold its bound in a run by the rules is multiplied by this for the next run."""


class Driver:
    """Scenarios one after the other on one open pipeline.

    Args:
        respond: runs the pipeline on the sample with this index.
        workers: threads that work in parallel.
        samples: how many there are.
        latency_s: about what one sample takes; SingleStream's mean replaces it once it is measured.
        rules: how long each scenario runs.
        folder: where LoadGen's logs go, one folder per run.
    """

    def __init__(
        self, respond: sut.Respond, workers: int, samples: int, latency_s: float, rules: Rules, folder: Path
    ) -> None:
        self._respond = respond
        self._workers = workers
        self._samples = samples
        self._latency_s = latency_s
        self._rules = rules
        self._folder = folder
        self._p90_s: float | None = None

    def scenario(self, name: str, bound_s: float | None) -> Load:
        """Run one of `rules.SCENARIOS`; without a bound Server's is taken from SingleStream's p90."""
        if name == "server":
            return self._server(bound_s)
        run = self._single_stream if name == "single-stream" else partial(self.run, name)
        return self.load(name, run(self._rules.duration_s, name), name)

    def run(self, name: str, duration_s: float, logs: str, rate: float = 1.0, bound_s: float = 0.0) -> Outcome:
        """Let LoadGen run once, its logs in a folder of their own; rate and bound are Server's."""
        settings = sut.settings(name, duration_s, self._rules.least[name], self._latency_s, self._workers)
        settings.server_target_qps = rate
        settings.server_target_latency_ns = round(bound_s * NS)
        sut.drive(self._respond, self._workers, self._samples, settings, self._folder / logs)
        return outcome(self._folder / logs, name)

    def load(self, name: str, run: Outcome, logs: str, points: Sequence[LoadPoint] = (), **fields: Any) -> Load:
        """Return the record of a run."""
        reasons = run.reasons
        if not self._rules.full:
            reasons = (f"a short run of {self._rules.duration_s:g} s, shorter than MLPerf's rules require",)
        rate = run.images_per_second
        if name == "multi-stream":
            rate = SAMPLES_PER_QUERY / run.mean_s
        return Load(
            scenario=name,
            rules=self._rules.name,
            valid=run.valid and self._rules.full,
            invalid_reason="; ".join(reasons) or None,
            queries=run.queries,
            query_latency_s={} if name == "offline" else dict(run.latency_s),
            early_stopping_s=run.early_stopping_s,
            images_per_second=rate,
            load_points=tuple(points),
            peak_rss_bytes=memory_sampler.peak_bytes(),
            logs=str(self._folder / logs),
            **fields,
        )

    def _single_stream(self, duration_s: float, logs: str) -> Outcome:
        run = self.run("single-stream", duration_s, logs)
        self._p90_s, self._latency_s = run.latency_s["p90"], run.mean_s
        return run

    def _server(self, bound_s: float | None) -> Load:
        rules = self._rules
        if bound_s is None:
            p90_s = self._p90_s
            if p90_s is None:
                p90_s = self._single_stream(rules.probe_s, "server/00-bound").latency_s["p90"]
            bound_s = BOUND_OF_P90 * p90_s
        tries = _Tries(self, bound_s)
        begun_s = time.monotonic()
        rate = largest_rate(
            lambda rate: tries.holds(rate, rules.probe_s, "search"),
            START_SHARE * self._workers / self._latency_s,
            lambda tried: tried < rules.probes and time.monotonic() - begun_s < rules.search_s,
        )
        if rate is not None and rules.probe_s < rules.duration_s:
            rate = next(
                (each for n in range(RETRIES) if tries.holds(each := rate * BACK_OFF**n, rules.duration_s, "run")), None
            )
        # where no rate held the bound the last run is shown, and it is not valid
        shown = tries.last if rate is None else rate
        points = [_point(tried, run) for tried, run in tries.outcomes.items()]
        return self.load(
            "server", tries.outcomes[shown], tries.logs[shown], points, latency_bound_s=bound_s, target_per_second=rate
        )


class _Tries:
    """Rates of Server that were tried, and their outcomes; of two runs at one rate the later counts."""

    def __init__(self, driver: Driver, bound_s: float) -> None:
        self._driver = driver
        self._bound_s = bound_s
        self._count = 0
        self.outcomes: dict[float, Outcome] = {}
        self.logs: dict[float, str] = {}
        self.last = 0.0

    def holds(self, rate: float, duration_s: float, purpose: str) -> bool:
        self._count += 1
        self.last = rate
        self.logs[rate] = f"server/{self._count:02d}-{purpose}-{rate:.2f}"
        self.outcomes[rate] = self._driver.run("server", duration_s, self.logs[rate], rate, self._bound_s)
        return self.outcomes[rate].holds_bound


def _point(rate: float, run: Outcome) -> LoadPoint:
    p50_s, p90_s, p99_s = (run.latency_s[p] for p in ("p50", "p90", "p99"))
    achieved = run.images_per_second or 0.0
    return LoadPoint(
        offered_per_second=rate, achieved_per_second=achieved, requests=run.queries,
        p50_s=p50_s, p90_s=p90_s, p99_s=p99_s,
    )  # fmt: skip


def scenarios(pipeline: DepthPipeline, photos: Sequence[bytes], request: Reply) -> Reply:
    """Run the `scenarios` asked for, in turn, by `rules`; the logs go to the folder `logs`."""
    workers = workers_for(pipeline)

    def respond(index: int) -> None:
        pipeline([photos[index]])

    rules = Rules(**request["rules"])
    driver = Driver(respond, workers, len(photos), latency_s(pipeline, photos), rules, Path(request["logs"]))
    return {name: driver.scenario(name, request.get("bound_s")).to_extra_info() for name in request["scenarios"]}


def accuracy(pipeline: DepthPipeline, photos: Sequence[bytes], request: Reply) -> Reply:
    """Let LoadGen ask for every photo once, and save the depth that it logged: `outputs` are paths, one per photo."""
    settings = sut.settings("offline", 0.001, 1, latency_s(pipeline, photos), workers_for(pipeline))
    settings.mode = sut.ACCURACY
    folder = Path(request["logs"])
    shape = pipeline.run([photos[0]]).depth[0].shape
    sut.drive(
        lambda index: pipeline.run([photos[index]]).depth[0], workers_for(pipeline), len(photos), settings, folder
    )
    logged = responses(folder, shape)
    for index, output in enumerate(request["outputs"]):
        with Path(output).open("wb") as file:
            np.save(file, logged[index])
    return {}


def look(pipeline: DepthPipeline, photos: Sequence[bytes], request: Reply) -> Reply:
    """Report about how long one photo takes, and how many photos run in parallel."""
    del request
    return {"latency_s": latency_s(pipeline, photos), "workers": workers_for(pipeline)}


def workers_for(pipeline: DepthPipeline) -> int:
    """Return how many photos run in parallel: the allowed cores over the pipeline's threads."""
    return calls_side_by_side(pipeline.config.threads)


def latency_s(pipeline: DepthPipeline, photos: Sequence[bytes]) -> float:
    """Warm up, and return the mean of a few calls."""
    for _ in range(WARM_UP_CALLS):
        pipeline([photos[0]])
    start_s = time.perf_counter()
    for index in range(PROBE_CALLS):
        pipeline([photos[index % len(photos)]])
    return (time.perf_counter() - start_s) / PROBE_CALLS


TASKS: dict[str, Callable[[DepthPipeline, Sequence[bytes], Reply], Reply]] = {
    "scenarios": scenarios,
    "accuracy": accuracy,
    "look": look,
}


def handle(request: Reply) -> Reply:
    """Open the pipeline of `config` and do the task that the request names on `photos` (paths)."""
    photos = [Path(photo).read_bytes() for photo in request["photos"]]
    with DepthPipeline.open(config=PipelineConfig.from_json(request["config"])) as pipeline:
        return TASKS[request["task"]](pipeline, photos, request)


if __name__ == "__main__":
    sys.exit(answer(handle))
