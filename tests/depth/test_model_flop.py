import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from midas_bench.depth.custom_model import tensors
from midas_bench.depth.flop import DEPLOYED_FLOP
from midas_bench.depth.model_flop import model_flop, parameters
from midas_bench.depth.weights import seeded


def test_a_deployed_graph_has_the_operations_that_torch_counted(graphs):
    from midas_bench.depth.artifacts import artifact

    model = onnx.load(artifact("onnx", seeded(), graphs).path)
    assert model_flop(model, (1, 3, 256, 256)) == (DEPLOYED_FLOP, 0)


def of_nodes(*nodes, **weights):
    describe = helper.make_tensor_value_info
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    inputs, outputs = [describe("x", TensorProto.FLOAT, ("n", 4, "h", "w"))], [describe("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([helper.make_node(*node[:3], **node[3]) for node in nodes], "own", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_each_input_of_a_transposed_convolution_meets_each_of_its_weights():
    made = of_nodes(("ConvTranspose", ["x", "w"], ["y"], {"strides": [2, 2]}), w=np.zeros((4, 8, 2, 2), np.float32))
    assert model_flop(made, (1, 4, 10, 20)) == (2 * 4 * 10 * 20 * 8 * 2 * 2, 0)


def test_products_of_matrices_are_found_behind_shapes_that_are_computed():
    made = of_nodes(
        ("Shape", ["x"], ["s"], {}),
        ("Gather", ["s", "zero"], ["n"], {}),
        ("Concat", ["n", "rest"], ["to"], {"axis": 0}),
        ("Reshape", ["x", "to"], ["r"], {}),
        ("MatMul", ["r", "w"], ["y"], {}),
        zero=[0],
        rest=[-1, 5],
        w=np.zeros((5, 7), np.float32),
    )
    assert model_flop(made, (1, 4, 10, 20)) == (2 * 4 * 10 * 20 * 7, 0)
    # neither axes nor shapes are parameters
    assert parameters(list(tensors(made))) == 35


def test_what_cannot_be_counted_is_counted_as_such():
    made = of_nodes(
        ("Foreign", ["x"], ["f"], {"domain": "own"}),
        ("MatMul", ["f", "w"], ["y"], {}),
        w=np.zeros((5, 7), np.float32),
    )
    assert model_flop(made, (1, 4, 10, 20)) == (0, 1)
