"""The page's Worker in a real browser, against the pipeline: photos of all kinds, and what goes wrong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.depth.own_networks import network
from tests.depth.pictures import encoded, noise
from tests.web.conftest import site

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.heatmap import INFERNO_RGB
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.weights import seeded
from midas_bench.web import assets
from midas_bench.web.device_files import ISOLATED, DeviceFile, DeviceFiles

pytestmark = pytest.mark.browser

MOST_PIXELS = 10_000_000
DEPTH_BOUND, COLOUR_BOUND, PIXELS_WITHIN = 1e-3, 2, 0.999


@pytest.fixture(scope="module")
def pipeline(graphs):
    with DepthPipeline.open("onnx", weights="seeded", threads=1, cache_dir=str(graphs)) as opened:
        yield opened


@pytest.fixture(scope="module")
def files(graphs, web_assets):
    graph = artifact("onnx", seeded(), Path(graphs))
    return DeviceFiles({"fp32": graph.path}, MIDAS, assets.require(web_assets), MOST_PIXELS)


@pytest.fixture(scope="module")
def address(files):
    with site(files.find, ISOLATED) as served:
        yield served


def require_equal(result, pipeline, photo):
    """Compare depth and colours with the pipeline's."""
    theirs = pipeline.run([photo], palette=True)
    assert result["type"] == "result", result
    depth = theirs.depth[0].ravel()
    assert np.abs(result["depth"] - depth).max() <= DEPTH_BOUND * np.ptp(depth)
    colours = INFERNO_RGB[:, 0].astype(int)[theirs.heatmaps[0]]
    assert result["pixels"].shape == (*colours.shape[:2], 4)
    differences = np.abs(result["pixels"][..., :3] - colours).max(axis=2)
    assert (differences <= COLOUR_BOUND).mean() >= PIXELS_WITHIN


def test_every_photo_of_the_project_gives_the_pipelines_depth_and_colours(worker, address, pipeline, photos):
    opened = worker(address)
    ready = opened.load()
    assert (ready["type"], ready["isolated"], ready["threads"]) == ("ready", True, 1)
    for photo in photos.values():
        result = opened.run(photo.data)
        require_equal(result, pipeline, photo.data)
        assert list(result["stages_ms"]) == ["decode", "preprocess", "inference", "heatmap"]
        assert min(result["stages_ms"].values()) > 0


def test_photos_of_every_kind_and_orientation_give_the_pipelines_depth(worker, address, pipeline, encode):
    opened = worker(address)
    opened.load()
    large = noise(1, 700, 900)
    kinds = {f"orientation {n}": encode(large, "JPEG", orientation=n) for n in range(1, 9)}
    for other in ("PNG", "WEBP"):
        kinds |= {f"{other} of orientation {n}": encode(noise(2), other, orientation=n) for n in (1, 3, 6)}
    kinds["progressive"] = encoded(large, progressive=True)
    kinds["half the colours"] = encoded(large, subsampling=2, quality=80)
    kinds["grey"] = encoded(large[..., 0])
    kinds["of one row"] = encoded(noise(3, 1, 300))
    for photo in kinds.values():
        require_equal(opened.run(photo), pipeline, photo)


def test_what_is_no_sound_photo_is_told_and_the_next_one_works(worker, address, pipeline, encode, photo):
    opened = worker(address)
    opened.load()
    wrong = {
        b"": "The photo cannot be decoded",
        b"just text": "The photo cannot be decoded",
        photo[:300]: "The photo cannot be decoded",
        b"\xff\xd8\xff\xe1": "The photo cannot be decoded",
        encode(np.zeros((2600, 4000), np.uint8), "PNG"): "The photo is too large",
        encode(np.zeros((2600, 4000), np.uint8), "JPEG"): "The photo is too large",
    }
    for data, title in wrong.items():
        failed = opened.run(data)
        assert (failed["type"], failed["id"], failed["title"]) == ("failed", 1, title)
        assert failed["detail"]
        assert failed["next_step"]
        require_equal(opened.run(photo), pipeline, photo)


@pytest.mark.parametrize(
    ("given", "returned", "dtype", "changes"),
    [
        ((1, 96, 128, 3), (1, 96, 128, 1), "uint8", {"layout": "NHWC"}),
        ((1, 3, 96, 128), (1, 1, 24, 32), "float32", {"mean": (0.0,) * 3, "std": (1.0,) * 3, "meaning": "depth"}),
        (("n", 3, 96, 128), ("n", 96, 128), "float32", {"scale": 127.5, "mean": (1.0,) * 3, "std": (1.0,) * 3}),
    ],
)
def test_networks_of_other_interfaces_give_the_pipelines_depth(
    worker, files, photo, tmp_path, given, returned, dtype, changes
):
    path = tmp_path / "own model.onnx"
    onnx.save(network(given, returned, dtype), path)
    interface = replace(MIDAS, height=96, width=128, dtype=dtype, **changes)
    settings = {name: value for name, value in changes.items() if name != "layout"}
    own = DeviceFiles({"fp32": path}, interface, files.assets, MOST_PIXELS)
    with (
        DepthPipeline.open("onnx", model=str(path), threads=1, model_settings=settings) as pipeline,
        site(own.find, ISOLATED) as address,
    ):
        opened = worker(address)
        opened.load()
        require_equal(opened.run(photo), pipeline, photo)


def test_a_page_that_is_not_isolated_computes_with_one_thread(worker, files, pipeline, photo):
    with site(files.find, {}) as address:
        opened = worker(address)
        ready = opened.ask(type="load", model="fp32", threads=2)
        assert (ready["isolated"], ready["threads"]) == (False, 1)
        require_equal(opened.run(photo), pipeline, photo)


def test_a_model_that_cannot_be_had_is_told(worker, files, photo):
    [(model, _)] = [(one["file"], one["bytes"]) for one in files.settings["models"]]
    broken = {
        "is cut off": lambda name, file: DeviceFile(b"", file.media_type, False) if name == model else file,
        "is not there": lambda name, file: None if name == model else file,
        "holds nonsense": lambda name, file: (
            DeviceFile(bytes(files.graphs["fp32"].stat().st_size), file.media_type, False) if name == model else file
        ),
    }
    for how, change in broken.items():
        with site(lambda name, change=change: change(name, files.find(name)), ISOLATED) as address:
            opened = worker(address)
            failed = opened.load()
            assert failed["type"] == "failed", how
            assert failed["title"] in ("The model cannot be loaded", "The model cannot be opened")
            assert "\n" not in failed["detail"]
            assert failed["next_step"]
            assert opened.run(photo)["title"] == "No model is loaded"


def test_a_browser_without_simd_is_told(worker, address):
    opened = worker(address)
    # what the Worker asks, answered as a browser of 2020 would
    opened.page.evaluate(
        """() => new Promise((resolve) => {
            const script = new URL("device/depth-worker.js", location);
            const text = `WebAssembly.validate = () => false; import("${script}").then(() => postMessage("imported"))`;
            window.worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
            worker.onmessage = resolve;
        })"""
    )
    assert opened.load()["title"] == "This browser is too old"


def test_rounds_are_timed_in_the_worker(worker, address, photo):
    opened = worker(address)
    opened.load()
    whole = opened.ask(photo, type="rounds", id=2, count=3, inferenceOnly=False)
    assert len(whole["rounds_ms"]) == len(whole["stages_ms"]) == 3
    for round_ms, stages_ms in zip(whole["rounds_ms"], whole["stages_ms"], strict=True):
        assert sum(stages_ms.values()) <= round_ms
    inference = opened.ask(photo, type="rounds", id=3, count=2, inferenceOnly=True)
    assert len(inference["rounds_ms"]) == 2
    assert inference["stages_ms"] == []
