"""The page that measures, in a real browser with the real network."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest

from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.measure.browser import open_page as module
from midas_bench.measure.browser import page_server
from midas_bench.measure.browser.chromium import NAMES
from midas_bench.measure.browser.open_page import calls, open_page
from midas_bench.measure.browser.page_server import PageFailedError
from midas_bench.measure.browser.tier import LIFTOFF, TURBOFAN, ReferenceKernels
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.processes import ProcessDiedError, ask
from midas_bench.web import assets
from midas_bench.web.device_files import RUNTIME_FILES

pytestmark = pytest.mark.slow
CHINA = Path(__file__).parents[3] / "fixtures/images/china.jpg"
PHOTO = CHINA.read_bytes()


@pytest.fixture(scope="module")
def config(prepared, web_assets):
    prepared("onnx")
    return resolve(PipelineConfig("onnx", threads=1, weights="seeded", cache_dir=str(web_assets)))


@pytest.fixture
def page_config(config, tmp_path):
    return asdict(config) | {"assets": str(assets.require(Path(config.cache_dir))), "profiles": str(tmp_path)}


def test_a_page_times_the_stages_of_a_photo_whose_depth_is_the_pipelines(config, page_config):
    with calls([PHOTO], **page_config) as by_name:
        times = by_name["pipeline"]()
        assert list(times.parts_s) == ["decode", "preprocess", "inference", "heatmap"]
        assert 0 < sum(times.parts_s.values()) <= times.timed_elsewhere_s
        alone = by_name["inference"]()
        assert (alone.timed_elsewhere_s > 0, alone.parts_s) == (True, {})
        [depth] = by_name["depth"]()
    with DepthPipeline.open(config=config) as pipeline:
        [expected] = pipeline.run([PHOTO]).depth
    assert abs(depth - expected).max() <= 1e-3 * (expected.max() - expected.min())


def test_the_kernel_tells_whose_code_a_page_runs():
    seconds = []
    for flags in (LIFTOFF, TURBOFAN, ()):
        with open_page(js_flags=flags) as page:
            seconds.append(page.kernel().timed_elsewhere_s)
    baseline_s, optimised_s, page_s = seconds
    references = ReferenceKernels(baseline_s, optimised_s)
    assert references.problem(page_s) is None
    assert references.problem(baseline_s).startswith("the page does not run optimised code")


def test_a_start_up_is_reported_with_its_bytes_phases_and_memory(config, page_config, tmp_path):
    request = {"config": config.to_json(), "photos": [str(CHINA)], "output": str(tmp_path / "depth.npy")}
    request |= {name: page_config[name] for name in ("assets", "profiles")}
    reply = ask(MODULE, {"task": "browser_startup"} | request, 120)
    assert set(reply["page_startup_s"]) == {"open", "download", "compile", "first_inference"}
    assert all(seconds > 0 for seconds in reply["page_startup_s"].values())
    graph = module.device_files(config, Path(page_config["assets"])).graphs["fp32"]
    runtime = sum((Path(page_config["assets"]) / name).stat().st_size for name in RUNTIME_FILES["wasm"])
    assert graph.stat().st_size + runtime < reply["bytes"] < graph.stat().st_size + runtime + 1_000_000
    assert 0 < reply["empty"]["uss_bytes"] < reply["used"]["uss_bytes"] < reply["used"]["pss_bytes"]
    assert np.load(tmp_path / "depth.npy").shape == (1, 256, 256)
    native = ask(MODULE, {"task": "startup", "asked_at_s": time.time()} | request, 120)
    assert 0 < native["memory"]["uss_bytes"] <= native["memory"]["pss_bytes"]


def test_a_page_that_is_not_isolated_has_one_thread_and_says_so(page_config, monkeypatch):
    monkeypatch.setattr(page_server, "ISOLATED", {})
    two = page_config | {"threads": 2}
    monkeypatch.setattr("midas_bench.depth.config.allowed_cores", lambda: 2)
    with (
        pytest.raises(ProcessDiedError, match="has 1 threads in place of 2: it is not isolated"),
        calls([PHOTO], **two),
    ):
        pass


def test_a_graph_that_cannot_be_opened_is_said_in_one_line(page_config, monkeypatch, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph at all")
    monkeypatch.setattr(module.registry, "prepare", lambda *_: type("Graph", (), {"path": broken})())
    with pytest.raises(PageFailedError, match=r"^the page cannot load: [^\n]+$"), calls([PHOTO], **page_config):
        pass


def test_a_browser_ends_with_the_process_that_opened_it(tmp_path):
    script = (
        "from midas_bench.measure.browser.open_page import open_page\n"
        f"with open_page(profiles={str(tmp_path)!r}):\n    print('open', flush=True)\n    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout.readline() == "open\n"
        processes = [each for each in psutil.Process(parent.pid).children(recursive=True) if each.name() in NAMES]
        assert len(processes) > 2
        os.kill(parent.pid, signal.SIGKILL)
    end_s = time.monotonic() + 10
    while time.monotonic() < end_s and any(map(runs, processes)):
        time.sleep(0.1)
    assert not any(map(runs, processes))


def runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
