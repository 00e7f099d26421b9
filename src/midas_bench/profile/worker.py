"""A worker of `measure`, but with each runtime's own profiler on: it makes calls and tells how long each operator took.

A script with the standard library alone, run by the interpreter of whatever is profiled. It needs nothing of the
package that it profiles but what `measure/worker.py` opens, so any revision, and any calls of a user's, can be
profiled. A library is patched right after somebody imports it, and never imported for that.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import os
import sys
import time
from bisect import bisect
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

FOLDER_VARIABLE = "MIDAS_BENCH_PROFILE_FOLDER"
"""Names the folder for what the runtimes write; the parent makes it and removes it."""


class PatchAfterImport(importlib.abc.MetaPathFinder):
    """Has a library patched as soon as it is imported."""

    def __init__(self, recorders: Sequence[Any]) -> None:
        self._recorders = {recorder.library: recorder for recorder in recorders}
        self._looking = False

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec that others find, with a loader that patches."""
        del path, target
        if fullname not in self._recorders or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            load, install = spec.loader.exec_module, self._recorders[fullname].install

            def load_and_patch(module: ModuleType) -> None:
                load(module)
                install(module)

            spec.loader.exec_module = load_and_patch  # type: ignore[method-assign]
        return spec


class Round(NamedTuple):
    """A call that counts: its number among all calls, when it began by `time.perf_counter`, and its seconds."""

    call: int
    start_s: float
    took_s: float


def serve() -> None:
    """Answer requests until stdin ends, each one JSON object a line.

    `open` is that of `measure/worker.py`. `pipeline` and `call` make one call and report its seconds; with `keep` it is
    a round of the profile. `rows` ends the profile and reports it. A user's error becomes a reply with `error`.
    """
    here = Path(__file__).resolve().parent
    # by their paths: the modules of these names in the package that is profiled may be another revision's, or none
    measuring = _module("midas_bench_measuring", here.parent / "measure" / "worker.py")
    replies = measuring._begin()
    recorders = _module("midas_bench_recorders", here / "recorders.py").recorders(Path(os.environ[FOLDER_VARIABLE]))
    sys.meta_path.insert(0, PatchAfterImport(recorders))
    # C++ that torch.compile writes tells the profiler of its loops, which it does only where this asks for it
    os.environ.setdefault("TORCHINDUCTOR_CPP_ENABLE_KERNEL_PROFILE", "1")
    opened: dict[str, Any] = {}
    rounds: list[Round] = []
    calls = 0
    slowdown = 0.0
    with ExitStack() as stack:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                if "open" in request:
                    slowdown = request.get("slowdown", 0.0)
                    reply = measuring._open(request, opened, stack)
                elif "rows" in request:
                    reply = _rows(recorders, rounds)
                else:
                    with ExitStack() as around:
                        for recorder in recorders:
                            around.enter_context(recorder.around(calls))
                        start_s = time.perf_counter()
                        reply = measuring._timed(opened[request["pipeline"]][request["call"]], slowdown)
                    if request.get("keep"):
                        rounds.append(Round(calls, start_s, reply["seconds"]))
                    calls += 1
            except Exception as error:
                # by its fields, because the error is of the tree that is profiled
                told = [getattr(error, name, None) for name in ("thing", "reason", "next_step")]
                if None in told:
                    raise
                reply = {"error": told}
            replies.write(json.dumps(reply) + "\n")
            replies.flush()


def _module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # the decorators of some classes look their module up
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _rows(recorders: Sequence[Any], rounds: Sequence[Round]) -> dict[str, Any]:
    """Sort what was recorded into the rounds; microseconds count from the start of each call."""
    operators: dict[tuple[str, object], int] = {}
    facts: list[dict[str, Any]] = []
    events: list[list[list[float]]] = [[] for _ in rounds]
    for recorder in recorders:
        for occurrence in recorder.occurrences():
            number = _round_of(occurrence, rounds)
            if number is None:
                continue
            key = (recorder.library, occurrence.key)
            if key not in operators:
                operators[key] = len(facts)
                facts.append({"runtime": recorder.library, **occurrence.facts})
            # a clock that was read a little early or late must not move an operator out of its call
            start_s = min(max(0.0, occurrence.start_s - rounds[number].start_s), rounds[number].took_s)
            start_us, took_us = 1e6 * start_s, 1e6 * occurrence.took_s
            events[number].append([operators[key], round(start_us, 3), round(took_us, 3)])
    reply: dict[str, Any] = {
        "operators": facts,
        "rounds": [{"seconds": each.took_s, "events": of_round} for each, of_round in zip(rounds, events, strict=True)],
    }
    for recorder in recorders:
        reply.update(recorder.about())
    return reply


def _round_of(occurrence: Any, rounds: Sequence[Round]) -> int | None:
    """Return the place of the round that an operator ran in, or None: by the call's number, or else by the clock."""
    if occurrence.call is not None:
        numbers = [each.call for each in rounds]
        return numbers.index(occurrence.call) if occurrence.call in numbers else None
    place = bisect([each.start_s for each in rounds], occurrence.start_s) - 1
    if place < 0 or occurrence.start_s > rounds[place].start_s + rounds[place].took_s:
        return None
    return place


if __name__ == "__main__":
    serve()
