"""The base against itself: when is a gate invalid?"""

import numpy as np
import pytest

from midas_bench.gate.control import CHANCE, intervals, off


@pytest.fixture
def draw():
    return np.random.default_rng(3)


def test_a_base_that_differs_from_itself_is_named_with_its_ratio(draw):
    logs = {"decode": list(draw.normal(0.05, 0.005, 8)), "pipeline": list(draw.normal(0, 0.005, 8))}
    assert off(logs).startswith("decode 1.0")
    assert "pipeline" not in off(logs)
    assert intervals(logs)["decode"].low > 1.04


def test_a_base_that_equals_itself_is_rarely_off(draw):
    trials = 4000
    alarms = sum(bool(off({"a": draw.normal(0, 0.02, 6), "b": draw.normal(0, 0.1, 6)})) for _ in range(trials))
    # 4 expected of 4000; above 14 has a chance of 2e-5
    assert alarms <= 14
    assert CHANCE == 0.001


@pytest.mark.parametrize(
    "logs", [[], [0.5, 0.5], [0.0] * 6, [0.001] * 6], ids=["none", "too few", "equal", "too small to matter"]
)
def test_what_says_nothing_makes_no_gate_invalid(logs):
    assert off({"decode": logs}) == ""


def test_a_figure_that_is_always_larger_by_the_same_is_off():
    assert off({"peak memory": [0.1] * 4}) == "peak memory 1.105"
