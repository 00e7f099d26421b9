"""Gates of three arms, drawn from recorded blocks of three equal ones."""

import numpy as np
import pytest

from midas_bench.gate.simulation import LIVE_SLOWDOWN, Blocks, resample, simulate_three_arms

NAMES = ("pipeline", "decode")
GATES = 300


@pytest.fixture
def document():
    """Make the document of a self-test whose three arms are equal, and share what happens to the base."""
    draw = np.random.default_rng(5)
    rows = []
    for number in range(60):
        base, head, control = draw.normal(0, 0.01, (3, len(NAMES)))
        row = {"log_ratios": dict(zip(NAMES, head - base, strict=True)), "block_s": 10.0}
        rows.append(row | ({"control": dict(zip(NAMES, control - base, strict=True))} if number % 3 == 0 else {}))
    figures = [{"name": name, "threshold": 0.05} for name in NAMES]
    return {"blocks": rows, "figures": figures, "alpha": 0.01, "budget_s": 300.0}


def test_equal_arms_raise_few_alarms_and_a_slowed_head_is_found(document):
    blocks = Blocks.of(document)
    assert blocks.three.shape == (20, 3, len(NAMES))
    equal = simulate_three_arms(blocks, 0.0, GATES, seed=1)
    # at most 1 % is promised: above 11 of 300 has a chance of 0.0001
    assert equal["false_alarm"]["count"] <= 11
    slowed = simulate_three_arms(blocks, LIVE_SLOWDOWN, GATES, seed=1)
    assert slowed["alarm"]["share"] > 0.95
    assert slowed["verdicts"].keys() <= {"regressed", "inconclusive", "not slower"}


def test_too_few_blocks_with_a_control_give_no_rows(document):
    for row in document["blocks"][6:]:
        row.pop("control", None)
    assert resample(document, 20)["three_arms"] == []
