"""Operations of one operator as PyTorch and OpenVINO tell it, and its precision; `depth.model_flop` has ONNX's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from midas_bench.depth.model_flop import Sizes, flop

WEIGHTS_AT = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}
"""Which input of ONNX's operators has the weights, where it is not the second."""

PRECISIONS = {
    "f32": re.compile(r"f32|float\b|\bfloat32"),
    "bf16": re.compile(r"bf16|bfloat16", re.IGNORECASE),
    "int8": re.compile(r"(?<![a-z])[iu]8|u?int8", re.IGNORECASE),
}
"""How the runtimes name what is computed in: a tensor's type, or the primitive that OpenVINO chose."""


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


def precision(types: Sequence[str]) -> str:
    """Return f32, bf16 or int8 for the types of an operator's inputs; empty for anything else."""
    named = types[0] if types else ""
    return next((name for name, pattern in PRECISIONS.items() if pattern.search(named)), "")


def openvino_flop(made_of: Sequence[str], sources: Mapping[str, Mapping[str, Any]], batch: int) -> int | None:
    """Return the operations of one of OpenVINO's operators: those of the model's that were fused into it."""
    counts = []
    for source in (sources[name] for name in made_of if name in sources):
        # the model leaves the batch free
        shapes = [[batch if size == -1 else size for size in sizes] for sizes in source["inputs"] + source["outputs"]]
        if len(source["inputs"]) > 1:
            counts.append(flop(source["kind"], shapes[0], shapes[1], shapes[-1]))
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
