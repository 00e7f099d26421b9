"""Operations and parameters of a model that did not run, from its graph and the shapes that onnx infers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import onnx

from midas_bench.profile.flop import CONVOLUTIONS, MATRICES, flop

TRANSPOSED = "ConvTranspose"
INDICES = (onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.STRING)
"""Types of shapes, axes and names, which are no parameters."""


def model_flop(model: onnx.ModelProto, input_name: str, shape: Sequence[int]) -> tuple[int, int]:
    """Return the operations for one input of this shape, and how many operators could not be counted.

    Operators inside of branches and functions are not looked at.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    [given] = [value for value in fixed.graph.input if value.name == input_name]
    given.CopyFrom(onnx.helper.make_tensor_value_info(input_name, given.type.tensor_type.elem_type, shape))
    graph: Any = _inferred(fixed).graph
    sizes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sizes.setdefault(value.name, [size.dim_value for size in value.type.tensor_type.shape.dim])
    counts = [
        _flop(node.op_type, *(sizes.get(name, []) for name in (node.input[0], node.input[1], node.output[0])))
        for node in graph.node
        if node.op_type in (*CONVOLUTIONS, *MATRICES, TRANSPOSED) and len(node.input) > 1
    ]
    return sum(count for count in counts if count), counts.count(None)


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    # declared sizes of one example would contradict those of another input
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    # operators of others, and shapes that contradict each other
    except onnx.shape_inference.InferenceError:
        return model


def _flop(kind: str, data: Sequence[int], weights: Sequence[int], output: Sequence[int]) -> int | None:
    if kind == TRANSPOSED:
        return 2 * prod(data) * prod(weights[1:]) if data and weights and prod(data) else None
    return flop(kind, data, weights, output)


def parameters(tensors: Sequence[onnx.TensorProto]) -> int:
    """Return how many numbers the weights are."""
    return sum(prod(tensor.dims) for tensor in tensors if tensor.data_type not in INDICES)
