from midas_bench.gate.thresholds import Thresholds

LIMITS = Thresholds(0.05, 0.06, 0.2, {"decode": 0.1, "decode[onnx-b4-pet]": 0.3, "peak memory": 0.02})


def test_a_figure_has_its_own_threshold_or_that_of_its_kind_or_the_usual_one():
    assert LIMITS.of("decode[onnx-b4-pet]") == 0.3
    assert LIMITS.of("decode[onnx-b1-street]") == 0.1
    assert LIMITS.of("inference[onnx-b1-street]") == 0.05
    assert LIMITS.of("peak memory [onnx]") == 0.02
    assert Thresholds(0.05, 0.06, 0.2).of("peak memory [onnx]") == 0.06
    assert LIMITS.of("start-up [onnx]") == LIMITS.of("start-up") == 0.2


def test_thresholds_that_no_figure_has_are_named():
    assert LIMITS.unused(["decode[onnx-b1-street]", "start-up [onnx]"]) == ["decode[onnx-b4-pet]", "peak memory"]
