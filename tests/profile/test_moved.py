"""Which operators moved between two profiles: pure, on profiles made by hand."""

from dataclasses import replace

import pytest

from midas_bench.profile.moved import moved
from midas_bench.profile.operators import Operator, Profile

DATA, SMALL, LARGE = (1, 64, 32, 32), (64, 64, 1, 1), (64, 64, 3, 3)


def conv(output, ms, weights=LARGE, kind="Conv", name="", inputs=None, outputs=(DATA,), rounds=5, spread=0.0):
    """Make an operator whose rounds lie evenly around its median, `spread` ms apart at the quartiles."""
    steps = [(n - rounds // 2) / (rounds // 2) for n in range(rounds)]
    seconds = tuple(1e-3 * (ms + step * spread) for step in steps)
    return Operator(name or output, kind, seconds, output, inputs or (DATA, weights), outputs)


def profile(*operators):
    return Profile(operators, (0.1,) * 5)


CHAIN = [conv(f"t{n}", 1.0 + n / 10) for n in range(8)]


def first(base, head):
    ranked = moved(profile(*base), profile(*head))
    return ranked[0]


def test_nothing_moves_between_equal_profiles():
    ranked = moved(profile(*CHAIN), profile(*CHAIN))
    assert [(pair.base, pair.head) for pair in ranked] == [(each, each) for each in CHAIN]
    assert not any(pair.is_clear for pair in ranked)


def test_an_inserted_operator_is_only_in_the_head_and_counts_whole():
    extra = conv("extra", 0.4, SMALL)
    found = first(CHAIN, [*CHAIN[:4], extra, *CHAIN[4:]])
    assert (found.base, found.head) == (None, extra)
    assert found.change_s == pytest.approx(0.4e-3)
    assert found.is_clear


def test_a_removed_operator_is_only_in_the_base():
    found = first(CHAIN, CHAIN[:-1])
    assert (found.base, found.head) == (CHAIN[-1], None)
    assert found.change_s == pytest.approx(-1.7e-3)


def test_an_inserted_operator_that_takes_over_a_tensors_name_is_still_the_inserted_one():
    # t4 is now made by the small convolution; what made it makes t4_before
    head = [*CHAIN[:4], conv("t4_before", 1.4), conv("t4", 0.3, SMALL), *CHAIN[5:]]
    found = first(CHAIN, head)
    assert (found.base, found.head) == (None, head[5])


def test_operators_of_one_tensor_are_paired_where_their_shapes_changed():
    slower = conv("t3", 4.0, (64, 64, 5, 5))
    found = first(CHAIN, [*CHAIN[:3], slower, *CHAIN[4:]])
    assert (found.base, found.head) == (CHAIN[3], slower)


def test_operators_of_one_tensor_are_paired_where_their_kind_changed():
    upsample, resize = (conv("up", ms, kind=kind, inputs=(SMALL,)) for ms, kind in ((1.0, "Upsample"), (9.0, "Resize")))
    reorders = [conv("", 0.05, kind="ReorderInput", name=f"r{n}", inputs=(DATA,)) for n in range(2)]
    found = first([*CHAIN[:3], upsample], [*CHAIN[:3], reorders[0], resize, reorders[1]])
    assert (found.base, found.head) == (upsample, resize)


def test_an_activation_that_is_fused_no_more_does_not_take_the_place_of_its_convolution():
    fused = replace(conv("relu", 4.0), flop=10**8)
    apart = [replace(conv("c", 3.9, (64, 64, 5, 5)), flop=10**8), conv("relu", 0.1, kind="Relu", inputs=(DATA,))]
    pairs = moved(profile(fused), profile(*apart))
    assert {(pair.base, pair.head) for pair in pairs} == {(fused, apart[0]), (None, apart[1])}


def test_names_that_a_runtime_makes_up_bury_nothing():
    def reorders(first_number):
        return [conv("", 0.2, kind="ReorderInput", name=f"r{first_number + n}", inputs=(DATA,)) for n in range(4)]

    def network(numbers, *extra):
        made = reorders(numbers)
        return [part for pair in zip(made, CHAIN[:4], strict=True) for part in pair] + [*extra, *CHAIN[4:]]

    extra = conv("extra", 0.1, SMALL)
    ranked = moved(profile(*network(0)), profile(*network(7, extra)))
    assert ranked[0].head is extra
    assert all(pair.base and pair.head for pair in ranked[1:])


def test_operators_without_names_are_paired_in_their_order():
    def nameless(ms, weights):
        return conv("", ms, weights, name="conv")

    base = [nameless(1.0, LARGE), nameless(2.0, SMALL), nameless(3.0, LARGE), nameless(1.5, SMALL)]
    extra = nameless(0.7, (32, 64, 1, 1))
    found = first(base, [*base[:2], extra, *base[2:]])
    assert found.head is extra


def test_what_runs_in_another_order_is_the_same_operator():
    ranked = moved(profile(*CHAIN), profile(*CHAIN[::-1]))
    assert all(pair.base == pair.head for pair in ranked)


def test_a_split_operator_comes_before_all_that_did_not_change():
    halves = [conv(f"t5_{n}", 0.8, (32, 64, 3, 3), outputs=((1, 32, 32, 32),)) for n in range(2)]
    head = [*CHAIN[:5], *halves, conv("t5", 0.2, kind="Concat", inputs=((1, 32, 32, 32),) * 2), *CHAIN[6:]]
    ranked = moved(profile(*CHAIN), profile(*head))
    assert {pair.operator.output for pair in ranked[:3]} == {"t5", "t5_0", "t5_1"}
    assert ranked[0].base is CHAIN[5]
    assert sum(pair.change_s for pair in ranked) == pytest.approx(0.3e-3)


def test_a_large_operator_that_varies_comes_after_a_small_one_that_does_not():
    base = [conv("large", 20.0, spread=2.0), conv("small", 1.0, spread=0.01)]
    head = [conv("large", 21.0, spread=2.0), conv("small", 1.3, spread=0.01)]
    small, large = moved(profile(*base), profile(*head))
    assert (small.operator.output, small.is_clear) == ("small", True)
    assert (large.operator.output, large.is_clear) == ("large", False)
    assert large.change_s == pytest.approx(1e-3)


def test_a_name_that_a_side_has_twice_pairs_nothing_by_itself():
    twice = [conv("same", 1.0), conv("same", 1.0, SMALL)]
    assert all(pair.base == pair.head for pair in moved(profile(*twice), profile(*twice)))
