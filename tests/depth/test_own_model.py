import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from midas_bench.depth.backends import registry
from midas_bench.depth.own_model import own_model
from midas_bench.errors import UserError
from midas_bench.files import sha256_of


def model(given=("n", 3, 256, 256), returned=("n", 256, 256), kind=TensorProto.FLOAT, given_kind=TensorProto.FLOAT):
    """Make a graph that means over colours; nothing is checked but what it declares."""
    value = helper.make_tensor_value_info
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=0)
    graph = helper.make_graph([node], "own", [value("x", given_kind, given)], [value("y", kind, returned)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.fixture
def saved(tmp_path):
    def save(made):
        path = tmp_path / "own é.onnx"
        onnx.save(made, path)
        return path

    return save


@pytest.mark.parametrize("batch", ["n", 1, None])
def test_a_model_of_the_right_shapes_stands_for_weights(saved, batch):
    path = saved(model((batch, 3, 256, 256), (batch, 256, 256)))
    found = own_model(str(path))
    assert (found.source, found.sha256, found.path) == ("model", sha256_of(path), str(path))


def test_free_sizes_are_taken_at_their_word(saved):
    assert own_model(str(saved(model(("n", 3, "h", "w"), ("n", "h", "w"))))).source == "model"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (model(given=("n", 3, 384, 384)), r"has an input of float \(N, 3, 384, 384\); export it from float32"),
        (model(given=(4, 3, 256, 256)), r"has an input of float \(4, 3, 256, 256\)"),
        (model(given=("n", 256, 256, 3)), "has an input of"),
        (model(returned=("n", 1, 256, 256)), r"has an output of float \(N, 1, 256, 256\)"),
        (model(kind=TensorProto.FLOAT16), r"has an output of float16 \(N, 256, 256\)"),
        (model(given_kind=TensorProto.UINT8), "has an input of uint8"),
    ],
)
def test_another_shape_or_type_is_named(saved, made, said):
    with pytest.raises(UserError, match=r"own é\.onnx: " + said):
        own_model(str(saved(made)))


def test_several_inputs_are_refused_and_listed_weights_are_none(saved):
    made = model()
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))
    with pytest.raises(UserError, match="has 2 inputs where one is expected"):
        own_model(str(saved(made)))
    made.graph.initializer.append(helper.make_tensor("z", TensorProto.FLOAT, [1], [0.0]))
    assert own_model(str(saved(made))).source == "model"


def test_weights_in_another_file_are_refused(saved):
    made = model()
    tensor = helper.make_tensor("z", TensorProto.FLOAT, [1], [0.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    made.graph.initializer.append(tensor)
    with pytest.raises(UserError, match="keeps its weights in another file; export it to a single one"):
        own_model(str(saved(made)))


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("hello, this is text")
    with pytest.raises(UserError, match=r"text\.onnx: is damaged or not an ONNX model"):
        own_model(str(tmp_path / "text.onnx"))
    with pytest.raises(UserError, match=r"nowhere\.onnx: cannot be read \(No such file"):
        own_model(str(tmp_path / "nowhere.onnx"))
    with pytest.raises(UserError, match="cannot be read"):
        own_model(str(tmp_path))


@pytest.mark.parametrize("name", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
@pytest.mark.parametrize("batch_dimension", ["n", 1])
def test_it_runs_at_every_batch_size_also_where_it_was_exported_for_one(saved, tmp_path, name, batch_dimension):
    if registry.missing(registry.find(name)):
        pytest.skip(str(registry.missing(registry.find(name))))
    own = own_model(str(saved(model((batch_dimension, 3, 256, 256), (batch_dimension, 256, 256)))))
    batch = np.random.default_rng(0).normal(size=(3, 3, 256, 256)).astype(np.float32)
    backend = registry.load(name, own, 1, tmp_path)
    try:
        np.testing.assert_allclose(backend(batch), batch.mean(axis=1), atol=1e-6)
    finally:
        backend.close()


MEAN = ("ReduceMean", "x", "m", {"axes": [1], "keepdims": 0})


def does(*steps, returned=("n", 256, 256)):
    """Make a graph that declares what is asked for, and does something else."""
    made = model(returned=returned)
    del made.graph.node[:]
    for kind, given, result, attributes in steps:
        made.graph.node.append(helper.make_node(kind, given.split(), [result], **attributes))
    made.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [3], [-1, 256, 256]))
    return made


UNFIT = {
    "an unknown operator": (does(("Foo", "x", "y", {"domain": "my.ops"})), r"cannot be run \(.*Foo"),
    "depth of three": (does(("Reshape", "x shape", "y", {})), r"gives depth of \(3, 256, 256\) for one photo; export"),
    "smaller depth": (
        does(
            ("AveragePool", "x", "p", {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("ReduceMean", "p", "y", {"axes": [1], "keepdims": 0}),
            returned=("n", "h", "w"),
        ),
        r"gives depth of \(1, 128, 128\) for one photo",
    ),
    "no number": (does(MEAN, ("Log", "m", "y", {})), "gives NaN or infinity in place of depth; check how"),
}


@pytest.mark.parametrize("name", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", UNFIT)
def test_a_model_that_does_not_do_what_it_declares_is_refused_when_it_is_opened(saved, tmp_path, name, what):
    if registry.missing(registry.find(name)):
        pytest.skip(str(registry.missing(registry.find(name))))
    made, said = UNFIT[what]
    if what == "an unknown operator":
        made.opset_import.append(helper.make_opsetid("my.ops", 1))
    own = own_model(str(saved(made)))
    with pytest.raises(UserError, match=rf"own é\.onnx: {said}") as caught:
        registry.load(name, own, 1, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_model_of_a_format_that_is_too_new_is_refused(saved, tmp_path):
    made = model()
    made.ir_version = 99
    own = own_model(str(saved(made)))
    with pytest.raises(UserError, match=r"own é\.onnx: cannot be run \(.*IR version: 99"):
        registry.load("onnx", own, 1, tmp_path)
