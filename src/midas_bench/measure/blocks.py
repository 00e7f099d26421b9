"""Ratios that hold: calls of several arms interleaved in blocks, each block with workers of its own.

Two runs of identical code differ by more than most changes do, and the raw rounds of one run cannot tell. So the block
is the unit: workers are started afresh, in shuffled order; their calls interleave, in an order that is shuffled and
balanced; all on one core, one at a time, the others asleep. A block yields one median a probe; blocks give intervals.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from midas_bench.cpu import pinnable_core
from midas_bench.processes import ProcessDiedError, last_words

WARM_UP_CALLS = 3
SETTLE_S = 0.1
"""An ONNX Runtime session with several threads leaves them spinning; by then they sleep. On one core there are none."""

OPEN_TIMEOUT_S = 600.0
"""Loading may have to make a graph first."""
CALL_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Arm:
    """A worker process and the pipelines it opens.

    Attributes:
        name: of the arm.
        pipelines: by name, `photos` (paths) and `config` (fields of `PipelineConfig`, resolved).
        environment: variables to set beside the inherited ones.
    """

    name: str
    pipelines: Mapping[str, Mapping[str, Any]]
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Probe:
    """What is timed: a call of a pipeline of an arm."""

    arm: str
    pipeline: str
    call: str = "pipeline"


Medians = dict[Probe, float]


class Worker:
    """The parent's end of one worker process."""

    def __init__(self, arm: Arm, core: int | None) -> None:
        self._arm = arm
        self._overdue = False
        # a file, because nobody reads a pipe while calls are made, and a full one would stop the worker
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            # -P: the folder of the script must not come before the libraries
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            env={**os.environ, **(arm.environment or {})},
        )
        self._core = core

    def open(self) -> None:
        """Load the arm's pipelines.

        Raises:
            ProcessDiedError: it could not.
        """
        self._ask({"open": self._arm.pipelines, "core": self._core}, OPEN_TIMEOUT_S)

    def call(self, probe: Probe) -> float:
        """Make one call and return its seconds.

        Raises:
            ProcessDiedError: the worker ended, or did not answer in time and was killed.
        """
        return float(self._ask({"pipeline": probe.pipeline, "call": probe.call}, CALL_TIMEOUT_S)["seconds"])

    def _ask(self, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Timer(timeout_s, self._give_up)  # a read from a pipe has no time-out of its own
        late.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            late.cancel()
        if not line:
            how = f"no answer within {timeout_s:g} s" if self._overdue else self._last_words()
            raise ProcessDiedError(f"arm {self._arm.name}: {how}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _give_up(self) -> None:
        self._overdue = True
        self._process.kill()

    def _last_words(self) -> str:
        self._process.wait()
        self._stderr.seek(0)
        return last_words(self._stderr.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._stderr.close()


def blocks(
    arms: Sequence[Arm], probes: Sequence[Probe], rounds: int, seed: int, pinned: bool = True
) -> Iterator[Medians]:
    """Yield one block after the other, for as long as the caller takes them: the median seconds of each probe.

    Args:
        arms: whose processes are started anew for every block.
        probes: what is called, each `rounds` times a block.
        rounds: each holds one call of every probe, in an order of its own.
        seed: of the shuffling.
        pinned: whether all workers share one core, as comparisons on one thread should.

    Raises:
        ProcessDiedError: a worker died.
    """
    shuffle = random.Random(seed)
    while True:
        yield _block(arms, probes, rounds, shuffle, pinnable_core() if pinned else None)


def _block(
    arms: Sequence[Arm], probes: Sequence[Probe], rounds: int, shuffle: random.Random, core: int | None
) -> Medians:
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for arm in shuffle.sample(arms, len(arms)):  # the arm that starts first was seen to be slower
            workers[arm.name] = stack.enter_context(Worker(arm, core))
            workers[arm.name].open()
        for probe in probes:
            for _ in range(WARM_UP_CALLS):
                workers[probe.arm].call(probe)
        seconds: dict[Probe, list[float]] = {probe: [] for probe in probes}
        last_arm = ""
        for order in balanced_orders(probes, rounds, shuffle):
            for probe in order:
                if core is None and probe.arm != last_arm:
                    time.sleep(SETTLE_S)
                last_arm = probe.arm
                seconds[probe].append(workers[probe.arm].call(probe))
    return {probe: float(np.median(values)) for probe, values in seconds.items()}


def balanced_orders(probes: Sequence[Probe], rounds: int, shuffle: random.Random) -> Iterator[list[Probe]]:
    """Yield an order for each round: shuffled, and every second one the reverse of the one before.

    So each probe stands as often before any other as behind it, over an even number of rounds.
    """
    order: list[Probe] = []
    for number in range(rounds):
        order = shuffle.sample(probes, len(probes)) if number % 2 == 0 else order[::-1]
        yield order


def log_ratios(medians: Sequence[Medians], quotient: Callable[[Medians], float]) -> list[float]:
    """Return the natural logarithm of a quotient of medians, one a block."""
    return [float(np.log(quotient(block))) for block in medians]
