import pytest

from midas_bench.depth.backends import registry
from midas_bench.depth.flop import DEPLOYED_FLOP, PLAIN_FLOP, flop_per_image
from midas_bench.depth.weights import Weights, seeded


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
    ],
)
def test_a_backends_work_and_precision(backend, flop, precision):
    row = registry.find(backend)
    assert flop_per_image(row, seeded()) == flop
    assert row.precision == precision


def test_reduced_precision_is_what_is_not_exact():
    assert [row.name for row in registry.ROWS if row.exact != (row.precision == "f32")] == []


def test_nobody_counted_the_operations_of_a_model_of_ones_own():
    assert flop_per_image(registry.find("onnx"), Weights("model", "0" * 64, "own.onnx")) is None
