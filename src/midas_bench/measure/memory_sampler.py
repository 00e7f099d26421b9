"""Resident memory of a process: now, at its peak, and over time."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from midas_bench.cpu import kernel_text

PROC = Path("/proc")
KIB = 1024
MIB = 1024 * 1024

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
        """Begin; memory-profiler does the sampling and stops when the child is gone."""
        self._thread = threading.Thread(target=self._sample, args=(child,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait for the last sample."""
        if self._thread is not None:
            self._thread.join()

    def _sample(self, child: subprocess.Popen[str]) -> None:
        # the [test] extra brings it, and nothing else here needs it
        from memory_profiler import memory_usage

        samples: list[tuple[float, float]] = []
        with suppress(psutil.Error):  # gone between two samples
            samples = memory_usage(child, interval=SAMPLE_INTERVAL_S, timestamps=True)
        alive = [(mib, at_s) for mib, at_s in samples if mib > 0]
        self.t_s = [round(at_s - alive[0][1], 3) for _, at_s in alive]
        self.rss_bytes = [round(mib * MIB) for mib, _ in alive]
