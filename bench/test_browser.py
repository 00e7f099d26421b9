"""How much slower is the same graph in a browser than natively, stage by stage, and what does its start-up cost?"""

import tempfile
import time
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from midas_bench import allocator, scene_photos
from midas_bench.cpu import default_threads
from midas_bench.depth.interface import MIDAS
from midas_bench.errors import UserError
from midas_bench.measure.blocks import blocks
from midas_bench.measure.browser import chromium
from midas_bench.measure.browser.open_page import CALLS
from midas_bench.measure.browser.ratio import PHOTO, TIMED, WHOLE, UncertainTierError, groups, over_native
from midas_bench.measure.browser.tier import reference_kernels
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.measure.worker_client import WorkerSpec
from midas_bench.processes import ProcessDiedError, adopt_orphans, ask
from midas_bench.results.kinds import PHASES
from midas_bench.web import assets

BROWSER = {"web-wasm": "onnx", "web-wasm-int8": "onnx-int8"}
"""By the name of what runs in the browser, what runs the same graph natively."""
BLOCKS = 6
ROUNDS = 4
SEED = 9
STARTS = 2
TIMEOUT_S = 600.0

pytestmark = [pytest.mark.extended, pytest.mark.not_quick]
on_cores = pytest.mark.parametrize("cores", ["one", "all"])
of_graphs = pytest.mark.parametrize("browser_backend", BROWSER)


def all_differ_from_one(cores, **_):
    """Tell whether all cores are more than one."""
    return cores == "one" or default_threads() > 1


needed = pytest.mark.makes_sense.with_args(all_differ_from_one)


@pytest.fixture(scope="module")
def in_browser(run):
    """Return what a page needs: the folder of its files, one for profiles, and the browser's name."""
    if run.settings.models or run.weights.interface != MIDAS:
        pytest.skip("not for this network: the cells in a browser run MiDaS_small")
    try:
        folder = assets.require(Path(run.config.cache_dir))
        name = chromium.version(chromium.find_chromium())
    except UserError as error:
        pytest.skip(str(error))
    # browsers work for this run: what they leave behind must not count as somebody else's
    adopt_orphans()
    # a worker is killed, and cannot remove its browser's profile
    with tempfile.TemporaryDirectory(prefix="midas-bench-", ignore_cleanup_errors=True) as profiles:
        yield {"assets": str(folder), "profiles": profiles, "browser": name}


@pytest.fixture
def config(run, browser_backend, cores):
    """Return the configuration of what runs natively; int8 is calibrated on the run's own photos."""
    threads = 1 if cores == "one" else default_threads()
    calibration = scene_photos.paths(run.photos)
    return replace(run.config, backend=BROWSER[browser_backend], threads=threads, calibration=calibration)


@pytest.fixture(scope="module")
def usual(run):
    """Take the usual photo."""
    return scene_photos.batch([scene_photos.usual_and_largest(run.scenes)["usual"]], 1)


def arms(config, in_browser, photo, browser_backend):
    """Describe the workers: the page, without our settings of the allocator, and native ONNX Runtime."""
    page = asdict(config) | {name: in_browser[name] for name in ("assets", "profiles")}
    native = {"photos": photo.paths, "config": asdict(config)}
    without = dict.fromkeys(allocator.SETTINGS, "")
    return [
        WorkerSpec(browser_backend, {PHOTO: {"photos": photo.paths, "config": page}}, without, calls=CALLS),
        WorkerSpec(config.backend, {PHOTO: native}),
    ]


@pytest.fixture(scope="module")
def measured(in_browser, usual, measured_once):
    """Give the blocks of a configuration, measured once."""

    @cache
    def of(config, browser_backend):
        workers = arms(config, in_browser, usual, browser_backend)
        probes = groups(browser_backend, config.backend)
        return measured_once(partial(blocks, workers, probes, ROUNDS, SEED, BLOCKS, pinned=False))

    return of


@pytest.fixture(scope="module")
def reference(in_browser, measured_once):
    """Time the kernel once where one compiler alone made its code."""
    return measured_once(partial(reference_kernels, in_browser["profiles"]))


@pytest.fixture(scope="module")
def starts(in_browser, usual, measured_once, tmp_path_factory):
    """Give the start-ups of a configuration, in a page and natively by turns, measured once."""

    def start(config):
        request = {"config": config.to_json(), "photos": usual.paths}
        output = tmp_path_factory.mktemp("depth") / "depth.npy"
        in_page = {"task": "browser_startup", "output": str(output), **in_browser}
        page = ask(MODULE, request | in_page, TIMEOUT_S, environment=dict.fromkeys(allocator.SETTINGS, ""))
        native = ask(MODULE, request | {"task": "startup", "asked_at_s": time.time()}, TIMEOUT_S)
        return page, native, np.load(output)

    @cache
    def of(config):
        return measured_once(lambda: [start(config) for _ in range(STARTS)])

    return of


def describe_and_check(cell, config, in_browser, usual, starts, browser_backend, **fields):
    """Describe a cell, and check the depth of a page before anything is timed."""
    cell.describe_batch(usual)
    cell.describe(backend=config.backend, threads=config.threads, browser=in_browser["browser"],
                  browser_backend=browser_backend, **fields)  # fmt: skip
    failure = ""
    try:
        cell.check(lambda: starts(config)()[0][2], usual)
    except ProcessDiedError as error:
        failure = str(error)
    # outside of the handler, because pytest would show the handler's traceback too
    if failure:
        pytest.fail(f"nothing was timed: {failure}", pytrace=False)


def over_processes(memories, key):
    """Put one figure of each process's memory into a list; none where the system does not tell."""
    return [memory[key] for memory in memories if memory]


@needed
@pytest.mark.expected_seconds(20)
@on_cores
@of_graphs
def test_browser_startup(cell, config, in_browser, usual, starts, browser_backend):
    """Record bytes, seconds and memory of pages in fresh browsers, beside those of native processes."""
    describe_and_check(cell, config, in_browser, usual, starts, browser_backend, kind="browser-startup")

    def measure():
        pages, natives, _ = zip(*starts(config)(), strict=True)
        used, native = [page["used"] for page in pages], [one["memory"] for one in natives]
        return {
            "download_bytes": pages[0]["bytes"],
            "page_startup_s": {
                phase: [page["page_startup_s"][phase] for page in pages] for phase in pages[0]["page_startup_s"]
            },
            "startup_s": {phase: [one[phase] for one in natives] for phase in PHASES},
            "empty_page_pss_bytes": over_processes([page["empty"] for page in pages], "pss_bytes"),
            "browser_pss_bytes": over_processes(used, "pss_bytes"),
            "browser_uss_bytes": over_processes(used, "uss_bytes"),
            "native_pss_bytes": over_processes(native, "pss_bytes"),
            "native_uss_bytes": over_processes(native, "uss_bytes"),
        }

    cell.record("start-up in the browser", measure)


@needed
@pytest.mark.expected_seconds(15)
@pytest.mark.parametrize("timed", TIMED)
@on_cores
@of_graphs
def test_browser(cell, config, in_browser, usual, starts, measured, reference, browser_backend, timed):
    """Record the page's time over that of native ONNX Runtime: same graph, photo and number of threads."""
    ratio = f"{browser_backend}/{config.backend}, {config.threads} threads, {timed}"
    describe_and_check(cell, config, in_browser, usual, starts, browser_backend, kind="browser-ratio", ratio=ratio,
                       numerator=browser_backend, denominator=config.backend,
                       stage=None if timed == WHOLE else timed)  # fmt: skip

    def measure():
        try:
            return over_native(measured(config, browser_backend)(), reference(), browser_backend, config.backend, timed)
        except UncertainTierError as error:
            reason = str(error)
        pytest.fail(reason, pytrace=False)

    cell.record("in the browser, photo to heat map", measure)
