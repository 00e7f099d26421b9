"""Was the machine disturbed while a cell ran? A fixed piece of work and the kernel's counters show it.

The verdict never looks at the cell's own result: a rule that threw away slow results would make any machine look
quiet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import psutil
from threadpoolctl import ThreadpoolController

MATRIX = 512
COPY_BYTES = 32 * 1024 * 1024
REPEATS = 3

IDLE_S = 0.1
"""Beside a live ONNX Runtime session, whose threads spin for a while, a matrix product took twice its time."""

MATRIX_LIMIT = 1.25
COPY_LIMIT = 2.0
"""Against the run's best. 60 readings on an idle two-core virtual machine stayed below 1.1 and 1.7. A copy swings more
than arithmetic, because a host shares its memory bandwidth among its guests."""
SECOND_LOOKS = 2
SECOND_LOOK_AFTER_S = 0.1
"""A reading over a limit is taken again after a pause. A reading takes milliseconds between two cells: a disturbance
that is over by then says nothing about the seconds of a cell. In a run on an idle machine one copy in twenty was such a
glitch, and each marked the cells before and after it."""
STEAL_LIMIT = 0.02
"""Of one core: CPU seconds that the hypervisor gave to others, summed over all cores, per second of wall time."""
OTHERS_LIMIT = 0.10
"""Of one core, used by other processes while the cell ran."""


@dataclass(frozen=True)
class Reading:
    """One moment between two cells.

    Attributes:
        matrix_s: a float32 matrix product of `MATRIX` squared, on one thread: the best of `REPEATS`.
        copy_s: a copy of `COPY_BYTES`, likewise.
        at_s: monotonic seconds.
        busy_s: CPU seconds used on the whole machine since it started.
        own_s: CPU seconds used by this process and its children, those that still run included.
        steal_s: CPU seconds that the hypervisor gave to others.
    """

    matrix_s: float
    copy_s: float
    at_s: float
    busy_s: float
    own_s: float
    steal_s: float


@dataclass(frozen=True)
class Best:
    """The shortest times that a run has seen for the two pieces of work, in seconds."""

    matrix_s: float = float("inf")
    copy_s: float = float("inf")


class NoiseProbe:
    """Take readings, and keep the best as what an undisturbed machine does."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._matrix = np.ones((MATRIX, MATRIX), np.float32)
        self._source = np.ones(COPY_BYTES, np.uint8)
        self._target = np.empty_like(self._source)
        self._blas = ThreadpoolController()
        self.best = Best()

    def read(self, idle_s: float = 0.0) -> Reading:
        """Wait for spinning threads to sleep, do the fixed work on one thread, and read the counters."""
        time.sleep(idle_s)
        matrix_s, copy_s = self._work()
        for _ in range(SECOND_LOOKS):
            if matrix_s <= MATRIX_LIMIT * self.best.matrix_s and copy_s <= COPY_LIMIT * self.best.copy_s:
                break
            time.sleep(SECOND_LOOK_AFTER_S)
            again_s = self._work()
            matrix_s, copy_s = min(matrix_s, again_s[0]), min(copy_s, again_s[1])
        return Reading(matrix_s, copy_s, **_counters())

    def _work(self) -> tuple[float, float]:
        """Do both pieces of work, and return their seconds."""
        with self._blas.limit(limits=1, user_api="blas"):
            matrix_s = self._best_s(lambda: self._matrix @ self._matrix)
        copy_s = self._best_s(lambda: np.copyto(self._target, self._source))
        self.best = Best(min(self.best.matrix_s, matrix_s), min(self.best.copy_s, copy_s))
        return matrix_s, copy_s

    def _best_s(self, work: Callable[[], object]) -> float:
        spans_s = []
        for _ in range(REPEATS):
            start_s = self._clock()
            work()
            spans_s.append(self._clock() - start_s)
        return min(spans_s)


def _counters() -> dict[str, float]:
    whole = psutil.cpu_times()
    # guest time is counted in user time already
    idle = sum(getattr(whole, name, 0.0) for name in ("idle", "iowait", "steal", "guest", "guest_nice"))
    return {
        "at_s": time.monotonic(),
        "busy_s": sum(whole) - idle,
        "own_s": _own_s(),
        "steal_s": getattr(whole, "steal", 0.0),
    }


def _own_s() -> float:
    """Return the CPU seconds of this process and its descendants, which disturb nothing: a server, for example."""
    this = psutil.Process()
    total_s = 0.0
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total_s += used.user + used.system + used.children_user + used.children_system
    return total_s


def own_disturbance() -> tuple[int, int]:
    """Return this process's involuntary context switches and its page faults so far."""
    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process().num_ctx_switches().involuntary, 0
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nivcsw, usage.ru_minflt + usage.ru_majflt


@dataclass(frozen=True)
class NoiseReading:
    """What disturbed one cell, or several of them together.

    Attributes:
        matrix_ratio: the slower of the matrix products around the cell over the run's best.
        copy_ratio: likewise for the memory copies.
        steal_fraction: stolen CPU seconds per second of wall time.
        others_fraction: other processes' CPU seconds per second of wall time, so 1.0 is one core.
    """

    matrix_ratio: float
    copy_ratio: float
    steal_fraction: float
    others_fraction: float

    @property
    def reasons(self) -> list[str]:
        """What is beyond the limits of this module, in words; empty where it was quiet."""
        reasons = []
        if self.matrix_ratio > MATRIX_LIMIT:
            reasons.append(f"a fixed matrix product took {self.matrix_ratio:.1f} times its best")
        if self.copy_ratio > COPY_LIMIT:
            reasons.append(f"a fixed memory copy took {self.copy_ratio:.1f} times its best")
        if self.steal_fraction > STEAL_LIMIT:
            reasons.append(f"the hypervisor took {self.steal_fraction:.0%} of a core")
        if self.others_fraction > OTHERS_LIMIT:
            reasons.append(f"other processes used {self.others_fraction:.0%} of a core")
        return reasons

    @property
    def noisy(self) -> bool:
        """Whether anything disturbed the cell."""
        return bool(self.reasons)

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, the verdict included."""
        return {"noisy": self.noisy, "reasons": self.reasons, **asdict(self)}


def combined(noises: Sequence[NoiseReading]) -> NoiseReading:
    """Join what disturbed the intervals that one result stands on: the worst of each figure."""
    return NoiseReading(
        max(noise.matrix_ratio for noise in noises),
        max(noise.copy_ratio for noise in noises),
        max(noise.steal_fraction for noise in noises),
        max(noise.others_fraction for noise in noises),
    )


def judge(before: Reading, after: Reading, best: Best) -> NoiseReading:
    """Compare the readings around a cell with the run's best."""
    wall_s = max(after.at_s - before.at_s, 1e-9)
    return NoiseReading(
        max(before.matrix_s, after.matrix_s) / best.matrix_s,
        max(before.copy_s, after.copy_s) / best.copy_s,
        max(0.0, after.steal_s - before.steal_s) / wall_s,
        max(0.0, (after.busy_s - before.busy_s) - (after.own_s - before.own_s)) / wall_s,
    )
