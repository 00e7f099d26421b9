import pytest

from midas_bench.report.charts.tuning import tuning
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import Trial, Visit


def visits(*seconds):
    return tuple(Visit(number, (second,)) for number, second in enumerate(seconds, start=1))


FAST = Trial(Setup("onnx-int8", 1, 2), False, visits(*(0.020, 0.021, 0.019) * 2), 200 << 20)
SLOW = Trial(Setup("eager", 1, 2), True, visits(*(0.1,) * 6), 700 << 20)


def test_the_chart_tells_the_front_in_words_too():
    chart = tuning([FAST, SLOW])
    assert chart.alt.endswith("onnx-int8 t2 b1: 20.0 ms, 50.0 images/s, 200 MiB")
    assert "n = 6 to 6 passes" in chart.note
    assert "onnx-int8, reduced" in chart.svg
    assert ">eager<" in chart.svg
    assert chart.svg.count("t2 b1") == 2  # the front alone, in both halves
    assert chart.png.startswith(b"\x89PNG")


@pytest.mark.parametrize("photos", [2, 12, 96])
def test_a_stream_stands_on_the_side_of_throughput_alone(photos):
    seconds = tuple(photos * second for second in (0.015, 0.016, 0.014))
    stream = Trial(Setup("onnx", 1, 1, stream_photos=photos), True, visits(*seconds * 2), 300 << 20)
    chart = tuning([FAST, SLOW, stream])
    assert chart.alt.endswith("onnx t1 stream: 66.7 images/s, 300 MiB")
    assert chart.svg.count("t1 stream") == 1
    assert chart.svg.count("t2 b1") == 2


def test_tuning_chart_needs_time_and_memory():
    assert tuning([Trial(Setup("onnx", 1, 2), True, visits(0.1)), Trial(Setup("onnx", 4, 2), True, (), 5)]) is None
