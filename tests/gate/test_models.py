"""Two models in one gate: a real network and the same with a convolution more, and one model at two sizes."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, shape_inference

from midas_bench.cli.main import main
from midas_bench.depth.artifacts import artifact
from midas_bench.depth.weights import seeded

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network(graphs):
    return artifact("onnx", seeded(), graphs).path


def with_a_convolution_more(path):
    """Return the model with a 1x1 convolution that changes nothing, where that takes longest, and its output's name."""
    model = onnx.load(path)
    shapes = {
        value.name: [dimension.dim_value or 1 for dimension in value.type.tensor_type.shape.dim]
        for value in shape_inference.infer_shapes(model).graph.value_info
    }
    nodes = [node for node in model.graph.node if node.op_type == "Conv" and len(shapes.get(node.output[0], ())) == 4]
    before = max(nodes, key=lambda node: shapes[node.output[0]][1] * np.prod(shapes[node.output[0]][1:]))
    channels = shapes[before.output[0]][1]
    identity = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1)
    model.graph.initializer.append(numpy_helper.from_array(identity, "planted_weights"))
    for node in model.graph.node:
        node.input[:] = ["planted" if name == before.output[0] else name for name in node.input]
    planted = helper.make_node("Conv", [before.output[0], "planted_weights"], ["planted"], "planted")
    model.graph.node.insert(list(model.graph.node).index(before) + 1, planted)
    # the runtime fuses what follows into it
    return model, {"planted", *(node.output[0] for node in model.graph.node if "planted" in node.input)}


@pytest.mark.alone
@pytest.mark.usefixtures("first_look_after_8_blocks")
def test_a_model_with_a_convolution_more_regresses_and_the_convolution_is_named(network, tmp_path, monkeypatch, capsys):
    model, tensors = with_a_convolution_more(network)
    changed, output = tmp_path / "größer.onnx", tmp_path / "gate.json"
    changed.write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDAS_BENCH_CACHE", str(tmp_path / "cache"))
    # what is equal may settle at the first look
    flags = ["--startup-threshold", "90%", "--threshold", "peak memory=50%", "--threshold", "0.5%"]
    code = main([
        "gate", "run", "--base-model", str(network), "--head-model", str(changed), "--cell", "inference",
        *flags, "--fail-fast", "--no-control", "--budget", "10min", "--seed", "1", "--json", str(output),
    ])  # fmt: skip
    printed = capsys.readouterr()
    document = json.loads(output.read_text())
    verdicts = {figure["figure"]["name"]: figure["verdict"] for figure in document["figures"]}
    assert verdicts["inference[onnx-b1-street]"] == "regressed", printed
    assert code == 1
    assert [each["changed"] for each in document["outputs"]] == [False]
    assert max(change["largest_error"] for change in document["depth"]) < 1e-3
    assert min(change["rank_correlation"] for change in document["depth"]) > 0.999
    [why] = document["why"]
    assert why["operators"][0]["operator"] in tensors
    assert "Operators behind inference[onnx-b1-street]:" in printed.out
    assert "größer.onnx (head)" in printed.out


def test_one_model_at_two_sizes_is_two_sides_and_their_depth_is_compared(tmp_path, project, monkeypatch):
    describe = helper.make_tensor_value_info
    mean = helper.make_node("ReduceMean", ["picture"], ["depth"], axes=[1], keepdims=0)
    given = describe("picture", onnx.TensorProto.FLOAT, ("n", 3, "h", "w"))
    graph = helper.make_graph([mean], "own", [given], [describe("depth", onnx.TensorProto.FLOAT, ("n", "h", "w"))])
    model, output, photos = tmp_path / "own.onnx", tmp_path / "gate.json", tmp_path / "photos"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), model)
    photos.mkdir()
    shutil.copy(project / "fixtures/images/chelsea.jpg", photos)
    monkeypatch.chdir(tmp_path)
    main([
        "gate", "run", "--model", str(model), "--base-size", "64x96", "--head-size", "96x128", "--photos", str(photos),
        "--cell", "inference", "--allow-changed-output", "--no-why", "--no-control", "--budget", "5s",
        "--json", str(output),
    ])  # fmt: skip
    document = json.loads(output.read_text())
    [change] = document["depth"]
    assert change["photo"] == "chelsea.jpg"
    assert change["rank_correlation"] > 0.9
    said = "depth of own.onnx, size 96x128 is 96x128, the base's 64x96: the smaller is enlarged, as for a heat map"
    assert said in document["notes"]
    sizes = [arm["weights"]["interface"]["height"] for arm in document["arms"].values()]
    assert sizes == [64, 96]
    assert {figure["figure"]["name"] for figure in document["figures"]} >= {"inference[onnx-b1-own]"}
