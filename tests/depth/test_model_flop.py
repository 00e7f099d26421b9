import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midas_bench.depth.custom_model import own_model, tensors
from midas_bench.depth.flop import DEPLOYED_FLOP
from midas_bench.depth.interface import NetworkInterface
from midas_bench.depth.model_flop import model_flop, parameters
from midas_bench.depth.weights import Weights, seeded


def test_a_deployed_graph_has_the_operations_that_torch_counted(graphs):
    from midas_bench.depth.artifacts import artifact

    assert model_flop(own_model(str(artifact("onnx", seeded(), graphs).path))) == (DEPLOYED_FLOP, 0)


def of_nodes(*nodes, **weights):
    describe = helper.make_tensor_value_info
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    inputs, outputs = [describe("x", TensorProto.FLOAT, ("n", 3, "h", "w"))], [describe("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([helper.make_node(*node[:3], **node[3]) for node in nodes], "own", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def counted(tmp_path):
    """Count the operations of a model for one photo of 10x20."""

    def count(made):
        path = tmp_path / "own.onnx"
        onnx.save(made, path)
        found = model_flop(Weights("model", "0" * 64, str(path), NetworkInterface(10, 20)))
        assert list(tmp_path.iterdir()) == [path]
        return found

    return count


def test_each_input_of_a_transposed_convolution_meets_each_of_its_weights(counted):
    made = of_nodes(("ConvTranspose", ["x", "w"], ["y"], {"strides": [2, 2]}), w=np.zeros((3, 8, 2, 2), np.float32))
    assert counted(made) == (2 * 3 * 10 * 20 * 8 * 2 * 2, 0)


def test_products_of_matrices_are_found_behind_shapes_that_are_computed(counted):
    made = of_nodes(
        ("Shape", ["x"], ["s"], {}),
        ("Gather", ["s", "three"], ["w"], {}),
        # the format's own inference of shapes knows no quotients
        ("Div", ["w", "four"], ["part"], {}),
        ("Concat", ["rest", "part"], ["to"], {"axis": 0}),
        ("Reshape", ["x", "to"], ["r"], {}),
        ("MatMul", ["r", "weights"], ["y"], {}),
        three=[3],
        four=[4],
        rest=[-1],
        weights=np.zeros((5, 7), np.float32),
    )
    assert counted(made) == (2 * 3 * 10 * 20 * 7, 0)
    # neither axes nor shapes are parameters
    assert parameters(list(tensors(made))) == 35


def test_a_branch_counts_if_it_is_taken(counted):
    shaped = [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)]
    branches = {
        f"{name}_branch": helper.make_graph([helper.make_node("MatMul", ["x", weights], ["b"])], name, [], shaped)
        for name, weights in (("then", "narrow"), ("else", "wide"))
    }
    made = of_nodes(
        ("If", ["yes"], ["y"], branches),
        yes=np.array(True),
        narrow=np.zeros((20, 2), np.float32),
        wide=np.zeros((20, 9), np.float32),
    )
    assert counted(made) == (2 * 3 * 10 * 20 * 2, 0)


def test_what_cannot_be_counted_is_counted_as_such(counted):
    made = of_nodes(("MatMul", ["x", "vector"], ["y"], {}), vector=np.zeros(20, np.float32))
    assert counted(made) == (0, 1)
