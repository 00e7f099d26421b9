import numpy as np
import pytest

from midas_bench.cpu import allowed_cores
from midas_bench.measure.service.client import ABORTED, CONNECTION, RequestResult
from midas_bench.measure.service.load_results import LoadResult, LostError, SoakResult, Window
from midas_bench.results.kinds import cell_info

WINDOW = Window(1.0, 3.0)


def sent(due_s, ended_s, outcome="200"):
    return RequestResult("photo", due_s, ended_s, outcome)


def test_a_point_is_made_of_what_was_due_and_what_arrived_in_the_window():
    seen = LoadResult(
        (
            sent(0.5, 0.9),  # warm-up
            sent(0.9, 1.1),  # arrived in it
            sent(1.0, 1.5),
            sent(1.2, 1.21, "503"),
            sent(2.0, 3.0),  # arrived behind it
            sent(3.1, 3.2),  # due behind it
        ),
        cpu_s=0.3,
        window=WINDOW,
    )
    point = seen.point(7, offered_per_second=2.0)
    assert (point.achieved_per_second, point.requests, point.rejected, point.peak_rss_bytes) == (1.0, 3, 1, 7)
    assert (point.p50_s, point.p99_s) == pytest.approx((0.75, 0.995))
    assert (point.offered_per_second, point.clients) == (2.0, None)
    assert seen.client_cpu_s == pytest.approx(0.05)
    assert seen.client_share == pytest.approx(0.3 / 3.2 / allowed_cores())


def test_the_steady_rate_does_not_depend_on_where_the_window_begins():
    pairs_s = [0.5 * number // 1 * 0.14 + 0.01 * (number % 2) for number in range(100)]  # two workers, almost in step
    rates = [Window(1.0 + shift, 4.0 + shift).steady_rate(pairs_s) for shift in (0.0, 0.03, 0.07, 0.11, 0.13)]
    assert rates == pytest.approx([2 / 0.14] * 5, rel=0.005)


@pytest.mark.parametrize("ended_s", [(), (1.5,), (0.5, 1.5, 3.5)])
def test_a_steady_rate_of_fewer_than_two_answers_is_none(ended_s):
    with pytest.raises(LostError, match=r"answers in 2 s are too few for a rate; measure for longer"):
        WINDOW.steady_rate(ended_s)


@pytest.mark.parametrize("outcome", [CONNECTION, "500", "415"])
def test_a_lost_request_raises_lost_error_with_its_outcome(outcome):
    with pytest.raises(LostError, match=f"of 2 requests 1 were answered in time; failed: 1 with {outcome}$"):
        LoadResult((sent(1.0, 2.0), sent(1.0, 1.1, outcome)), 0.1, WINDOW).point(None, clients=1)


def test_a_load_of_refusals_alone_raises_lost_error():
    with pytest.raises(LostError, match=r"of 1 requests 0 were answered in time; failed: none$"):
        LoadResult((sent(1.0, 1.1, "503"),), 0.1, WINDOW).point(None, clients=1)


def test_a_soak_counts_by_kind_and_status_and_knows_what_must_not_be():
    good = {("photo", "200"): 5, ("bomb", "422"): 2, ("one pixel", "200"): 1, ("hung up midway", ABORTED): 3}
    soaked = SoakResult(good, (1,) * 10, {"200": 6, "422": 2})
    assert (soaked.requests, soaked.unexpected) == (11, {})
    assert soaked.answered == soaked.counted
    bad = SoakResult(good | {("bomb", "200"): 1, ("photo", CONNECTION): 1}, (1,) * 10, {})
    assert bad.unexpected == {("bomb", "200"): 1, ("photo", CONNECTION): 1}
    info = cell_info({"kind": "load", **soaked.to_fields()}).to_extra_info()
    assert info["outcomes"]["bomb"] == {"422": 2}
    assert info["scenario"] == "soak"


def test_growth_leaves_the_warm_up_out_and_a_single_peak_too():
    flat = np.full(200, 300)
    flat[:20] = 100
    flat[150] = 900
    assert SoakResult({}, tuple(flat), {}).rss_growth == 0
    grows = np.linspace(100, 200, 200)
    assert SoakResult({}, tuple(grows), {}).rss_growth == pytest.approx(190 / 120 - 1, rel=0.01)
