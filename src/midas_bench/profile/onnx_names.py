"""Which tensor of the model each of ONNX Runtime's operators makes, from the graph it was given and the one it runs.

A profile names nodes. The runtime renames them as it fuses: a convolution in its blocked layout (NCHWc) gives a tensor
without a name of the model, but the node keeps the name of the tensor that it made before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

BLOCKED = ("com.microsoft.nchwc", "_nchwc")
"""Domain and suffix of the nodes of the blocked layout."""
GENERATED = "reorder"
"""How the runtime begins the names of tensors of its own."""
LONGEST_FUSION = 3
"""Nodes between a convolution and the tensor that its fused activation makes."""


@dataclass(frozen=True)
class OnnxNames:
    """What the two graphs of a session tell.

    Attributes:
        outputs: by the name of a node that runs, the tensor of the model that it makes.
        weights: by tensor, the shape of the weights of the convolution behind it, without the blocked layout's padding.
    """

    outputs: Mapping[str, str]
    weights: Mapping[str, tuple[int, ...]]


def read_names(source: Path, optimized: Path) -> OnnxNames:
    """Read both graphs; of one that is missing or damaged nothing is known."""
    given, run = _graph(source), _graph(optimized)
    weights = _weights(given) if given is not None else {}
    # what works on the blocked layout without knowing it keeps its name, but not its tensor's
    kept = {node.name: node.output[0] for node in given.node if node.name} if given is not None else {}
    outputs = {node.name: _output(node) or kept.get(node.name, "") for node in run.node} if run is not None else kept
    return OnnxNames(outputs, weights)


def _graph(path: Path) -> Any:
    try:
        return onnx.load_model_from_string(path.read_bytes()).graph
    # protobuf's reader raises whatever it stumbles over
    except Exception:
        return None


def _output(node: Any) -> str:
    domain, suffix = BLOCKED
    output = str(node.output[0]) if node.output else ""
    if node.domain == domain:
        stem, found, _ = node.name.rpartition(suffix)
        return stem if found else ("" if output.startswith(GENERATED) else output)
    return "" if output.startswith(GENERATED) else output


def _weights(graph: Any) -> dict[str, tuple[int, ...]]:
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    weights: dict[str, tuple[int, ...]] = {}
    near: dict[str, int] = {}
    # nodes stand in an order in which each comes after what it reads
    for node in graph.node:
        if not node.output or not node.input:
            continue
        output, data = node.output[0], node.input[0]
        if node.op_type == "Conv" and len(node.input) > 1 and node.input[1] in shapes:
            weights[output], near[output] = shapes[node.input[1]], 0
        elif data in weights and near[data] < LONGEST_FUSION:
            weights[output], near[output] = weights[data], near[data] + 1
    return weights
