"""Operations and parameters of an ONNX model, from the shapes of one run.

A product and its sum are two operations, and what has no products counts none.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from math import isqrt, prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from midas_bench.depth.graph_paths import readable
from midas_bench.depth.weights import Weights

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


def model_flop(model: Weights) -> tuple[int, int]:
    """Run a user's own model on one photo of zeros; return its operations, and how many operators were not counted.

    Inferring shapes from the graph does not do: the format's inference knows no quotients, and branches may differ.

    Raises:
        Exception: ONNX Runtime cannot run it; its errors have no common type.
    """
    counts = [_flop(kind, *shapes) for kind, shapes in _ran(model) if kind in (*CONVOLUTIONS, *MATRICES, TRANSPOSED)]
    return sum(count for count in counts if count), counts.count(None)


def _ran(model: Weights) -> Iterator[tuple[str, list[Sizes]]]:
    """Yield each operator that ran, and the shapes of its first inputs and its output, by ONNX Runtime's profiler."""
    # those who count the operators of a profile do not need it
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # what is fused has other names and shapes
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # the profiler forgets the shapes of weights that are stored anew
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.enable_profiling = True
    with (
        tempfile.TemporaryDirectory(prefix="midas-bench-") as folder,
        readable(Path(model.path or ""), ".onnx") as name,
    ):
        options.profile_file_prefix = str(Path(folder, "run"))
        session = onnxruntime.InferenceSession(name, options, providers=["CPUExecutionProvider"])
        interface = model.interface
        session.run(None, {session.get_inputs()[0].name: np.zeros(interface.shape(1), interface.dtype)})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8", errors="replace"), strict=False)
    for event in events:
        facts: dict[str, Any] = event.get("args", {})
        if event["name"].endswith("_kernel_time") and len(facts["input_type_shape"]) > 1:
            tensors = [*facts["input_type_shape"][:2], *facts["output_type_shape"][:1]]
            yield facts["op_name"], [next(iter(tensor.values())) for tensor in tensors]


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
        return 2 * prod(data) * prod(weights[1:])
    return flop(kind, data, weights, output)


def parameters(tensors: Sequence[onnx.TensorProto]) -> int:
    """Return how many numbers the weights are."""
    return sum(prod(tensor.dims) for tensor in tensors if tensor.data_type not in INDICES)
