"""Operations and parameters of an ONNX model that did not run, from its graph and the shapes that onnx infers.

A product and its sum are two operations, and what has no products counts none.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, prod
from typing import Any

import onnx

Sizes = Sequence[int]

CONVOLUTIONS = {
    "Conv": 1, "FusedConv": 1, "NhwcFusedConv": 1, "ConvInteger": 1, "QLinearConv": 1, "Convolution": 1,
    "GroupConvolution": 2,
}  # fmt: skip
"""How many sizes of the weights count outputs: one, or OpenVINO's groups and outputs of a group; the others are factors
of each output."""
MATRICES = ("MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "Gemm", "FusedGemm", "QGemm")
TRANSPOSED = "ConvTranspose"
INDICES = (onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.STRING)
"""Types of shapes, axes and names, which are no parameters."""


def model_flop(model: onnx.ModelProto, shape: Sequence[int]) -> tuple[int, int]:
    """Return the operations for an input of this shape, and how many operators could not be counted.

    Operators inside of branches and functions are not looked at.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    # older exporters list the weights among the inputs too
    held = {tensor.name for tensor in fixed.graph.initializer}
    [given] = [value for value in fixed.graph.input if value.name not in held]
    given.CopyFrom(onnx.helper.make_tensor_value_info(given.name, given.type.tensor_type.elem_type, shape))
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


def flop(kind: str, data: Sizes, weights: Sizes, output: Sizes) -> int | None:
    """Return the operations of an operator of ONNX or OpenVINO, or None where its kind or a shape tells nothing."""
    if not (_known(data) and _known(weights) and _known(output)):
        return None
    if kind in CONVOLUTIONS:
        return 2 * prod(output) * prod(weights[CONVOLUTIONS[kind] :])
    if kind in MATRICES and min(len(data), len(weights), len(output)) > 1:
        # (m, k) and (k, n) give (m, n), whichever of them is transposed
        left, right, out = (prod(sizes[-2:]) for sizes in (data, weights, output))
        return 2 * prod(output) * isqrt(left * right // out)
    return None


def _known(sizes: Sizes) -> bool:
    return bool(sizes) and min(sizes) > 0


def _flop(kind: str, data: Sizes, weights: Sizes, output: Sizes) -> int | None:
    if kind == TRANSPOSED:
        return 2 * prod(data) * prod(weights[1:]) if data and weights and prod(data) else None
    return flop(kind, data, weights, output)


def parameters(tensors: Sequence[onnx.TensorProto]) -> int:
    """Return how many numbers the weights are."""
    return sum(prod(tensor.dims) for tensor in tensors if tensor.data_type not in INDICES)
