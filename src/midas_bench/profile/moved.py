"""Which operators take more or less time than before: the same operator found in two profiles.

Names are no help alone. A runtime fuses operators, and so one inserted node renames its neighbours. Nor is the order:
what runs in parallel branches may change places. So operators are paired in passes, the surest first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from midas_bench.profile.operators import Operator, Profile

Pair = tuple[Operator | None, Operator | None]
Key = Callable[[Operator], Hashable]
Finder = Callable[[Sequence[Operator], Sequence[Operator]], Iterator[tuple[Operator, Operator]]]

DATA_AND_WEIGHTS = 2
"""Inputs that tell what is computed. What follows, a bias or a sum, comes and goes with what is fused."""


@dataclass(frozen=True)
class MovedOperator:
    """An operator of two profiles, and how its time changed.

    Attributes:
        base: the operator before; None where only the head has it.
        head: the operator after; None where only the base has it.
    """

    base: Operator | None
    head: Operator | None

    @property
    def operator(self) -> Operator:
        """The one to show: the head's, if it has one."""
        operator = self.head or self.base
        assert operator is not None
        return operator

    @property
    def change_s(self) -> float:
        """The head's time in one call less the base's; what is absent takes no time."""
        return (self.head.median_s if self.head else 0.0) - (self.base.median_s if self.base else 0.0)

    @property
    def spread_s(self) -> float:
        """The interquartile ranges of both over rounds, added."""
        return sum(side.spread_s for side in (self.base, self.head) if side)

    @property
    def is_clear(self) -> bool:
        """Whether it changed by more than the spread of its rounds."""
        return abs(self.change_s) > self.spread_s


def moved(base: Profile, head: Profile) -> list[MovedOperator]:
    """Pair the operators of two profiles and return all of them, the one first that changed most.

    Ranked is what goes beyond the spread of the rounds, so that large operators that merely vary do not come first.
    """
    pairs = [MovedOperator(*pair) for pair in pair_operators(base.operators, head.operators)]
    return sorted(pairs, key=lambda pair: (-max(0.0, abs(pair.change_s) - pair.spread_s), -abs(pair.change_s)))


def pair_operators(base: Sequence[Operator], head: Sequence[Operator]) -> Iterator[Pair]:
    """Yield each operator of both sides once, with its counterpart or None."""
    left, right = list(base), list(head)
    for find in PASSES:
        pairs = list(find(left, right))
        yield from pairs
        # by identity: two operators may be equal in all they hold
        paired = {id(operator) for pair in pairs for operator in pair}
        left = [operator for operator in left if id(operator) not in paired]
        right = [operator for operator in right if id(operator) not in paired]
    yield from ((operator, None) for operator in left)
    yield from ((None, operator) for operator in right)


def _work(operator: Operator) -> Hashable:
    return operator.kind, operator.inputs[:DATA_AND_WEIGHTS], operator.outputs


def _kind(operator: Operator) -> Hashable:
    return operator.kind


def _shapes(operator: Operator) -> Hashable:
    """Tell what may take the place of an operator: another way to the same shape, but not its activation."""
    return operator.flop is None, operator.inputs[:1], operator.outputs


def _kind_and_shapes(operator: Operator) -> Hashable:
    return operator.kind, _shapes(operator)


def _by_output(key: Key) -> Finder:
    """Pair what makes a tensor of the same name and has the same key; what a side has twice tells nothing."""

    def unique(operators: Sequence[Operator]) -> dict[Hashable, Operator]:
        alike: dict[Hashable, list[Operator]] = {}
        for operator in operators:
            if operator.output:
                alike.setdefault((operator.output, key(operator)), []).append(operator)
        return {named: same[0] for named, same in alike.items() if len(same) == 1}

    def find(left: Sequence[Operator], right: Sequence[Operator]) -> Iterator[tuple[Operator, Operator]]:
        ours, theirs = unique(left), unique(right)
        yield from ((ours[named], theirs[named]) for named in ours if named in theirs)

    return find


def _in_order(key: Key) -> Finder:
    """Pair what has the same key and stands at the same place among the others."""

    def find(left: Sequence[Operator], right: Sequence[Operator]) -> Iterator[tuple[Operator, Operator]]:
        matcher = SequenceMatcher(None, [key(each) for each in left], [key(each) for each in right], autojunk=False)
        for at_left, at_right, size in matcher.get_matching_blocks():
            yield from zip(left[at_left : at_left + size], right[at_right : at_right + size], strict=True)

    return find


PASSES = (_by_output(_work), _in_order(_work), _by_output(_kind), _by_output(_shapes), _in_order(_kind_and_shapes))
"""How operators are paired, the surest first."""
