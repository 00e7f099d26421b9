"""Ratios that hold: calls of several arms interleaved in blocks, each block with workers of its own.

Two runs of identical code differ by more than most changes do, and the raw rounds of one run cannot tell. So the block
is the unit: workers are started afresh; their calls interleave; both in an order that is shuffled and balanced; all on
one core, one at a time, the others asleep. Calls that are compared stand side by side, so that both meet the machine as
it is just then, and the quotient is taken within the round. A block yields its median over rounds; blocks give
intervals.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from midas_bench.cpu import pinnable_core
from midas_bench.measure.worker import queued_s
from midas_bench.measure.worker_client import TimedCall, Worker, WorkerSpec

WARM_UP_CALLS = 3
SETTLE_S = 0.1
"""An ONNX Runtime session with several threads leaves them spinning; by then they sleep. On one core there are none."""

Round = Mapping[TimedCall, float]
"""Seconds of one call of each probe, and of the parts that a call timed itself."""

Groups = Sequence[Sequence[TimedCall]]
"""Probes that are compared with each other: in a round their calls follow one another directly."""


@dataclass(frozen=True)
class Block:
    """What one block gave.

    Attributes:
        rounds: each of its calls.
        startup_s: by arm, from starting its process until its pipelines had each made their first inference, without
            the time in which it waited for its core.
        peak_bytes: by arm, its highest resident memory, or None where the system keeps no such mark.
    """

    rounds: Sequence[Round]
    startup_s: Mapping[str, float]
    peak_bytes: Mapping[str, int | None]

    def log_ratio(self, quotient: Callable[[Round], float]) -> float:
        """Return the median over rounds of the natural logarithm of a quotient of their times.

        A quotient of medians would fall apart where the machine's speed changes half-way through the block: the two
        medians may then come from before and after. Within a round that speed cancels.
        """
        return statistics.median(math.log(quotient(each)) for each in self.rounds)

    def median_s(self, probe: TimedCall) -> float:
        """Return the median of a probe's calls."""
        return statistics.median(each[probe] for each in self.rounds)


def blocks(
    arms: Sequence[WorkerSpec], groups: Groups, rounds: int, seed: int, count: int, pinned: bool = True
) -> list[Block]:
    """Measure so many blocks.

    Args:
        arms: whose processes are started anew for every block.
        groups: what is called, each probe `rounds` times a block.
        rounds: each holds one call of every probe, in an order of its own.
        seed: of the shuffling.
        count: of blocks.
        pinned: whether all workers share one core, as comparisons on one thread should.

    Raises:
        WorkerDiedError: a worker died.
    """
    shuffle = random.Random(seed)
    core = pinnable_core() if pinned else None
    return [one_block(start_order(arms, number, seed), groups, rounds, shuffle, core) for number in range(count)]


def start_order(arms: Sequence[WorkerSpec], number: int, seed: object) -> list[WorkerSpec]:
    """Return the order in which to start the workers of block `number`, counted from 0.

    The arm that starts first was seen to be slower, and by chance alone one of several may never be it. So in each N
    blocks of N arms every arm has every place once: one order is drawn for them, and turned by one from block to block.
    """
    turn = number % len(arms)
    order = random.Random(f"{seed} {number // len(arms)}").sample(arms, len(arms))
    return order[turn:] + order[:turn]


def one_block(
    arms: Sequence[WorkerSpec], groups: Groups, rounds: int, shuffle: random.Random, core: int | None
) -> Block:
    """Measure one block; the arguments are those of `interleaved`, but workers start in the order that is given.

    Raises:
        WorkerDiedError: a worker died.
    """
    with _started(arms, core) as workers:
        return Block(
            list(_rounds(workers, groups, rounds, shuffle, core)),
            {name: worker.startup_s for name, worker in workers.items()},
            {name: worker.peak_bytes() for name, worker in workers.items()},
        )


def interleaved(
    arms: Sequence[WorkerSpec], groups: Groups, rounds: int, shuffle: random.Random, core: int | None
) -> Generator[Round]:
    """Start the workers, warm up, and yield the seconds of each probe, one round after the other.

    Args:
        arms: each a process of its own; they end when the caller takes no more.
        groups: what is called, each probe once a round.
        rounds: the most there are.
        shuffle: draws the orders.
        core: that all workers share; None leaves them all cores, and lets threads settle between two pipelines.

    Raises:
        WorkerDiedError: one died.
    """
    with _started(shuffle.sample(arms, len(arms)), core) as workers:
        yield from _rounds(workers, groups, rounds, shuffle, core)


@contextmanager
def _started(arms: Sequence[WorkerSpec], core: int | None) -> Iterator[dict[str, Worker]]:
    # side by side on one core, which they share fairly, starts meet the machine as it is just then, as calls do
    together = core is not None and queued_s() is not None
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for arm in arms:
            workers[arm.name] = stack.enter_context(Worker(arm, core))
            workers[arm.name].begin_opening()
            if not together:
                workers[arm.name].finish_opening()
        if together:
            for worker in workers.values():
                worker.finish_opening()
        yield workers


def _rounds(
    workers: Mapping[str, Worker], groups: Groups, rounds: int, shuffle: random.Random, core: int | None
) -> Iterator[Round]:
    for probe in _drawn(groups, shuffle):
        for _ in range(WARM_UP_CALLS):
            workers[probe.arm].call(probe)
    last = ("", "")
    for order in balanced_orders(groups, rounds, shuffle):
        seconds: dict[TimedCall, float] = {}
        for probe in order:
            if core is None and (probe.arm, probe.pipeline) != last:
                time.sleep(SETTLE_S)
            last = (probe.arm, probe.pipeline)
            seconds |= workers[probe.arm].call_in_parts(probe)
        yield seconds


def balanced_orders(groups: Groups, rounds: int, shuffle: random.Random) -> Iterator[list[TimedCall]]:
    """Yield an order for each round: groups and the probes of each shuffled, every second one the reverse of the last.

    So each probe stands as often before any other as behind it, over an even number of rounds.
    """
    order: list[TimedCall] = []
    for number in range(rounds):
        order = _drawn(groups, shuffle) if number % 2 == 0 else order[::-1]
        yield order


def _drawn(groups: Groups, shuffle: random.Random) -> list[TimedCall]:
    """Draw an order of the groups, and of the probes of each."""
    drawn = shuffle.sample(groups, len(groups))
    return [probe for group in drawn for probe in shuffle.sample(group, len(group))]


def log_ratios(measured: Sequence[Block], quotient: Callable[[Round], float]) -> list[float]:
    """Return the natural logarithm of a quotient of times, one a block."""
    return [block.log_ratio(quotient) for block in measured]
