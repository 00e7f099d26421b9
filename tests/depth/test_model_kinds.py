"""Models of many kinds run through the pipeline, and give what a plain call of ONNX Runtime gives."""

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.depth.own_networks import network, plain_call

from midas_bench.depth.backends import registry
from midas_bench.depth.pipeline import DepthPipeline

HALF = "half precision, weights in another file"
KINDS = {
    "channels last, uint8": (network((1, 192, 256, 3), (1, 192, 256, 1), "uint8"), {}),
    "fixed batch, two outputs": (
        network((1, 3, 224, 320), (1, 1, 56, 80), second=(1, 1, 56, 80)),
        {"output": "depth", "preset": "unit"},
    ),
    "one channel of depth": (network((1, 3, 384, 384), (1, 1, 384, 384)), {"mean": "0.5", "std": "0.5"}),
    "free sizes": (network(("n", 3, "h", "w"), ("n", "h", "w")), {"size": "182x252"}),
    "depth, not its inverse": (network(("n", 3, 64, 96), ("n", 1, 64, 96)), {"meaning": "depth"}),
    HALF: (network(("n", 3, 128, 128), ("n", 128, 128), "float16"), {}),
}


@pytest.fixture
def saved(tmp_path):
    def save(made, external=False):
        path = tmp_path / "own.onnx"
        copied = onnx.ModelProto()
        copied.CopyFrom(made)
        onnx.save(copied, path, save_as_external_data=external, location="own.onnx.data", size_threshold=100)
        assert external == path.with_name("own.onnx.data").exists()
        return path

    return save


def skip_if_missing(backend):
    reason = registry.missing(registry.find(backend))
    if reason:
        pytest.skip(str(reason))


OTHERS = ("openvino", "opencv", "ncnn", "mnn")


@pytest.mark.parametrize("backend", ["onnx", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_those_of_a_plain_call(saved, tmp_path, photos, backend, kind):
    skip_if_missing(backend)
    made, settings = KINDS[kind]
    path = saved(made, external=kind == HALF)
    given = [photo.data for photo in list(photos.values())[:3]]
    options = {"cache_dir": str(tmp_path / "cache"), "model": str(path), "model_settings": settings, "threads": 1}
    with DepthPipeline.open(backend, **options) as pipeline:
        prediction = pipeline.run(given)
        batch = pipeline.recipe.preprocess([pipeline.recipe.picture(photo) for photo in given])
    expected = plain_call(path, batch, settings)
    assert prediction.depth.dtype == np.float32
    # others compute half precision in float32, ONNX Runtime rounds after each operator: 5e-4 seen; MNN's products are
    # of other sums: 3e-4 seen
    coarse = backend == "mnn" or (kind == HALF and backend != "onnx")
    tolerance = 1e-3 if coarse else 1e-4
    np.testing.assert_allclose(prediction.depth, expected, rtol=0, atol=tolerance * np.ptp(expected))
    # the photos differ, and so do their maps
    assert len({one.tobytes() for one in prediction.depth}) == 3
    sizes = [(photo.height, photo.width, 3) for photo in list(photos.values())[:3]]
    assert [heatmap.shape for heatmap in prediction.heatmaps] == sizes


@pytest.mark.slow
@pytest.mark.usefixtures("makes_int8_here")
@pytest.mark.parametrize("backend", ["onnx-int8", "openvino-int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_int8_is_calibrated_on_the_models_own_input(saved, tmp_path, photos, calibration, backend, kind):
    skip_if_missing(backend)
    made, settings = KINDS[kind]
    path = saved(made, external=kind == HALF)
    given = [photo.data for photo in list(photos.values())[:2]]
    options = {"cache_dir": str(tmp_path / "cache"), "model": str(path), "model_settings": settings, "threads": 1}
    with DepthPipeline.open(backend, calibration=calibration, **options) as pipeline:
        depth = pipeline.run(given).depth
        batch = pipeline.recipe.preprocess([pipeline.recipe.picture(photo) for photo in given])
    expected = plain_call(path, batch, settings)
    assert depth.shape == expected.shape
    assert np.abs(depth - expected).mean() < 0.02 * np.ptp(expected)
    assert np.corrcoef(depth.ravel(), expected.ravel())[0, 1] > 0.99


def test_the_nearest_point_is_brightest_whatever_the_numbers_mean(saved, tmp_path):
    """A network whose output is the picture's brightness: near if it is inverse depth, far if it is depth."""
    mean = helper.make_node("ReduceMean", ["picture"], ["depth"], axes=[1], keepdims=1)
    describe = helper.make_tensor_value_info
    shape = ("n", 3, 64, 64)
    graph = helper.make_graph(
        [mean],
        "own",
        [describe("picture", TensorProto.FLOAT, shape)],
        [describe("depth", TensorProto.FLOAT, ("n", 1, 64, 64))],
    )
    path = saved(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8))
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, :32] = 250
    picture[:, 32:] = 50
    bright = {}
    for meaning in ("inverse", "depth"):
        settings = {"meaning": meaning, "preset": "unit"}
        options = {"cache_dir": str(tmp_path), "model": str(path), "model_settings": settings, "threads": 1}
        with DepthPipeline.open("onnx", **options) as pipeline:
            [heatmap] = pipeline([picture])
        grey = cv2.cvtColor(heatmap, cv2.COLOR_RGB2GRAY)
        bright[meaning] = "left" if grey[:, 5].mean() > grey[:, -5].mean() else "right"
    assert bright == {"inverse": "left", "depth": "right"}
