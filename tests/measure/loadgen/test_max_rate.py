import pytest

from midas_bench.measure.loadgen.max_rate import largest_rate
from midas_bench.measure.loadgen.rules import FULL, SHORT, expected_s


@pytest.mark.parametrize(("capacity", "start"), [(10.0, 7.0), (10.0, 100.0), (10.0, 1.0)])
def test_the_rate_search_approaches_the_capacity_from_below(capacity, start):
    tried = []

    def passes(rate):
        tried.append(rate)
        return rate <= capacity

    largest = largest_rate(passes, start, lambda count: count < 50)
    assert 0.95 * capacity <= largest <= capacity
    assert largest == max(rate for rate in tried if rate <= capacity)
    assert len(tried) < 20


def test_the_rate_search_keeps_the_last_passing_rate_when_time_is_over():
    assert largest_rate(lambda rate: rate < 8, 7.0, lambda count: count < 2) == 7.0


def test_the_rate_search_returns_none_where_no_rate_passes():
    assert largest_rate(lambda _: False, 7.0, lambda count: count < 4) is None


def test_full_rules_take_ten_minutes_at_least_and_offline_its_samples():
    assert expected_s("single-stream", FULL, 0.06, 1) == 600
    assert expected_s("single-stream", FULL, 1.0, 1) == 1024
    assert expected_s("multi-stream", FULL, 0.2, 1) == pytest.approx(662 * 8 * 0.2)
    assert expected_s("offline", FULL, 0.1, 2) == pytest.approx(24_576 * 0.1 / 2)
    assert expected_s("server", FULL, 0.06, 1) == 600 + 60 + 600
    assert expected_s("server", SHORT, 0.06, 1) == 6 * 3 + 3
