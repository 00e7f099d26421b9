"""Operations of an operator, from what the runtimes tell of it."""

import pytest

from midas_bench.depth.model_flop import flop
from midas_bench.profile.flop import openvino_flop, precision, torch_flop


@pytest.mark.parametrize(
    ("kind", "data", "weights", "output", "count"),
    [
        ("Conv", [1, 3, 8, 8], [4, 3, 3, 3], [1, 4, 4, 4], 2 * 64 * 27),
        ("Conv", [1, 8, 8, 8], [8, 1, 3, 3], [1, 8, 8, 8], 2 * 512 * 9),
        ("QLinearConv", [1, 8, 8, 3], [4, 3, 1, 1], [1, 8, 8, 4], 2 * 256 * 3),
        ("GroupConvolution", [1, 8, 8, 8], [4, 2, 2, 3, 3], [1, 8, 8, 8], 2 * 512 * 18),
        ("Gemm", [2, 5], [7, 5], [2, 7], 2 * 14 * 5),
        ("MatMul", [3, 2, 5], [5, 7], [3, 2, 7], 2 * 42 * 5),
        ("Conv", [1, 3, 8, 8], [4, 3, 3, 3], [-1, 4, 4, 4], None),
        ("Conv", [1, 3, 8, 8], [], [1, 4, 4, 4], None),
        ("Resize", [1, 3, 8, 8], [4], [1, 3, 16, 16], None),
        ("Gemm", [5], [5, 7], [7], None),
    ],
)
def test_operations_of_onnx_and_openvino(kind, data, weights, output, count):
    assert flop(kind, data, weights, output) == count


@pytest.mark.parametrize(
    ("kind", "inputs", "concrete", "count"),
    [
        ("conv2d", [[1, 3, 8, 8], [4, 3, 3, 3]], [None, None, None, [2, 2], [1, 1], [1, 1], 1], 2 * 4 * 16 * 27),
        ("_convolution", [[2, 8, 8, 8], [8, 1, 3, 3]], [None, None, None, [1, 1], [0, 0], [1, 1]], 2 * 2 * 8 * 36 * 9),
        ("_convolution_pointwise", [[1, 3, 8, 8], [4, 3, 3, 3]], [None, None, None, [1, 1], [2, 2], [1, 1]], 3456),
        ("addmm", [[7], [2, 5], [5, 7]], [], 2 * 70),
        ("linear", [[2, 5], [7, 5], [7]], [], 2 * 70),
        ("conv2d", [[1, 3, 8, 8], [4, 3, 3, 3]], [], None),
        ("relu", [[1, 3, 8, 8]], [], None),
    ],
)
def test_operations_of_torch(kind, inputs, concrete, count):
    assert torch_flop(kind, inputs, concrete) == count


def test_operations_of_what_openvino_fused_are_those_of_its_parts():
    sources = {
        "conv": {"kind": "Convolution", "inputs": [[-1, 3, 8, 8], [4, 3, 1, 1]], "outputs": [[-1, 4, 8, 8]]},
        "relu": {"kind": "Relu", "inputs": [[-1, 4, 8, 8]], "outputs": [[-1, 4, 8, 8]]},
    }
    assert openvino_flop(["conv", "relu"], sources, batch=2) == 2 * 2 * 256 * 3
    assert openvino_flop(["relu"], sources, batch=2) is None
    assert openvino_flop(["gone"], sources, batch=2) is None


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("float", "f32"), ("uint8", "int8"), ("int8", "int8"), ("bfloat16", "bf16"), ("brgconv_avx512_f32", "f32"),
        ("brgconv_avx512_amx_bf16", "bf16"), ("brgconv_avx512_i8", "int8"), ("jit_avx2_1x1_I8", "int8"),
        ("jit_avx512_u8", "int8"), ("int64", ""),
        ("c10::BFloat16", "bf16"), ("float16", ""), ("", ""),
    ],
)  # fmt: skip
def test_precision_of_what_the_runtimes_name(named, expected):
    assert precision([named]) == expected
    assert precision([]) == ""
