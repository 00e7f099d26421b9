"""The rule: its verdicts, and its promise on simulated machines of all kinds."""

import math

import numpy as np
import pytest
from scipy import stats

from midas_bench.gate.rule import (
    FASTER,
    FIRST_LOOK,
    IMPROVED,
    INVALID,
    PASSED,
    REGRESSED,
    SLOWER,
    TIED,
    UNDECIDED,
    Family,
    Figure,
    comparison,
    is_look,
    judged,
    spent,
)
from midas_bench.gate.rule import verdict as verdict_of
from midas_bench.results.intervals import Interval, signed_rank_interval

THRESHOLD = 0.05
CALL = Figure("call", THRESHOLD)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.001, 1.2, REGRESSED),
        (1.001, 1.05, REGRESSED),  # a slowdown of 5 % is not excluded
        (1.001, 1.049, PASSED),  # slower for sure, but by less than is worth an alarm
        (0.98, 1.03, PASSED),
        (0.98, 1.06, UNDECIDED),
        (0.9, 0.99, IMPROVED),
        (0.999, 1.05, UNDECIDED),
        (0.0, math.inf, UNDECIDED),
    ],
)
def test_a_verdict_follows_from_the_bounds(low, high, expected):
    logs = Interval(0.0, math.log(low) if low else -math.inf, math.log(high), 0.99)
    assert verdict_of(logs, THRESHOLD) == expected


def test_looks_come_after_twelve_blocks_and_then_a_quarter_more_each():
    assert [blocks for blocks in range(60) if is_look(blocks)] == [12, 15, 18, 22, 27, 33, 41, 51]


@pytest.mark.parametrize(("figures", "alpha", "first"), [(1, 0.01, 12), (7, 0.01, 12), (58, 0.01, 14), (7, 1e-4, 18)])
def test_the_first_look_comes_when_it_can_decide_something(figures, alpha, first):
    found = family(map(str, range(figures)), alpha)
    assert found.first_look == first
    assert next(blocks for blocks in range(20) if found.is_look(blocks)) == first
    found.look(1, {name: [1.0 + 0.01 * n for n in range(first)] for name in found.judgements})
    assert {judgement.verdict for judgement in found.judgements.values()} == {REGRESSED}
    if first > FIRST_LOOK:
        assert 2.0 ** -(first - 1) > spent(alpha, 1) / figures


def test_all_looks_together_spend_no_more_than_alpha():
    shares = [spent(0.01, look) for look in range(1, 10_000)]
    assert shares[0] == 0.005
    assert 0.0099 < sum(shares) < 0.01


def test_the_bounds_are_those_of_the_exact_signed_rank_test():
    values = np.random.default_rng(1).normal(0.3, 1, 15)
    for tail in (0.05, 0.005, 0.0005):
        low = signed_rank_interval(values, tail, tail).low
        assert stats.wilcoxon(values - low - 1e-9, alternative="greater", method="exact").pvalue > tail
        assert stats.wilcoxon(values - low + 1e-9, alternative="greater", method="exact").pvalue <= tail
        mirrored = signed_rank_interval(-values, tail, tail)
        assert mirrored.high == pytest.approx(-low)


def test_too_few_blocks_have_no_bounds():
    interval = signed_rank_interval([0.1] * 5, 0.01, 0.01)
    assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert judged(CALL, [0.1] * 5, 0.01, 0.01).verdict == UNDECIDED


def test_the_smallest_detectable_growth_is_found_in_four_of_five_gates():
    generator = np.random.default_rng(2)
    said = np.mean([judged(CALL, generator.normal(0, 0.02, 20), 0.005, 0.005).detectable for _ in range(200)])
    found = [judged(CALL, generator.normal(math.log1p(said), 0.02, 20), 0.005, 0.005).ratio.low > 1 for _ in range(400)]
    assert 0.7 < np.mean(found) < 0.9


def test_what_regressed_leaves_upper_bounds_as_they_were():
    logs = {"clear": [0.3 + 0.001 * n for n in range(12)], "close": list(np.linspace(-0.05, 0.14, 12))}
    alone, together = family(["clear", "close"], alpha=0.01), family(["clear", "close"], alpha=0.01)
    alone.look(1, {"close": logs["close"]})
    together.look(1, logs)
    assert together.judgements["close"].ratio.low > alone.judgements["close"].ratio.low
    assert together.judgements["close"].ratio.high == alone.judgements["close"].ratio.high


def family(names, alpha=0.01):
    return Family([Figure(name, THRESHOLD) for name in names], alpha)


def test_what_regressed_leaves_more_of_alpha_to_the_others():
    generator = np.random.default_rng(3)
    logs = {"clear": generator.normal(0.3, 0.01, 12), "close": np.array([0.1] * 11 + [-0.001])}
    alone = family(["clear", "close", "quiet"], alpha=0.0025)
    alone.look(1, {"close": logs["close"]})
    assert alone.judgements["close"].verdict == UNDECIDED
    together = family(["clear", "close", "quiet"], alpha=0.0025)
    together.look(1, logs)
    assert together.judgements["clear"].verdict == REGRESSED
    assert together.judgements["close"].ratio.confidence < alone.judgements["close"].ratio.confidence


def test_a_verdict_is_not_changed_by_later_blocks():
    found = family(["call"])
    found.look(1, {"call": [0.0] * 12})
    assert found.judgements["call"].verdict == PASSED
    found.look(2, {"call": [0.5] * 15})
    assert found.judgements["call"].verdict == PASSED


def test_a_figure_can_be_set_aside():
    found = family(["call"])
    found.set_aside("call", INVALID, "the machine was disturbed")
    assert found.undecided == set()
    assert found.judgements["call"].reason == "the machine was disturbed"


# Machines. Each returns the state of a machine over time, as the logarithm of how slow it is: (gates, moments).


def autocorrelated(generator, gates, moments):
    steps = generator.normal(0, 0.02, (gates, moments))
    for moment in range(1, moments):
        steps[:, moment] += 0.95 * steps[:, moment - 1]
    return steps


def bimodal(generator, gates, moments):
    return 0.3 * (generator.random((gates, moments)) < 0.4) + generator.normal(0, 0.005, (gates, moments))


def drifting(generator, gates, moments):
    return np.linspace(0, 0.5, moments) * generator.choice([-1, 1], (gates, 1)) + generator.normal(
        0, 0.02, (gates, moments)
    )


def heavy_tailed(generator, gates, moments):
    return np.abs(generator.standard_t(1.5, (gates, moments))) * 0.02


MACHINES = [autocorrelated, bimodal, drifting, heavy_tailed]
BLOCKS, ROUNDS, GATES, ALPHA = 33, 4, 400, 0.10


def block_logs(machine, slowdown, seed):
    """Simulate (gates, blocks) of log-ratios: shuffled calls, the arm that starts first a little slower."""
    generator = np.random.default_rng(seed)
    state = machine(generator, GATES, BLOCKS * ROUNDS * 2).reshape(GATES, BLOCKS, ROUNDS, 2)
    order = generator.integers(0, 2, (GATES, BLOCKS, ROUNDS // 2, 1))
    order = np.stack([order, 1 - order], axis=3).reshape(GATES, BLOCKS, ROUNDS, 1)  # every second round reversed
    head = np.take_along_axis(state, order, axis=3)[..., 0]
    base = np.take_along_axis(state, 1 - order, axis=3)[..., 0]
    first = 0.026 * generator.choice([0.5, -0.5], (GATES, BLOCKS))
    return np.median(head, axis=2) - np.median(base, axis=2) + first + math.log1p(slowdown)


def gates(machine, slowdown=0.0, seed=4):
    """Run gates of three figures, each with the slowdown or with its own; return the judgements of each gate."""
    slowdowns = slowdown if isinstance(slowdown, tuple) else (slowdown,) * 3
    figures = [block_logs(machine, own, seed + i) for i, own in enumerate(slowdowns)]
    for gate in range(GATES):
        found = family(["a", "b", "c"], ALPHA)
        for look, blocks in enumerate((n for n in range(BLOCKS + 1) if is_look(n)), start=1):
            found.look(look, {name: logs[gate, :blocks] for name, logs in zip("abc", figures, strict=True)})
        yield found.judgements.values()


def at_most(count, of, share):
    """Tell whether a count is compatible with a share of at most so much; it errs once in a thousand."""
    return stats.binomtest(count, of, share, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("machine", MACHINES)
def test_equal_sides_raise_no_more_alarms_than_promised(machine):
    alarms = sum(any(judgement.verdict == REGRESSED for judgement in found) for found in gates(machine))
    assert at_most(alarms, GATES, ALPHA)


@pytest.mark.parametrize("machine", MACHINES)
def test_figures_that_are_really_slower_do_not_make_the_others_err_more_often(machine):
    """Holm's steps widen what is left of alpha for further alarms, and nothing else."""
    found = [tuple(judgements) for judgements in gates(machine, (0.4, 0.0, THRESHOLD))]
    assert at_most(sum(equal.verdict == REGRESSED for _, equal, _ in found), GATES, ALPHA)
    assert at_most(sum(slower.verdict in (PASSED, IMPROVED) for _, _, slower in found), GATES, ALPHA)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("slowdown", [0.03, 0.05])
def test_each_interval_holds_as_often_as_promised(machine, slowdown):
    found = [tuple(judgements) for judgements in gates(machine, slowdown)]
    for figure in range(3):
        assert at_most(sum(j[figure].ratio.low > 1 + slowdown for j in found), GATES, ALPHA)
        assert at_most(sum(j[figure].ratio.high < 1 + slowdown for j in found), GATES, ALPHA)
    missed = sum(not all(j.ratio.holds(1 + slowdown) for j in judgements) for judgements in found)
    assert at_most(missed, GATES, 2 * ALPHA)  # both ends of all of them together


@pytest.mark.parametrize("machine", MACHINES)
def test_a_slowdown_as_large_as_the_threshold_rarely_passes(machine):
    passed = sum(any(j.verdict in (PASSED, IMPROVED) for j in found) for found in gates(machine, THRESHOLD))
    assert at_most(passed, GATES, ALPHA)


def test_looking_after_each_block_without_such_a_rule_breaks_the_promise():
    """The same simulation finds a rule that does not hold."""
    logs = block_logs(autocorrelated, 0.0, seed=4)
    alarms = sum(
        any(
            stats.ttest_1samp(gate[:blocks], 0, alternative="greater").pvalue < ALPHA
            for blocks in range(FIRST_LOOK, BLOCKS)
        )
        for gate in logs
    )
    assert not at_most(alarms, GATES, ALPHA)


def test_a_slowdown_of_twice_the_threshold_is_found_on_a_quiet_machine():
    def quiet(generator, gates, moments):
        return generator.normal(0, 0.01, (gates, moments))

    found = [judgement.verdict for judgements in gates(quiet, 2 * THRESHOLD) for judgement in judgements]
    assert found.count(REGRESSED) > 0.99 * len(found)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.01, 0.015, TIED),
        (0.005, 0.015, TIED),
        (-0.06, -0.03, FASTER),
        (-0.03, -0.01, FASTER),
        (0.01, 0.05, SLOWER),
        (-0.01, 0.05, UNDECIDED),
        (-0.05, 0.05, UNDECIDED),
    ],
)
def test_alternatives_tie_within_the_threshold_or_one_is_faster(low, high, said):
    assert comparison(Interval((low + high) / 2, low, high), 0.02) == said


def test_a_compared_figure_gets_a_comparisons_verdict():
    compared = Figure("pipeline[b1-street]", 0.02, compared=True)
    assert judged(compared, [-0.2 + 0.001 * n for n in range(12)], 0.005, 0.005).verdict == FASTER
    assert judged(compared, [0.001 * (n - 6) for n in range(12)], 0.005, 0.005).verdict == TIED
