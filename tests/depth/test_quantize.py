"""Int8 graphs of models as exporters of many years write them: small convolutional networks of every opset."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from midas_bench.depth import graph, quantize
from midas_bench.depth.backends import registry
from midas_bench.depth.custom_model import own_model
from midas_bench.errors import UserError

IR_VERSIONS = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7}
OPSETS = range(7, 23)
RESIZINGS = ("linear", "nearest")


class Net:
    """Collect nodes and weights, and write each operator as its opset has it."""

    def __init__(self, opset):
        self.opset, self.nodes, self.weights = opset, [], []
        self.random = np.random.default_rng(3)

    def weight(self, *shape):
        return self.constant((0.3 * self.random.normal(size=shape)).astype(np.float32))

    def constant(self, array):
        self.weights.append(numpy_helper.from_array(np.asarray(array), f"w{len(self.weights)}"))
        return self.weights[-1].name

    def node(self, kind, *inputs, domain="", **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], domain=domain, **attributes))
        return name

    def with_parameters(self, kind, since, value, **parameters):
        """Add a node whose parameters were attributes before the opset `since`, and are inputs from then on."""
        if self.opset < since:
            plain = {name: array.tolist() for name, array in parameters.items()}
            return self.node(kind, value, **plain)
        return self.node(kind, value, *(self.constant(array) for array in parameters.values()))

    def doubled(self, value, mode):
        scales = np.array([1, 1, 2, 2], np.float32)
        if self.opset < 9:
            return self.node("Upsample", value, mode=mode, scales=scales.tolist())
        if self.opset < 11:
            return self.node("Resize" if self.opset == 10 else "Upsample", value, self.constant(scales), mode=mode)
        inputs = (value, self.constant(np.zeros(0, np.float32)), self.constant(scales))
        return self.node("Resize", *inputs, mode=mode, coordinate_transformation_mode="half_pixel")

    def finished(self, value):
        self.nodes.append(helper.make_node("Identity", [value], ["y"]))
        describe = helper.make_tensor_value_info
        inputs = [describe("x", TensorProto.FLOAT, ["n", 3, 256, 256])]
        # up to IR version 3 weights had to be inputs too
        if self.opset < 9:
            inputs += [describe(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in self.weights]
        outputs = [describe("y", TensorProto.FLOAT, ["n", 256, 256])]
        opsets = [helper.make_opsetid("", self.opset)]
        made = helper.make_graph(self.nodes, "own", inputs, outputs, self.weights)
        return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSIONS.get(self.opset, 8))


def network(opset, resizing="linear"):
    """Make a network of strided and depthwise convolutions, batch norm, clipping, padding and upsampling."""
    net = Net(opset)
    value = net.node("Conv", "x", net.weight(8, 3, 3, 3), net.weight(8), strides=[2, 2], pads=[1, 1, 1, 1])
    norm = [net.constant(np.full(8, of, np.float32)) for of in (1.5, 0.2, 0.1, 2.0)]
    value = net.node("BatchNormalization", value, *norm)
    value = net.with_parameters("Clip", 11, value, min=np.float32(0), max=np.float32(6))
    value = net.with_parameters("Pad", 11, value, pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    value = net.node("Conv", value, net.weight(8, 1, 3, 3), group=8)
    value = net.doubled(value, resizing)
    value = net.node("Relu", net.node("Conv", value, net.weight(1, 8, 1, 1), net.weight(1)))
    return net.finished(net.with_parameters("Squeeze", 13, value, axes=np.array([1])))


@pytest.fixture
def saved(tmp_path):
    def save(made):
        path = tmp_path / "own.onnx"
        path.write_bytes(made.SerializeToString())
        return path

    return save


@pytest.fixture(scope="module")
def batch(calibration):
    return next(quantize.inputs(calibration))


def depth_of(made, batch):
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": batch})[0]


@pytest.mark.parametrize("resizing", RESIZINGS)
@pytest.mark.parametrize("opset", OPSETS)
def test_a_graph_of_any_opset_becomes_one_that_can_be_quantised_and_computes_the_same(saved, batch, opset, resizing):
    made = network(opset, resizing)
    converted = quantize._quantisable(saved(made), batch)
    assert converted.opset_import[0].version == max(opset, 13)
    expected = depth_of(made, batch)
    np.testing.assert_allclose(depth_of(converted, batch), expected, atol=1e-4 * np.ptp(expected))


def of_function():
    net = Net(11)
    made = net.finished(net.node("ReduceMean", net.node("Twice", "x", domain="own"), axes=[1], keepdims=0))
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    made.functions.append(helper.make_function("own", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 11)]))
    made.opset_import.append(helper.make_opsetid("own", 1))
    made.ir_version = 8
    return made


def of_branch():
    """Resize in a branch, which the converter gives another meaning."""
    net = Net(10)
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    shaped = [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]
    bodies = {
        name: helper.make_graph([helper.make_node("Resize", ["x", scales], ["r"], mode=mode)], name, [], shaped)
        for name, mode in (("then_branch", "linear"), ("else_branch", "nearest"))
    }
    value = net.node("If", net.constant(np.array(True)), **bodies)
    value = net.node("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2])
    return net.finished(net.node("ReduceMean", value, axes=[1], keepdims=0))


@pytest.mark.parametrize(("make", "opset"), [(of_function, 11), (of_branch, 10)])
def test_a_graph_that_is_lost_in_conversion_is_refused_with_its_opset(saved, batch, make, opset):
    made = make()
    assert np.isfinite(depth_of(made, batch)).all()
    reason = rf"own\.onnx: has opset {opset}, cannot be quantised below 13.*; export it with opset 13 or later"
    with pytest.raises(UserError, match=reason):
        quantize._quantisable(saved(made), batch)


OPSETS_RUN = {
    "onnx": OPSETS,
    "openvino": OPSETS,
    "onnx-int8": (7, 9, 10, 11, 12, 13, 17, 22),
    "openvino-int8": (9, 11, 13, 22),
}
RUNS = [
    pytest.param(name, opset, marks=[] if name == "onnx" or (name, opset) == ("onnx-int8", 11) else [pytest.mark.slow])
    for name, opsets in OPSETS_RUN.items()
    for opset in opsets
]


@pytest.mark.usefixtures("makes_int8_here")
@pytest.mark.parametrize(("name", "opset"), RUNS)
def test_a_users_own_model_of_any_opset_runs_on_every_backend_that_reads_it(
    saved, tmp_path, calibration, batch, name, opset
):
    if registry.missing(registry.find(name)):
        pytest.skip(str(registry.missing(registry.find(name))))
    made = network(opset)
    opened = registry.load(name, own_model(str(saved(made))), 1, tmp_path / "cache", calibration)
    try:
        depth, expected = opened(batch), depth_of(made, batch)
    finally:
        opened.close()
    error = np.abs(depth - expected).max() / np.ptp(expected)
    assert error < (registry.MAX_RELATIVE_ERROR if registry.find(name).exact else 0.2)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["own.onnx"]


def of_no_number():
    net = Net(13)
    return net.finished(net.node("Log", net.node("ReduceMean", "x", axes=[1], keepdims=0)))


def invalid():
    """Make what was written from old opsets: per-channel scales, which opset 11 has not."""
    made = network(13)
    scales = numpy_helper.from_array(np.ones(8, np.float32), "scales")
    made.graph.initializer.append(scales)
    zeros = numpy_helper.from_array(np.zeros(8, np.int8), "zeros")
    made.graph.initializer.append(zeros)
    nodes = [
        helper.make_node("QuantizeLinear", ["w0", "scales", "zeros"], ["q"], axis=0),
        helper.make_node("DequantizeLinear", ["q", "scales", "zeros"], ["d"], axis=0),
    ]
    made.graph.node[0].input[1] = "d"
    kept = list(made.graph.node)
    del made.graph.node[:]
    made.graph.node.extend(nodes + kept)
    made.opset_import[0].version = 11
    return made


BROKEN = {
    "no model": b"not a model",
    "nothing": b"",
    "an invalid graph": invalid().SerializeToString(),
    "no number": of_no_number().SerializeToString(),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_int8_graph_is_no_artifact(saved, tmp_path, calibration, monkeypatch, kind):
    def written(_source, target, *_, **__):
        Path(target).write_bytes(BROKEN[kind])

    monkeypatch.setattr("onnxruntime.quantization.quantize_static", written)
    with pytest.raises(Exception, match=r"NaN or infinity|ONNXRuntimeError|Error parsing|get_inputs|depth"):
        quantize.for_onnx_runtime(saved(network(13)), tmp_path / "int8.onnx", calibration)


@pytest.mark.slow
def test_an_openvino_graph_without_numbers_is_no_artifact(saved, tmp_path, calibration):
    pytest.importorskip("nncf", reason="needs midas-bench[int8]")
    with pytest.raises(ValueError, match="the quantised graph gives NaN or infinity"):
        quantize.for_openvino(saved(of_no_number()), tmp_path / "int8.zip", calibration)
    assert not (tmp_path / "int8.zip").exists()


@pytest.mark.parametrize("kind", ["no model", "nothing", "an invalid graph"])
def test_a_broken_export_is_no_artifact(seeded_network, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(
        graph.torch.onnx, "export", lambda *arguments, **_: Path(arguments[2]).write_bytes(BROKEN[kind])
    )
    with pytest.raises(Exception, match=r"ONNXRuntimeError|model"):
        graph.export_onnx(seeded_network, tmp_path / "graph.onnx")


def test_nothing_is_written_into_the_folder_of_the_users_own_model(saved, tmp_path, calibration, monkeypatch):
    path, folders, infer = saved(network(13)), [], onnx.shape_inference.infer_shapes_path

    def watched(source, target, *more):
        folders.append(Path(target).parent)
        infer(source, target, *more)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes_path", watched)
    (tmp_path / "made").mkdir()
    quantize.for_onnx_runtime(path, tmp_path / "made/int8.onnx", calibration)
    assert folders
    assert path.parent not in folders


def of_rounding():
    """Make a graph whose output is what rounding to float16 takes away."""
    describe = helper.make_tensor_value_info
    steps = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=0),
        helper.make_node("Cast", ["m"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["rounded"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["m", "rounded"], ["y"]),
    ]
    given = [describe("x", TensorProto.FLOAT, ("n", 3, 256, 256))]
    graph = helper.make_graph(steps, "own", given, [describe("y", TensorProto.FLOAT, ("n", 256, 256))])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_a_model_that_is_another_without_float16_gets_no_int8_graph(saved, tmp_path, calibration):
    with pytest.raises(UserError, match="has float16, which cannot be quantised, and its depth is another one in"):
        quantize.for_onnx_runtime(saved(of_rounding()), tmp_path / "int8.onnx", calibration)
    assert not (tmp_path / "int8.onnx").exists()
