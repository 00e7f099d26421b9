"""Models of many kinds run through the pipeline, and give what a plain call of ONNX Runtime gives."""

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from midas_bench.depth.backends import registry
from midas_bench.depth.pipeline import DepthPipeline

TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


def network(given, returned, dtype="float32", *, second=None, channels=8):
    """Make a small network of convolutions whose depth is a quarter or all of the input's size.

    Args:
        given: shape of the input; with 3 at its end, channels come last.
        returned: shape of the depth; smaller than the input where its sides say so.
        dtype: of the input; with float16 all weights and the depth are float16 too.
        second: shape of a further output, which comes first.
        channels: of the hidden layer.
    """
    random = np.random.default_rng(5)
    kind = np.float16 if dtype == "float16" else np.float32
    weights, nodes = [], []

    def held(array):
        weights.append(numpy_helper.from_array(np.asarray(array), f"w{len(weights)}"))
        return weights[-1].name

    def node(operator, *inputs, **attributes):
        nodes.append(helper.make_node(operator, inputs, [f"v{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    value = "picture"
    if dtype == "uint8":
        value = node("Div", node("Cast", value, to=TensorProto.FLOAT), held(np.float32(255)))
    last = given[3] == 3
    if last:
        value = node("Transpose", value, perm=[0, 3, 1, 2])
    height = returned[2] if len(returned) == 4 and returned[3] != 1 else returned[1]
    smaller = height not in (given[1 if last else 2], "h")
    stride = 4 if smaller else 1
    first = (random.normal(size=(channels, 3, 5, 5)) / 5).astype(kind)
    value = node("Relu", node("Conv", value, held(first), strides=[stride, stride], pads=[2, 2, 2, 2]))
    value = node("Conv", value, held((random.normal(size=(1, channels, 3, 3)) / 3).astype(kind)), pads=[1, 1, 1, 1])
    value = node("Sigmoid", value)
    confidence = node("Neg", value)
    if len(returned) == 3:
        value = node("Squeeze", value, held(np.array([1])))
    elif returned[3] == 1:
        value = node("Transpose", value, perm=[0, 2, 3, 1])
    nodes.append(helper.make_node("Identity", [value], ["depth"]))
    describe = helper.make_tensor_value_info
    floats = TYPES["float16" if dtype == "float16" else "float32"]
    outputs = [describe("depth", floats, returned)]
    if second:
        nodes.append(helper.make_node("Identity", [confidence], ["confidence"]))
        outputs.insert(0, describe("confidence", floats, second))
    graph = helper.make_graph(nodes, "own", [describe("picture", TYPES[dtype], given)], outputs, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


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


def plain_call(path, batch, settings):
    """Return what the model gives by itself, photo by photo, as inverse depth (N, H, W)."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    maps = [session.run([settings.get("output", "depth")], {"picture": one[None]})[0].squeeze() for one in batch]
    depth = np.stack(maps).astype(np.float32)
    return 1 / depth if settings.get("meaning") == "depth" else depth


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


@pytest.mark.parametrize("backend", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
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
    # OpenVINO computes half precision in float32, ONNX Runtime rounds after each operator: 5e-4 seen
    tolerance = 1e-3 if (backend, kind) == ("openvino", HALF) else 1e-4
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
