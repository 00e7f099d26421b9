"""Small networks as users bring them, of every kind of input and output, and what they give by themselves."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

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


def plain_call(path, batch, settings):
    """Return what the model gives by itself, photo by photo, as inverse depth (N, H, W)."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [given], output = session.get_inputs(), settings.get("output", session.get_outputs()[0].name)
    maps = [session.run([output], {given.name: one[None]})[0].squeeze() for one in batch]
    depth = np.stack(maps).astype(np.float32)
    return 1 / depth if settings.get("meaning") == "depth" else depth
