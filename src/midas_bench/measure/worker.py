"""One arm of a comparison: a process that opens pipelines and makes single calls when it is told to.

It reaches the package it measures through `depth.calls` alone and needs nothing else but the standard library, so that
it can drive another revision's tree. One JSON object a line on stdin, one on stdout. Between two requests it sleeps in
a read.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any


def serve() -> None:
    """Answer `open` and `call` requests until stdin ends."""
    # What libraries print belongs to stderr: stdout carries replies and nothing else.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    opened: dict[str, Any] = {}
    with ExitStack() as stack:
        for line in sys.stdin:
            request = json.loads(line)
            if "open" in request:
                reply = _open(request, opened, stack)
            else:
                call = opened[request["pipeline"]][request["call"]]
                start_s = time.perf_counter()
                call()
                reply = {"seconds": time.perf_counter() - start_s}
            replies.write(json.dumps(reply) + "\n")
            replies.flush()


def _open(request: dict[str, Any], opened: dict[str, Any], stack: ExitStack) -> dict[str, Any]:
    if request["core"] is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {request["core"]})
    from midas_bench.depth.calls import calls  # after pinning: runtimes count their cores at import

    for name, how in request["open"].items():
        photos = [Path(photo).read_bytes() for photo in how["photos"]]
        opened[name] = stack.enter_context(calls(photos, **how["config"]))
    return {"ready": sorted(opened)}


if __name__ == "__main__":
    serve()
