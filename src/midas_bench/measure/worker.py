"""One arm of a comparison: a process that opens pipelines and makes single calls when it is told to.

It reaches the package it measures through `depth.calls` alone, or a user's code through the calls that were named, and
needs nothing else but the standard library, so that it can drive another revision's tree. One JSON object a line on
stdin, one on stdout. Between two requests it sleeps in a read.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PACKAGE_CALLS = "midas_bench.depth.calls:calls"


def serve() -> None:
    """Answer requests until stdin ends.

    `open` loads pipelines, names their calls, and reports when that was done, by `time.perf_counter`, and `queued_s`.
    `pipeline` and `call` make one call and report its seconds, and those of parts that it timed itself. With `save`
    they write the arrays that it returns, one behind the other, and report their shapes instead, or null.
    """
    replies = _begin()
    opened: dict[str, Any] = {}
    slowdown = 0.0
    with ExitStack() as stack:
        for line in sys.stdin:
            request = json.loads(line)
            if "open" in request:
                reply = _open(request, opened, stack)
                slowdown = request.get("slowdown", 0.0)
            elif "save" in request:
                reply = _save(opened[request["pipeline"]][request["call"]](), Path(request["save"]))
            else:
                reply = _timed(opened[request["pipeline"]][request["call"]], slowdown)
            replies.write(json.dumps(reply) + "\n")
            replies.flush()


def _begin() -> TextIO:
    """Tie this process's life to its parent's, and return where replies are written."""
    if sys.platform == "linux":  # a call that hangs would never see the end of stdin
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # What libraries print belongs to stderr: stdout carries replies and nothing else.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


def _open(request: dict[str, Any], opened: dict[str, Any], stack: ExitStack) -> dict[str, Any]:
    module_name, _, function = request.get("calls", PACKAGE_CALLS).partition(":")
    # not before there is a request, for the parent pins first: runtimes count their cores at import
    module = importlib.import_module(module_name)
    tree, origin = request.get("tree"), Path(module.__file__ or "").resolve()
    if tree is not None and not origin.is_relative_to(Path(tree).resolve()):
        raise ImportError(f"{origin} was imported, which is not in {tree}: has a folder of its package no __init__.py?")
    calls = getattr(module, function)
    for name, how in request["open"].items():
        # a user's own calls take nothing
        if "calls" in request and not how.get("photos"):
            opened[name] = stack.enter_context(calls())
        else:
            photos = [Path(photo).read_bytes() for photo in how["photos"]]
            opened[name] = stack.enter_context(calls(photos, **how["config"]))
    ready_s = time.perf_counter()
    return {"ready": {name: sorted(opened[name]) for name in sorted(opened)}, "at_s": ready_s, "queued_s": queued_s()}


def queued_s() -> float | None:
    """Return for how long this process could have run, but another one had its core; None where nobody counts that.

    Of its first thread alone, since its start: the second number of Linux's /proc/self/schedstat.
    """
    try:
        ran_ns, queued_ns, _ = map(int, Path("/proc/self/schedstat").read_text(encoding="ascii").split())
    except OSError:
        return None
    # a kernel that does not count says 0 for all
    return queued_ns / 1e9 if ran_ns else None


def _timed(call: Callable[[], object], slowdown: float) -> dict[str, Any]:
    """Make a call, stay busy for `slowdown` times as long again, and report the seconds of both.

    What a call times in another program has no way through this process's clock. Then it returns an object with
    `timed_elsewhere_s`, and with `parts_s` by name, which are reported in place.
    """
    start_s = time.perf_counter()
    returned = call()
    took_s = time.perf_counter() - start_s
    elsewhere_s = getattr(returned, "timed_elsewhere_s", None)
    if elsewhere_s is not None:
        return {"seconds": elsewhere_s, "parts": dict(getattr(returned, "parts_s", {}))}
    while slowdown and time.perf_counter() - start_s < took_s * (1 + slowdown):
        pass
    return {"seconds": time.perf_counter() - start_s if slowdown else took_s}


def _save(returned: Any, path: Path) -> dict[str, Any]:
    """Write the arrays of a result; return their shapes and the type they have in common, or nulls for anything else.

    An array of several dimensions counts as many arrays, one behind the other.
    """
    try:
        arrays = [returned] if getattr(returned, "ndim", 2) < 2 else list(returned)
    except TypeError:
        arrays = [None]
    types = {str(getattr(array, "dtype", "uint8")) for array in arrays}
    if len(types) > 1 or not all(hasattr(array, "tobytes") for array in arrays):
        return {"shapes": None, "dtype": None}
    with path.open("wb") as file:
        for array in arrays:
            file.write(array.tobytes())
    return {"shapes": [list(array.shape) for array in arrays], "dtype": types.pop() if types else "uint8"}


if __name__ == "__main__":
    serve()
