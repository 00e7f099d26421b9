"""One block of a gate."""

import math
from types import SimpleNamespace

import pytest

from midas_bench.gate import measurement
from midas_bench.gate.arms import BASE, CONTROL, HEAD
from midas_bench.gate.block_series import BlockSeries
from midas_bench.gate.gate_cells import FAMILY
from midas_bench.gate.revision_workers import timed_call
from midas_bench.measure.blocks import Block
from midas_bench.measure.worker_client import WorkerSpec

CELL, OTHER = FAMILY[:2]
SIDES = (BASE, HEAD)
SENTINEL = SimpleNamespace(read=lambda: None, best=None)


@pytest.fixture
def measured(monkeypatch):
    """Measure the next block of a series with a stand-in for `one_block`."""

    def measure(series, one_block):
        monkeypatch.setattr(measurement, "one_block", one_block)
        monkeypatch.setattr(measurement, "judge", lambda *_: SimpleNamespace(reasons=()))
        return measurement.measure_block(series, series.cells, 1, SENTINEL)

    return measure


def series(*cells):
    return BlockSeries("onnx", cells, [WorkerSpec(side, {}) for side in SIDES])


def block(rounds, peak_bytes=9):
    return Block(rounds, {BASE: 1.0, HEAD: 2.0}, dict.fromkeys(SIDES, peak_bytes))


def seconds(cell, base, head):
    return {timed_call(BASE, cell): base, timed_call(HEAD, cell): head}


def test_the_side_that_starts_first_is_drawn_anew_for_each_block(measured):
    first = []

    def one_block(arms, *_):
        first.append(arms[0].name)
        return block([seconds(CELL, 1.0, 1.0)])

    growing = series(CELL)
    for _ in range(40):
        growing.rows.append(measured(growing, one_block))
    assert 8 < first.count(BASE) < 32  # 20 expected, 3 the standard deviation; always the same, the seed being fixed


def test_both_sides_of_a_cell_are_called_side_by_side(measured):
    groups = []

    def one_block(_, asked, *__):
        groups.extend(asked)
        return block([seconds(CELL, 1.0, 1.0) | seconds(OTHER, 1.0, 1.0)])

    measured(series(CELL, OTHER), one_block)
    assert groups == [[timed_call(side, cell) for side in SIDES] for cell in (CELL, OTHER)]


def test_a_block_gives_a_log_ratio_of_head_over_base_and_the_base_itself(measured):
    rounds = [seconds(CELL, base, 1.1 * base) for base in (1.0, 3.0, 2.0)]
    row = measured(series(CELL), lambda *_: block(rounds))
    logs = {CELL.name: math.log(1.1), "start-up [onnx]": math.log(2), "peak memory [onnx]": 0.0}
    assert row["log_ratios"] == pytest.approx(logs)
    assert row["base"] == {CELL.name: 2.0, "start-up [onnx]": 1.0, "peak memory [onnx]": 9.0}


def test_there_is_no_memory_figure_where_the_system_keeps_no_mark(measured):
    row = measured(series(CELL), lambda *_: block([seconds(CELL, 1.0, 1.0)], peak_bytes=None))
    assert row["log_ratios"].keys() == row["base"].keys() == {CELL.name, "start-up [onnx]"}


def test_a_third_of_the_blocks_hold_the_base_again_and_keep_its_ratio_apart(measured):
    arms = []

    def one_block(started, *_):
        arms.append({arm.name for arm in started})
        rounds = [{timed_call(arm.name, CELL): 1.0 + 0.5 * (arm.name == CONTROL) for arm in started}]
        per_arm = {arm.name: 1.0 for arm in started}
        return Block(rounds, per_arm, per_arm)

    growing = BlockSeries("onnx", (CELL,), [WorkerSpec(side, {}) for side in SIDES], control=WorkerSpec(CONTROL, {}))
    for _ in range(6):
        growing.rows.append(measured(growing, one_block))
    assert [CONTROL in started for started in arms] == [True, False, False] * 2
    assert growing.control_log_ratios[CELL.name] == pytest.approx([math.log(1.5)] * 2)
    assert growing.log_ratios[CELL.name] == [0.0] * 6


def test_each_of_several_heads_has_figures_of_its_own(measured):
    heads = {HEAD: "openvino", "hea2": "jit"}
    rounds = [{timed_call(BASE, CELL): 1.0, timed_call(HEAD, CELL): 2.0, timed_call("hea2", CELL): 4.0}]
    per_arm = dict.fromkeys((BASE, *heads), 1.0)
    several = BlockSeries("", (CELL,), [WorkerSpec(name, {}) for name in (BASE, *heads)], heads)
    row = measured(several, lambda *_: Block(rounds, per_arm, per_arm))
    assert row["log_ratios"][f"openvino: {CELL.name}"] == pytest.approx(math.log(2))
    assert row["log_ratios"][f"jit: {CELL.name}"] == pytest.approx(math.log(4))
    several.rows.append(row)
    assert row["log_ratios"].keys() == several.figure_names
    assert several.base_values_by_figure["jit: start-up"] == 1.0
