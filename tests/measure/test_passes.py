"""The order of a pass, the budget, and what several visits of a cell make together."""

from collections import Counter
from itertools import chain

import pytest

from midas_bench.measure.passes import (
    LEAST_PASSES,
    OVERRUN,
    SETTLED,
    PassBudget,
    another_pass,
    drawn_order,
    merged_info,
    merged_noise,
    thoroughness,
    whole_passes_fit,
)
from midas_bench.results.passes import ENOUGH

GROUPS = {scene: [f"{backend}-{scene}" for backend in ("a", "b", "c")] for scene in ("street", "indoor", "pet", "sea")}


def test_each_pass_has_every_cell_once_and_keeps_groups_together():
    for number in range(1, 20):
        order = drawn_order(GROUPS, 1, number)
        assert sorted(map(sorted, order)) == sorted(map(sorted, GROUPS.values()))


def test_the_order_is_drawn_anew_for_each_pass_and_is_the_same_for_the_same_seed():
    orders = [drawn_order(GROUPS, 1, number) for number in range(1, 20)]
    assert orders == [drawn_order(GROUPS, 1, number) for number in range(1, 20)]
    assert orders != [drawn_order(GROUPS, 2, number) for number in range(1, 20)]
    # every cell is the first of its group in one pass, and every group the first of all
    assert {group[0] for group in chain(*orders)} == set(chain(*GROUPS.values()))
    assert {order[0][0].partition("-")[2] for order in orders} == set(GROUPS)


def test_no_place_in_a_group_belongs_to_one_backend():
    """Of 300 draws each of three places gets a third; 6 standard deviations are 49."""
    first = Counter(chain(*([group[0][0] for group in drawn_order(GROUPS, 1, number)] for number in range(75))))
    assert set(first) == {"a", "b", "c"}
    assert all(abs(count - 100) < 49 for count in first.values())


def test_a_budget_allows_what_ends_in_time_or_hardly_later():
    now_s = [100.0]
    budget = PassBudget(60.0, lambda: now_s[0], started_s=100.0)
    limit_s = 60.0 * (1 + OVERRUN)
    assert (budget.elapsed_s, budget.left_s) == (0.0, 60.0)
    assert budget.allows(limit_s)
    now_s[0] = 130.0
    assert (budget.elapsed_s, budget.left_s) == (30.0, 30.0)
    assert budget.allows(limit_s - 30.0)
    assert not budget.allows(limit_s - 29.9)


def test_a_resumed_budget_counts_what_the_interrupted_run_took():
    assert PassBudget(60.0, lambda: 100.0, started_s=100.0 - 50.0).left_s == 10.0


@pytest.mark.parametrize(
    ("made", "now_s", "price", "goes_on"),
    [
        (LEAST_PASSES - 1, 999.0, 0.0, True),  # fewer tell nothing, whatever they take
        (LEAST_PASSES, 0.0, 0.0, True),  # too few for an interval
        (ENOUGH, 0.0, SETTLED, False),
        (ENOUGH, 0.0, SETTLED + 1e-9, True),
        (ENOUGH, 0.0, None, True),
        (ENOUGH, 0.0, float("inf"), True),
        (ENOUGH, 60.0 * (1 + OVERRUN) - 10.0, 1.0, True),
        (ENOUGH, 60.0 * (1 + OVERRUN) - 9.9, 1.0, False),
        (LEAST_PASSES, 60.0, 1.0, False),
    ],
)
def test_passes_go_on_until_prices_are_settled_or_the_budget_is_spent(made, now_s, price, goes_on):
    assert another_pass(made, PassBudget(60.0, lambda: now_s, 0.0), 10.0, price) == goes_on


@pytest.mark.parametrize(
    ("left_s", "slowness", "share"),
    [
        (1000.0, 1.0, 1.0),
        (160.0, 1.0, 0.5),  # 10 s for one more pass; a third of the rest for 100 s of work
        (160.0, 2.0, 0.25),
        (10.0, 1.0, 0.0),
        (-5.0, 1.0, 0.0),
    ],
)
def test_cells_with_processes_of_their_own_share_what_is_left_with_the_passes(left_s, slowness, share):
    assert thoroughness(left_s, 100.0, slowness, pass_s=10.0) == pytest.approx(share)


def test_where_no_such_cell_is_left_nothing_is_cut():
    assert thoroughness(0.0, 0.0, 1.0, 10.0) == 1.0


QUIET = {"matrix_ratio": 1.0, "copy_ratio": 1.0, "steal_fraction": 0.0, "others_fraction": 0.0}
LOUD = QUIET | {"matrix_ratio": 1.5, "others_fraction": 0.2}


def noise(figures, faults=0.0):
    return {"noisy": figures is LOUD, "reasons": [], "page_faults_per_call": faults, **figures}


@pytest.mark.parametrize(
    ("visits", "disturbed", "noisy"),
    [
        ([QUIET, QUIET, QUIET], [], False),
        ([QUIET, QUIET, LOUD], [3], False),
        ([LOUD, QUIET], [1], True),
        ([LOUD, QUIET, LOUD], [1, 3], True),
    ],
)
def test_a_cell_is_noisy_where_half_of_its_visits_were_and_all_of_these_are_named(visits, disturbed, noisy):
    merged = merged_noise([noise(figures, faults=number) for number, figures in enumerate(visits)])
    assert merged["disturbed_passes"] == disturbed
    assert merged["noisy"] == noisy
    assert merged["matrix_ratio"] == max(figures["matrix_ratio"] for figures in visits)
    assert merged["page_faults_per_call"] == (len(visits) - 1) / 2


def test_one_visit_has_no_passes_to_tell_apart():
    merged = merged_noise([noise(LOUD)])
    assert merged["noisy"]
    assert "disturbed_passes" not in merged
    assert merged["reasons"] == ["a fixed matrix product took 1.5 times its best", "other processes used 20% of a core"]


def test_what_follows_from_the_rounds_follows_from_those_of_all_visits():
    visits = [
        {"kind": "latency", "batch_size": 2, "load_s": 5.0, "max_relative_error": 0.5, "cpu_s": 1.0},
        {"kind": "latency", "batch_size": 2, "load_s": 5.0, "cpu_s": 4.0},
    ]
    info = merged_info([visit | {"noise": noise(QUIET)} for visit in visits], [[0.1, 0.2], [0.4, 0.5, 0.6]])
    assert info["rounds_by_pass"] == [2, 3]
    assert info["latency_s"]["p50"] == 0.4
    assert info["images_per_second"] == 5.0
    assert info["cpu_s"] == 2.5
    assert (info["load_s"], info["max_relative_error"]) == (5.0, 0.5)
    # the medians of the passes are 0.15 and 0.5
    assert info["median_ci_s"]["low"] < 0.15 < 0.5 < info["median_ci_s"]["high"]


@pytest.mark.parametrize(
    ("readings", "merged"), [([[3.0], [4.0]], [3.0, 4.0]), ([[3.0], None], None), ([None, [3.0]], None)]
)
def test_energy_is_kept_for_each_pass_or_not_at_all(readings, merged):
    visits = [{"kind": "latency"} | ({"energy_by_pass_j": one} if one else {}) for one in readings]
    assert merged_info(visits, [[0.1], [0.2]]).get("energy_by_pass_j") == merged


def test_a_cell_of_one_visit_has_no_rounds_by_pass():
    info = merged_info([{"kind": "latency", "noise": {}}], [[0.1, 0.2]])
    assert "rounds_by_pass" not in info
    assert info["noise"] == {}


@pytest.mark.parametrize(("made", "left_s", "whole"), [(2, 200, True), (2, 199, False), (6, 50, True), (9, 49, False)])
def test_passes_over_all_cells_go_on_only_if_they_will_be_enough(made, left_s, whole):
    assert whole_passes_fit(made, left_s, whole_s=50) == whole
