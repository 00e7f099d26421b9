"""How do latency and throughput look by MLPerf's scenarios, driven by MLCommons LoadGen? Short runs, never valid."""

from dataclasses import replace
from functools import cache

import pytest

from midas_bench import scene_photos
from midas_bench.errors import UserError
from midas_bench.measure.loadgen import scenarios as loadgen
from midas_bench.measure.loadgen.rules import SCENARIOS, SHORT
from midas_bench.processes import ProcessDiedError

QUICK = replace(SHORT, duration_s=0.6, probe_s=0.6, probes=2, least=SHORT.least | {"multi-stream": 1})
TIMEOUT_S = 300.0

pytestmark = [pytest.mark.extended, pytest.mark.expected_seconds(7)]


@pytest.fixture(scope="module")
def plan(run, model, threads, pytestconfig):
    """Drive all photos of the run; LoadGen's logs go beside the reports, each run's into a folder of its own."""
    try:
        loadgen.check_installed()
    except UserError as error:
        pytest.skip(str(error))
    logs = loadgen.new_logs(pytestconfig.rootpath)
    return loadgen.LoadPlan(
        replace(model.config, threads=threads), run.photos, QUICK if run.settings.quick else SHORT, logs
    )


@pytest.fixture(scope="module")
def driven(plan, backend, measured_once):
    """Return functions for a backend's logged depth and its four scenarios in one fresh process; asked once."""
    return (
        cache(lambda: loadgen.logged_depth(plan, backend)),
        measured_once(lambda: loadgen.measure(plan, backend, SCENARIOS, TIMEOUT_S)),
    )


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_loadgen(cell, plan, driven, backend, scenario):
    """Record LoadGen's result of the scenario.

    The first cell of a backend runs all four in one process: pytest-benchmark's own figure is then that cell's.
    """
    depth, loads = driven
    cell.describe(kind="load", scenario=scenario, backend=backend, threads=plan.config.threads)
    try:
        logged = depth()
    except ProcessDiedError as error:
        pytest.fail(f"the process that LoadGen drove died: {error}", pytrace=False)
    cell.check(lambda: logged, scene_photos.Batch(tuple(plan.photos), repeated=False))
    cell.record("load", lambda: loads()[scenario].to_extra_info())
