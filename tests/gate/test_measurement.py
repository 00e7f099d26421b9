"""One block of a gate."""

from types import SimpleNamespace

from midas_bench.gate import measurement
from midas_bench.gate.cells import FAMILY
from midas_bench.gate.lane import Lane
from midas_bench.measure.arms import Arm
from midas_bench.measure.blocks import Block


def test_the_side_that_starts_first_is_drawn_anew_for_each_block(monkeypatch):
    first = []

    def one_block(arms, probes, *_):
        first.append(arms[0].name)
        sides = {arm.name for arm in arms}
        return Block(dict.fromkeys(probes, 1.0), dict.fromkeys(sides, 1.0), dict.fromkeys(sides, 9))

    monkeypatch.setattr(measurement, "one_block", one_block)
    monkeypatch.setattr(measurement, "judge", lambda *_: SimpleNamespace(reasons=()))
    sentinel = SimpleNamespace(read=lambda: None, best=None)
    lane = Lane("onnx", FAMILY[:1], [Arm("base", {}), Arm("head", {})])
    for _ in range(40):
        lane.rows.append(measurement.measured(lane, lane.cells, 1, sentinel))
    assert 8 < first.count("base") < 32  # 20 expected, 3 the standard deviation; always the same, the seed being fixed
