"""What docs/gate-measurements.md says of the gate follows from the blocks that are kept beside it."""

import json

import pytest
from scipy import stats

from midas_bench.gate import control
from midas_bench.gate.rule import REGRESSED
from midas_bench.gate.self_test_text import markdown
from midas_bench.gate.simulation import (
    LIVE_SLOWDOWN,
    Blocks,
    observed_bias,
    resample,
    simulate_gates,
    without_sign_flips,
)

GATES = 500


@pytest.fixture(scope="module")
def recorded(project):
    return json.loads((project / "docs/gate-self-test.json").read_text(encoding="utf-8"))


def test_the_table_in_the_documentation_is_that_of_the_recorded_blocks(recorded, project):
    assert markdown(recorded).strip() in (project / "docs/gate-measurements.md").read_text(encoding="utf-8")


def test_no_figure_of_the_recorded_equal_sides_differs_from_one(recorded):
    """A drawn block's sign is drawn too, which hides any difference; so the blocks themselves are asked."""
    found = observed_bias(Blocks.of(recorded))
    assert found == {name: pytest.approx(values) for name, values in recorded["resampled"]["unflipped"].items()}
    assert all(figure["holm"] > 0.05 for figure in found.values())
    assert all(figure["low"] < 0 < figure["high"] for figure in found.values())


def test_a_difference_in_the_recorded_blocks_would_show(recorded):
    """It did not in the gates whose signs are drawn."""
    shifted = recorded | {
        "blocks": [
            row | {"log_ratios": {name: value + 0.10 for name, value in row["log_ratios"].items()}}
            for row in recorded["blocks"]
        ]
    }
    blocks = Blocks.of(shifted)
    assert all(figure["holm"] < 0.001 for figure in observed_bias(blocks).values())
    assert without_sign_flips(blocks, 50, 1)["count"] == 50


@pytest.mark.slow
def test_the_recorded_self_test_follows_from_its_seed(recorded):
    kept = recorded["resampled"]
    blocks = Blocks.of(recorded)
    [row] = [row for row in kept["rows"] if row["slowdown"] == LIVE_SLOWDOWN]
    assert simulate_gates(blocks, LIVE_SLOWDOWN, kept["gates"], kept["seed"]) == row
    assert without_sign_flips(blocks, kept["gates"], kept["seed"]) == kept["as_recorded"]


@pytest.mark.slow
def test_drawing_again_keeps_the_promise_and_finds_the_slowdown(recorded):
    assert len(recorded["blocks"]) >= 100
    again = {row["slowdown"]: row for row in resample(recorded, GATES, seed=2)["rows"]}
    false_alarms = again[0.0]["false_alarm"]["count"]
    assert stats.binomtest(false_alarms, GATES, recorded["alpha"], alternative="greater").pvalue > 0.001
    unswapped = recorded["resampled"]["as_recorded"]
    assert unswapped["high"] < recorded["alpha"]
    found = again[LIVE_SLOWDOWN]["verdicts"].get(REGRESSED, 0)
    assert stats.binomtest(found, GATES, 0.95, alternative="less").pvalue > 0.001


def test_gates_of_three_arms_keep_the_promise_and_find_the_slowdown(recorded):
    equal, slowed = recorded["resampled"]["three_arms"]
    assert equal["false_alarm"]["high"] < recorded["alpha"]
    assert slowed["false_alarm"]["high"] < recorded["alpha"]
    assert slowed["alarm"]["low"] > 0.95


def test_the_recorded_control_is_the_bases_equal(recorded):
    """As a gate judges it: see `midas_bench.gate.control`."""
    with_control = [row["control"] for row in recorded["blocks"] if row.get("control")]
    assert 3 * len(with_control) > 0.9 * len(recorded["blocks"])
    assert control.off({name: [row[name] for row in with_control] for name in with_control[0]}) == ""


def test_live_gates_raised_no_false_alarm_and_found_each_slowdown(recorded):
    equal = [gate["exit_code"] for gate in recorded["live"] if not gate["slowdown"]]
    slowed = [gate for gate in recorded["live"] if gate["slowdown"] == LIVE_SLOWDOWN]
    assert len(equal) == len(slowed) == 10
    assert 1 not in equal
    assert equal.count(0) >= 9
    assert all(gate["verdicts"]["pipeline[onnx-b1-street]"] == REGRESSED for gate in slowed)
    assert all(gate["seconds"] <= recorded["budget_s"] for gate in recorded["live"])
