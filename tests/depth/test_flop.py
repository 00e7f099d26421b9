from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from midas_bench.depth.backends import registry
from midas_bench.depth.custom_model import own_model
from midas_bench.depth.flop import DEPLOYED_FLOP, PLAIN_FLOP, flop_per_image
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.weights import seeded


@pytest.mark.parametrize(
    ("backend", "flop", "precision"),
    [
        ("eager", PLAIN_FLOP, "f32"),
        ("jit-frozen", PLAIN_FLOP, "f32"),
        ("eager-bf16", PLAIN_FLOP, "bf16"),
        ("onnx", DEPLOYED_FLOP, "f32"),
        ("openvino-bf16", DEPLOYED_FLOP, "bf16"),
        ("onnx-int8", DEPLOYED_FLOP, "int8"),
        ("openvino-int8", DEPLOYED_FLOP, "int8"),
        ("opencv", DEPLOYED_FLOP, "f32"),
        ("ncnn-bf16", DEPLOYED_FLOP, "bf16"),
        ("mnn-fp16", DEPLOYED_FLOP, "fp16"),
        ("litert", DEPLOYED_FLOP, "f32"),
        ("litert-int8", DEPLOYED_FLOP, "int8"),
    ],
)
def test_a_backends_work_and_precision(backend, flop, precision):
    row = registry.find(backend)
    assert flop_per_image(row, seeded()) == flop
    assert row.precision == precision


def test_reduced_precision_is_what_is_not_exact():
    assert [row.name for row in registry.ROWS if row.exact != (row.precision == "f32")] == []


@pytest.fixture
def own(tmp_path):
    """Save a model of one convolution of 3x3 from three colours to depth, behind another operator."""

    def saved(operator, domain="", **settings):
        describe = helper.make_tensor_value_info
        nodes = [
            helper.make_node(operator, ["x"], ["v"], domain=domain),
            helper.make_node("Conv", ["v", "w"], ["y"], pads=[1, 1, 1, 1]),
        ]
        given = [describe("x", TensorProto.FLOAT, ("n", 3, "h", "w"))]
        returned = [describe("y", TensorProto.FLOAT, ("n", 1, "h", "w"))]
        weights = [numpy_helper.from_array(np.ones((1, 3, 3, 3), np.float32), "w")]
        graph = helper.make_graph(nodes, "own", given, returned, weights)
        path = tmp_path / "own.onnx"
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path.write_bytes(made.SerializeToString())
        return own_model(str(path), settings.items())

    return saved


@pytest.mark.parametrize(("size", "pixels"), [("64x96", 64 * 96), ("128x96", 128 * 96)])
def test_the_operations_of_a_model_of_ones_own_are_those_of_its_graph_at_its_size(own, size, pixels):
    assert flop_per_image(registry.find("onnx-int8"), own("Relu", size=size)) == 2 * pixels * 3 * 3 * 3


def test_a_model_that_onnx_runtime_does_not_run_is_not_counted(own):
    assert flop_per_image(registry.find("onnx"), own("Foreign", "own")) is None


@pytest.mark.parametrize(("backend", "flop"), [("eager", PLAIN_FLOP), ("onnx", DEPLOYED_FLOP)])
def test_the_work_is_in_proportion_to_the_inputs_pixels(backend, flop):
    wide = replace(seeded(), interface=replace(MIDAS, height=160, width=256))
    assert flop_per_image(registry.find(backend), wide) == flop * 160 / 256
