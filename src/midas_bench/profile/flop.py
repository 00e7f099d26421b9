"""Operations of one operator, from its shapes; a product and its sum are two, and what has no products counts none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isqrt, prod
from typing import Any

Sizes = Sequence[int]

WEIGHTS_AT = {"Conv": 1, "FusedConv": 1, "NhwcFusedConv": 1, "ConvInteger": 1, "QLinearConv": 3, "Convolution": 1}
"""Kinds of convolution of ONNX Runtime and OpenVINO: which input has the weights, (out, in of a group, size...)."""
GROUPED = "GroupConvolution"
"""OpenVINO's; its weights are (groups, out of a group, in of a group, size...)."""
MATRICES_AT = {
    "MatMul": (0, 1), "FusedMatMul": (0, 1), "Gemm": (0, 1), "FusedGemm": (0, 1), "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3), "QGemm": (0, 3),
}  # fmt: skip

PRECISIONS = {
    "f32": re.compile(r"f32|float\b|\bfloat32"),
    "bf16": re.compile(r"bf16|bfloat16", re.IGNORECASE),
    "int8": re.compile(r"(?<![a-z])[iu]8|u?int8"),
}
"""How the runtimes name what is computed in: a tensor's type, or the primitive that OpenVINO chose."""


def flop(kind: str, inputs: Sequence[Sizes], outputs: Sequence[Sizes]) -> int | None:
    """Return the operations of an operator of ONNX or OpenVINO, or None where its kind or a shape tells nothing."""
    if not outputs or not _known(outputs[0]):
        return None
    if kind == GROUPED and len(inputs) > 1 and _known(inputs[1]):
        return 2 * prod(outputs[0]) * prod(inputs[1][2:])
    place = WEIGHTS_AT.get(kind)
    if place is not None and len(inputs) > place and _known(inputs[place]):
        return 2 * prod(outputs[0]) * prod(inputs[place][1:])
    if kind in MATRICES_AT:
        return _of_matrices([inputs[n] for n in MATRICES_AT[kind] if n < len(inputs)], outputs[0])
    return None


def _of_matrices(factors: Sequence[Sizes], product: Sizes) -> int | None:
    if len(factors) < 2 or any(len(factor) < 2 or not _known(factor) for factor in factors):
        return None
    # (m, k) and (k, n) give (m, n), whichever of them is transposed
    left, right, out = (prod(sizes[-2:]) for sizes in (*factors, product))
    return 2 * prod(product) * isqrt(left * right // out) if out else None


def torch_flop(kind: str, inputs: Sequence[Sizes], concrete: Sequence[Any]) -> int | None:
    """Return the operations of one of PyTorch's, which tells its arguments but not what it returns."""
    if kind in ("mm", "matmul", "addmm", "linear"):
        left, right = (inputs[1], inputs[2]) if kind == "addmm" and len(inputs) > 2 else (inputs[:2] or ((), ()))
        if len(left) < 2 or len(right) < 2:
            return None
        return 2 * prod(left) * (right[0] if kind == "linear" else right[-1])
    if "conv" not in kind or len(inputs) < 2 or len(inputs[0]) < 3 or len(inputs[0]) != len(inputs[1]):
        return None
    lists = [value for value in concrete if isinstance(value, list) and value]
    if len(lists) < 3:
        return None
    # mkldnn's fused convolutions take the padding first
    padding, stride = lists[:2] if kind.endswith("pointwise") else (lists[1], lists[0])
    spatial = [
        (size + 2 * _at(padding, n) - _at(lists[2], n) * (window - 1) - 1) // _at(stride, n) + 1
        for n, (size, window) in enumerate(zip(inputs[0][2:], inputs[1][2:], strict=True))
    ]
    return 2 * inputs[0][0] * prod(spatial) * prod(inputs[1])


def _at(values: Sequence[int], n: int) -> int:
    return values[n] if n < len(values) else values[-1]


def _known(sizes: Sizes) -> bool:
    return bool(sizes) and min(sizes) > 0


def precision(types: Sequence[str]) -> str:
    """Return f32, bf16 or int8 for the types of an operator's inputs; empty for anything else."""
    named = types[0] if types else ""
    return next((name for name, pattern in PRECISIONS.items() if pattern.search(named)), "")


def openvino_flop(made_of: Sequence[str], sources: Mapping[str, Mapping[str, Any]], batch: int) -> int | None:
    """Return the operations of one of OpenVINO's operators: those of the model's that were fused into it."""
    counts = []
    for name in made_of:
        source = sources.get(name, {})
        shapes = [[_filled(sizes, batch) for sizes in source.get(side, [])] for side in ("inputs", "outputs")]
        counts.append(flop(str(source.get("kind", "")), *shapes))
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _filled(sizes: Sizes, batch: int) -> list[int]:
    """Put the batch where the model leaves its first size free."""
    return [batch if n == 0 and size == -1 else size for n, size in enumerate(sizes)]
