"""The trace that viewers open."""

import json

import pytest

from midas_bench.profile.chrome_trace import chrome_trace
from midas_bench.profile.operators import Event, Operator, Profile

CONV = Operator("c_nchwc", "Conv", (0.002, 0.003), "c", ((1, 3, 8, 8), (4, 3, 3, 3)), ((1, 4, 8, 8),), flop=1728)
RELU = Operator("r", "Relu", (0.001, 0.001), "r")
EVENTS = ((Event(1, 0.003, 0.001), Event(0, 0.0005, 0.002)), (Event(0, 0.001, 0.003), Event(1, 0.004, 0.002)))


@pytest.fixture
def events():
    trace = chrome_trace(Profile((CONV, RELU), (0.005, 0.0055), events=EVENTS), "onnx, 1 thread")
    return json.loads(json.dumps(trace))["traceEvents"]


def test_every_event_has_what_viewers_need(events):
    shown = [event for event in events if event["ph"] == "X"]
    assert [event["name"] for event in shown] == ["call", "Conv", "Relu", "call", "Conv", "Relu"]
    assert all({"ph", "ts", "dur", "name", "pid", "tid"} <= event.keys() for event in shown)
    assert [event["args"]["name"] for event in events if event["ph"] == "M"] == ["onnx, 1 thread"]


def test_times_are_microseconds_and_operators_lie_within_their_call(events):
    call, conv, relu, second_call, _, cut = [event for event in events if event["ph"] == "X"]
    assert (conv["ts"] - call["ts"], conv["dur"]) == pytest.approx((500, 2000))
    assert (relu["ts"] - call["ts"], relu["dur"]) == pytest.approx((3000, 1000))
    assert second_call["ts"] >= call["ts"] + call["dur"]
    # the clocks differ: one that would end after its call is cut
    assert cut["ts"] + cut["dur"] == pytest.approx(second_call["ts"] + second_call["dur"])


def test_an_operator_is_named_by_its_tensor_with_shapes_and_operations(events):
    [conv, *_] = [event for event in events if event["name"] == "Conv"]
    assert conv["args"] == {
        "operator": "c", "inputs": [[1, 3, 8, 8], [4, 3, 3, 3]], "outputs": [[1, 4, 8, 8]], "flop": 1728,
    }  # fmt: skip
