"""Planted changes in MiDaS_small's graph: the first operator that moved is the one that was changed."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from midas_bench.cpu import pinnable_core
from midas_bench.depth.artifacts import artifact
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.weights import seeded
from midas_bench.measure.worker_client import WorkerSpec
from midas_bench.profile.moved import moved
from midas_bench.profile.profiled import profile_in_turns

ROUNDS = 7


@pytest.fixture(scope="module")
def network(graphs):
    return artifact("onnx", seeded(), graphs).path


def convolutions(model):
    """Return the plain convolutions in their order: node, weights by name."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in weights], weights


def group(node):
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


def with_fused(model, tensor):
    """Return the tensor and those behind it: the runtime fuses an activation, and makes that one's tensor."""
    return {tensor, *(node.output[0] for node in model.graph.node if tensor in node.input)}


def place(model, node):
    return [each.name for each in model.graph.node].index(node.name)


def plant_convolution(model, share, takes_over_the_name):
    """Insert a 1x1 convolution that changes nothing behind one at this share of the graph; return its tensors."""
    nodes, weights = convolutions(model)
    before = nodes[round(share * (len(nodes) - 1))]
    channels = weights[before.input[1]].dims[0]
    identity = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1)
    model.graph.initializer.append(numpy_helper.from_array(identity, "planted_weights"))
    made = before.output[0]
    if takes_over_the_name:
        before.output[0] = "before_planted"
        planted = helper.make_node("Conv", ["before_planted", "planted_weights"], [made], "planted")
    else:
        planted = helper.make_node("Conv", [made, "planted_weights"], ["planted_output"], "planted")
        for node in model.graph.node:
            node.input[:] = ["planted_output" if name == made else name for name in node.input]
    model.graph.node.insert(place(model, before) + 1, planted)
    return with_fused(model, planted.output[0])


def make_resize_cubic(model):
    resize = [node for node in model.graph.node if node.op_type == "Resize"][-1]
    for attribute in resize.attribute:
        if attribute.name == "mode":
            attribute.s = b"cubic"
    return {resize.output[0]}


def split_convolution(model):
    """Make the largest convolution two, each with half of its channels; return the tensors of all three."""
    nodes, weights = convolutions(model)
    whole = max((node for node in nodes if group(node) == 1), key=lambda node: np.prod(weights[node.input[1]].dims))
    at, made = place(model, whole), whole.output[0]
    halves = []
    for number in range(2):
        half = onnx.NodeProto()
        half.CopyFrom(whole)
        half.name, half.output[0] = f"{whole.name}_{number}", f"{made}_{number}"
        for position in range(1, len(whole.input)):
            values = np.split(numpy_helper.to_array(weights[whole.input[position]]), 2)[number]
            half.input[position] = f"{whole.input[position]}_{number}"
            model.graph.initializer.append(numpy_helper.from_array(values.copy(), half.input[position]))
        halves.append(half)
    joined = helper.make_node("Concat", [half.output[0] for half in halves], [made], "joined", axis=1)
    model.graph.node.remove(whole)
    for offset, node in enumerate((*halves, joined)):
        model.graph.node.insert(at + offset, node)
    return with_fused(model, made) | {*joined.input}


PLANTED = {
    "an extra convolution in the middle": lambda model: plant_convolution(model, 0.5, takes_over_the_name=False),
    "an extra convolution that takes a name": lambda model: plant_convolution(model, 0.5, takes_over_the_name=True),
    "a cubic resize": make_resize_cubic,
    "a convolution split in two": split_convolution,
}


def spec(name: str, path: Path) -> WorkerSpec:
    config = asdict(resolve(PipelineConfig("onnx", threads=1, model=str(path))))
    photo = Path(__file__).parents[2] / "fixtures/images/chelsea.jpg"
    return WorkerSpec(name, {"one": {"photos": [str(photo)], "config": config}})


@pytest.mark.slow
@pytest.mark.parametrize("what", PLANTED)
def test_the_first_operator_that_moved_is_the_planted_one(network, tmp_path, what):
    model = onnx.load(network)
    tensors = PLANTED[what](model)
    onnx.checker.check_model(model)
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(model.SerializeToString())
    base, head = profile_in_turns(
        [spec("base", network), spec("head", changed)], "one", "inference", ROUNDS, core=pinnable_core()
    )
    ranked = moved(base, head)
    lines = [f"{p.operator.label} {p.operator.kind} {1e3 * p.change_s:+.3f} ms {p.is_clear}" for p in ranked[:8]]
    assert ranked[0].operator.output in tensors, lines
    assert ranked[0].operator.kind == ("Resize" if "resize" in what else "Conv"), lines
    assert ranked[0].is_clear
