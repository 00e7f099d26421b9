"""The load's client, and the pipeline without HTTP, each in a process of its own.

Run as `python -m midas_bench.measure.service.load_process`.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from midas_bench.measure.service.client import Client, Message, RequestResult, closed_loop, open_loop, post
from midas_bench.measure.service.soak_requests import draw_messages
from midas_bench.processes import Reply, answer

MODULE = "midas_bench.measure.service.load_process"
MEMORY_SAMPLES = 200


def load(request: Reply) -> Reply:
    """Send `photos` (paths) in turn until `until_s`: open loop with `per_second` and `seed`, closed with `clients`.

    Reports every request, and the CPU seconds that this process took for them.
    """
    messages = itertools.cycle([post(photo, Path(photo).read_bytes()) for photo in request["photos"]])

    def run(client: Client) -> list[RequestResult]:
        if "clients" in request:
            return closed_loop(client, messages, request["clients"], request["until_s"])
        return open_loop(client, messages, request["per_second"], request["until_s"], request["seed"])

    return _reported(request, run)


def soak(request: Reply) -> Reply:
    """Send `requests` good and bad messages from `clients`, and watch the memory of the process `pid`."""
    photos = [Path(photo).read_bytes() for photo in request["photos"]]
    watched = psutil.Process(request["pid"])
    rss_bytes: list[int] = []
    every = max(1, request["requests"] // MEMORY_SAMPLES)

    def messages() -> Iterator[Message]:
        for number, message in enumerate(draw_messages(photos, request["requests"], request["seed"])):
            if number % every == 0:
                rss_bytes.append(int(watched.memory_info().rss))
            yield message

    def run(client: Client) -> list[RequestResult]:
        return closed_loop(client, messages(), request["clients"], float("inf"))

    return _reported(request, run) | {"rss_bytes": rss_bytes}


def pipeline(request: Reply) -> Reply:
    """Stream `photos` through the pipeline of `config` and the server's encoding, without HTTP, until `until_s`."""
    from midas_bench.depth.config import PipelineConfig
    from midas_bench.depth.pipeline import DepthPipeline
    from midas_bench.serve.representations import PNG

    photos = [Path(photo).read_bytes() for photo in request["photos"]]
    with DepthPipeline.open(config=PipelineConfig.from_json(request["config"])) as opened:
        opened.run([photos[0]])
        start_s = time.perf_counter()
        ended_s: list[float] = []
        for heatmap in opened.map(itertools.cycle(photos), palette=True):
            PNG.encode(heatmap)
            ended_s.append(time.perf_counter() - start_s)
            if ended_s[-1] > request["until_s"]:
                break
    return {"ended_s": ended_s}


def _reported(request: Reply, run: Callable[[Client], list[RequestResult]]) -> Reply:
    client = Client(request["host"], request["port"], request["timeout_s"])
    before_s = time.process_time()
    sent = run(client)
    client.close()
    return {"cpu_s": time.process_time() - before_s, "sent": [list(vars(result).values()) for result in sent]}


TASKS: dict[str, Callable[[Reply], Reply]] = {"load": load, "soak": soak, "pipeline": pipeline}


def handle(request: Reply) -> Reply:
    """Do the task that the request names."""
    return TASKS[request.pop("task")](request)


if __name__ == "__main__":
    sys.exit(answer(handle))
