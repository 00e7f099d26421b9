from types import SimpleNamespace

import pytest

from midas_bench.measure.plugin import eta
from midas_bench.measure.plugin.eta import PRIOR_S, Eta, expected_s, flop_per_s
from midas_bench.results.units import duration


@pytest.fixture
def two_cells(monkeypatch):
    monkeypatch.setattr(eta.time, "monotonic", lambda: 1000.0)
    return Eta({"a": 60.0, "b": 30.0})


def test_before_the_first_cell_the_expectation_is_what_is_left(two_cells):
    assert two_cells.total_s == 90
    assert two_cells.left_s(1000.0) == 90


def test_a_run_that_keeps_its_schedule_has_the_rest_left(two_cells):
    two_cells.finish("a")
    assert two_cells.left_s(1060.0) == 30


def test_a_run_that_takes_twice_as_long_moves_towards_twice_the_rest(two_cells):
    two_cells.finish("a")
    assert two_cells.left_s(1120.0) == pytest.approx(30 * (120 + PRIOR_S) / (60 + PRIOR_S))
    assert 30 < two_cells.left_s(1120.0) < 60


def test_a_finished_run_has_nothing_left(two_cells):
    for name in ("a", "b", "b", "unknown"):
        two_cells.finish(name)
    assert two_cells.left_s(5000.0) == 0


@pytest.mark.parametrize(("outcome", "when"), [("skipped", "setup"), ("failed", "setup"), ("failed", "call")])
def test_a_cell_that_is_skipped_or_fails_is_no_longer_waited_for(two_cells, outcome, when):
    config = SimpleNamespace(stash={eta.ETA: two_cells})
    for moment, ended in (("setup", "passed"), (when, outcome), ("teardown", "passed")):
        report = SimpleNamespace(nodeid="a", when=moment, outcome=ended)
        assert eta.pytest_report_teststatus(report, config) is None
    assert two_cells.left_s(1000.0) == two_cells.total_s == 30


def test_larger_batches_and_more_rounds_are_expected_to_take_longer():
    def cell(batch_size, rounds, network=True):
        return expected_s({"backend": "onnx", "batch_size": batch_size}, rounds, 1.0, 1e11, network)

    assert cell(4, 100) > cell(1, 100) > cell(1, 20)
    assert cell(4, 100, network=False) < cell(1, 100)


def test_a_cell_takes_no_less_than_the_time_asked_for():
    assert expected_s({"backend": "onnx"}, 1, 30.0, 1e15, network=True) > 30


def test_a_backend_of_unknown_speed_is_taken_for_the_slowest():
    eager, unknown = (expected_s({"backend": name}, 50, 0.1, 1e11, network=True) for name in ("eager", "unheard-of"))
    assert unknown == eager


def test_the_measured_flop_rate_is_plausible():
    assert 1e7 < flop_per_s(64, 2) < 1e15


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (61, "1 min 01 s"), (3605, "60 min 05 s")]
)
def test_durations_are_formatted_in_minutes_and_seconds(seconds, text):
    assert duration(seconds) == text
