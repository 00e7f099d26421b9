from __future__ import annotations

import pytest

from midas_bench.results import units
from midas_bench.results.intervals import Interval


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1, "1.00"), (0.0123, "0.0123"), (0.9999, "1.00"), (12.345, "12.3"), (999.6, "1000"), (1234.5, "1230"),
     (-2.5, "-2.50"), (2e-7, "2e-07"), (3.21e9, "3.21e+09")],
)  # fmt: skip
def test_digits_rounds_to_three_significant_ones(value, text):
    assert units.digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.5, "2.50 s"), (0.0455, "45.5 ms"), (1.5e-6, "1.50 µs"), (2e-9, "2.00 ns"), (3e-10, "0.300 ns"), (0.0, "0 s"),
     (None, units.NOTHING)],
)  # fmt: skip
def test_seconds_chooses_the_unit_of_time(value, text):
    assert units.seconds(value) == text


def test_interval_has_the_unit_of_its_figure():
    assert units.seconds_span(Interval(0.0455, 0.042, 0.049)) == "45.5 ms (42.0 to 49.0)"
    assert units.mib_span(Interval(3 * units.MIB, 3 * units.MIB, 3 * units.MIB, 0.0)) == "3.00 MiB"
    assert units.percent_span(Interval(0.06, 0.05, 0.07)) == "6.00 % (5.00 to 7.00)"
    assert units.span(None) == units.NOTHING


def test_an_interval_that_tells_nothing_is_a_dash():
    assert units.seconds_span(Interval(0.473, 0.000359, 464.0)) == "473 ms"
    assert units.seconds_span(Interval(0.1, 0.02, 0.3)) == "100 ms (20.0 to 300)"
