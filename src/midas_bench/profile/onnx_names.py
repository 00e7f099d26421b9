"""What ONNX Runtime's operators are in terms of the model, from the graph that a session was given and the one it runs.

A profile names nodes. The runtime renames them as it fuses: a convolution in its blocked layout (NCHWc) gives a tensor
without a name of the model, but the node keeps the name of the tensor that it made before. Weights that it has packed
are in no profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from midas_bench.profile.flop import WEIGHTS_AT
from midas_bench.profile.operators import Shape

BLOCKED = ("com.microsoft.nchwc", "_nchwc")
"""Domain and suffix of the nodes of the blocked layout."""
GENERATED = "reorder"
"""How the runtime begins the names of tensors of its own."""
LONGEST_FUSION = 3
"""Nodes between a convolution and the tensor that its fused activation makes."""


@dataclass(frozen=True)
class OnnxNames:
    """What the two graphs of a session tell of the nodes that run, by their names.

    Attributes:
        outputs: the tensor of the model that a node makes.
        weights: the shape of its weights, as the model has them.
        blocked: nodes of the blocked layout, whose channels are filled up.
    """

    outputs: Mapping[str, str]
    weights: Mapping[str, Shape]
    blocked: frozenset[str] = frozenset()


def read_names(source: Path, optimized: Path) -> OnnxNames:
    """Read both graphs; of one that is missing or damaged nothing is known."""
    given, run = _graph(source), _graph(optimized)
    # what works on the blocked layout without knowing it keeps its name, but not its tensor's
    kept = {node.name: node.output[0] for node in given.node if node.name and node.output}
    outputs = {node.name: _output(node) or kept.get(node.name, "") for node in run.node}
    blocked = frozenset(node.name for node in run.node if node.domain == BLOCKED[0])
    of_source = _weights_by_tensor(given)
    weights = _weights(run) | {name: of_source[outputs[name]] for name in blocked if outputs[name] in of_source}
    return OnnxNames(kept | outputs, weights, blocked)


def _graph(path: Path) -> Any:
    try:
        return onnx.load_model_from_string(path.read_bytes()).graph
    # protobuf's reader raises whatever it stumbles over
    except Exception:
        return onnx.GraphProto()


def _output(node: Any) -> str:
    domain, suffix = BLOCKED
    output = str(node.output[0]) if node.output else ""
    if node.domain == domain and suffix in node.name:
        return str(node.name.rpartition(suffix)[0])
    return "" if output.startswith(GENERATED) else output


def _weights(graph: Any) -> dict[str, Shape]:
    """Return the shape of each node's weights, where they are constants."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    weights = {}
    for node in graph.node:
        place = WEIGHTS_AT.get(node.op_type, 1)
        if len(node.input) > place and node.input[place] in shapes:
            weights[node.name] = shapes[node.input[place]]
    return weights


def _weights_by_tensor(graph: Any) -> dict[str, Shape]:
    """Return the shape of the weights behind each tensor that a convolution, or what is fused into it, makes."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    weights: dict[str, Shape] = {}
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
