"""Resident memory of a process: now, at its peak, and over time."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from midas_bench.cpu import kernel_text

PROC = Path("/proc")
KIB = 1024

SAMPLE_INTERVAL_S = 0.05
"""Coarse enough not to disturb: one sample reads one small file."""


def resident_bytes() -> int:
    """Return this process's resident set size."""
    return int(psutil.Process().memory_info().rss)


def peak_bytes(pid: int | None = None, proc: Path = PROC) -> int | None:
    """Return the highest resident set size a process ever had, or None where the system keeps no such mark.

    Linux: VmHWM. Never `ru_maxrss`, which a child can inherit from its parent. Elsewhere psutil's `peak_wset`
    (Windows); macOS keeps none, and the samples from outside must do.

    Args:
        pid: of the process; None for this one.
        proc: where the system shows its processes.
    """
    lines = (kernel_text(proc / str(pid or os.getpid()) / "status") or "").splitlines()
    # gVisor's status files have no such line
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * KIB
    peak = getattr(psutil.Process(pid).memory_info(), "peak_wset", None)
    return None if peak is None else int(peak)


class SharedMemory(NamedTuple):
    """Memory of processes whose shared pages are told apart.

    Attributes:
        pss_bytes: resident, with each shared page split among its users.
        uss_bytes: what would be free if they ended.
    """

    pss_bytes: int
    uss_bytes: int


def own_memory() -> SharedMemory | None:
    """Return this process's memory; None where the system does not tell shared pages apart."""
    return memory_of([psutil.Process()])


def memory_of(processes: Iterable[psutil.Process]) -> SharedMemory | None:
    """Return the memory of processes together, without those that have ended; None as `own_memory`."""
    memories = []
    for process in processes:
        with suppress(psutil.Error):
            memories.append(process.memory_full_info())
    # Linux alone has a pss
    if not memories or not hasattr(memories[0], "pss"):
        return None
    return SharedMemory(sum(int(each.pss) for each in memories), sum(int(each.uss) for each in memories))


@dataclass
class MemorySampler:
    """Sample a child's memory from outside, in a thread, until it ends.

    Attributes:
        t_s: seconds since the first sample.
        rss_bytes: its resident set size then.
    """

    t_s: list[float] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)
    _thread: threading.Thread | None = None

    def start(self, child: subprocess.Popen[str]) -> None:
        """Begin; the samples end when the child is gone."""
        self._thread = threading.Thread(target=self._sample, args=(child,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait for the last sample."""
        if self._thread is not None:
            self._thread.join()

    def _sample(self, child: subprocess.Popen[str]) -> None:
        start_s: float | None = None
        # a child that ended has no memory until somebody waits for it, and is no process afterwards
        with suppress(psutil.Error):
            process = psutil.Process(child.pid)
            while rss_bytes := int(process.memory_info().rss):
                now_s = time.perf_counter()
                start_s = now_s if start_s is None else start_s
                self.t_s.append(round(now_s - start_s, 3))
                self.rss_bytes.append(rss_bytes)
                time.sleep(SAMPLE_INTERVAL_S)
