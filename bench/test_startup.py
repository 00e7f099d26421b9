"""How long from starting a process to its first heat map, with a warm artifact cache and with an empty one?"""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from midas_bench.depth.backends.registry import find
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.processes import ask
from midas_bench.results.kinds import PHASES

PROCESSES = {"warm": 3, "empty": 1}
MORE_PROCESSES = {"warm": 10, "empty": 3}
TIMEOUT_S = 600.0

pytestmark = [pytest.mark.not_quick, pytest.mark.expected_seconds(14)]
caches = pytest.mark.parametrize("cache", ["warm", "empty"])


def empty_cache_differs(cache, backend, **_):
    """Tell whether an empty cache makes a difference."""
    return cache == "warm" or find(backend).artifact is not None


needed = pytest.mark.makes_sense.with_args(empty_cache_differs)


def lists_over_processes(reports):
    """Put each phase's seconds into a list over processes."""
    built = [report["build_s"] for report in reports if report["build_s"] is not None]
    return {"startup_s": {phase: [report[phase] for report in reports] for phase in PHASES}, "build_s": built or None}


@pytest.fixture
def start(cell, model, backend, threads, one_photo, cache, tmp_path_factory):
    """Return a function that starts one process and reports its phases."""
    cell.describe(kind="startup", backend=backend, threads=threads, recipe="fast", cache=cache)
    config = replace(model.config, backend=backend, threads=threads)

    def start_process():
        folder = config.cache_dir if cache == "warm" else str(tmp_path_factory.mktemp("empty"))
        request = {
            "task": "startup",
            "config": replace(config, cache_dir=folder).to_json(),
            "photos": one_photo.paths,
            "asked_at_s": time.time(),
        }
        reply = ask(MODULE, request, TIMEOUT_S)
        for artifact in Path(folder).glob("artifacts/*") if cache == "empty" else ():
            artifact.unlink()  # 80 MB each
        return reply

    return start_process


def in_the_default_run(cache, **_):
    """Leave out the empty cache: making a graph takes as long as ten starts, and happens once."""
    return cache == "warm"


@pytest.mark.by_default.with_args(in_the_default_run)
@needed
@caches
def test_startup(cell, start, cache):
    """Record a few processes."""
    cell.record("process from start to steady state", start, PROCESSES[cache], lists_over_processes)


@pytest.mark.extended
@needed
@caches
def test_startup_often(cell, start, cache):
    """Record more of them."""
    cell.record("process from start to steady state, often", start, MORE_PROCESSES[cache], lists_over_processes)
