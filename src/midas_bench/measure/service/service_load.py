"""Load on a running server from a process of its own, and its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from midas_bench.depth.config import Resolved
from midas_bench.measure.memory_sampler import peak_bytes
from midas_bench.measure.service.client import RequestResult
from midas_bench.measure.service.load_results import LoadResult, SoakResult, Window
from midas_bench.measure.service.server_process import ServerProcess
from midas_bench.processes import Reply, ask
from midas_bench.results.load_records import LoadPoint

CHILD = "midas_bench.measure.service.load_process"
TIMEOUT_S = 60.0
"""Of one request: far more than the server's own deadline."""
OPENING_S = 120.0
WARM_UP_S = 1.0
"""The load runs this long before anything counts: queue and connections are steady then."""


def load(server: ServerProcess, photos: Sequence[str], duration_s: float, **loop: Any) -> LoadResult:
    """Send photos (paths) in turn: closed loop with `clients`, or open loop with `per_second` and `seed`.

    Raises:
        ProcessDiedError: as `ask`.
    """
    until_s = WARM_UP_S + duration_s
    reply = _ask(server, "load", until_s + TIMEOUT_S, photos=list(photos), until_s=until_s, **loop)
    return LoadResult(
        tuple(RequestResult(*values) for values in reply["sent"]), reply["cpu_s"], Window(WARM_UP_S, until_s)
    )


def closed_loop(
    server: ServerProcess, photos: Sequence[str], clients: int, duration_s: float
) -> tuple[LoadPoint, LoadResult]:
    """Let so many clients each send the next photo when they have the last answer.

    Raises:
        LostError, ProcessDiedError: as `LoadResult.point` and `ask`.
    """
    result = load(server, photos, duration_s, clients=clients)
    return result.point(peak_bytes(server.pid), clients=clients), result


def open_loop(
    server: ServerProcess, photos: Sequence[str], per_second: float, duration_s: float, seed: int
) -> LoadPoint:
    """Send at the times of a Poisson process of this rate, drawn by the seed.

    Raises:
        LostError, ProcessDiedError: as `LoadResult.point` and `ask`.
    """
    result = load(server, photos, duration_s, per_second=per_second, seed=seed)
    return result.point(peak_bytes(server.pid), offered_per_second=per_second)


def pipeline_per_second(config: Resolved, photos: Sequence[str], duration_s: float) -> float:
    """Return what `DepthPipeline.map` and the server's encoding give without HTTP, in a fresh process that then ends.

    Raises:
        LostError: fewer than two photos were done in so short a time.
        UserError, ProcessDiedError: as `ask`.
    """
    until_s = WARM_UP_S + duration_s
    request = {"task": "pipeline", "config": config.to_json(), "photos": list(photos), "until_s": until_s}
    return Window(WARM_UP_S, until_s).steady_rate(ask(CHILD, request, OPENING_S + until_s)["ended_s"])


def soak(
    server: ServerProcess, photos: Sequence[Path], requests: int, clients: int, seed: int, timeout_s: float
) -> SoakResult:
    """Send so many good and bad requests, drawn by the seed, and look at the server's memory meanwhile.

    The server must be fresh: its own counters must not hold earlier requests.

    Raises:
        ProcessDiedError: as `ask`.
    """
    reply = _ask(
        server, "soak", timeout_s, photos=[str(photo) for photo in photos], requests=requests, clients=clients,
        seed=seed, pid=server.pid,
    )  # fmt: skip
    outcomes = Counter((sent.name, sent.outcome) for sent in (RequestResult(*values) for values in reply["sent"]))
    return SoakResult(dict(outcomes), tuple(reply["rss_bytes"]), server.counted(), peak_bytes(server.pid))


def _ask(server: ServerProcess, task: str, timeout_s: float, **fields: Any) -> Reply:
    address = {"host": server.host, "port": server.port, "timeout_s": TIMEOUT_S}
    return ask(CHILD, {"task": task, **address, **fields}, timeout_s)
