"""What the processor offers to this process: cores and instruction sets."""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil

CGROUP_ROOT = Path("/sys/fs/cgroup")


def allowed_cores() -> int:
    """Return how many logical CPUs this process may use: its affinity, bounded by its cgroup's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    logical = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    quota = cgroup_cpu_quota()
    return logical if quota is None else max(1, min(logical, math.ceil(quota)))


def pinnable_core() -> int | None:
    """Return a core to pin processes to, the last that this one may use, or None where the system cannot pin."""
    affinity = getattr(os, "sched_getaffinity", None)
    # the first core takes most interrupts
    return max(affinity(0)) if affinity else None


def default_threads() -> int:
    """Return the physical cores this process may use, never less than one.

    Hyper-threads share their core's vector units, so one thread a physical core is the field's default.
    """
    logical = psutil.cpu_count(logical=True) or 1
    physical = psutil.cpu_count(logical=False) or logical
    share = physical / logical
    return max(1, math.ceil(allowed_cores() * share))


def cgroup_cpu_quota(root: Path = CGROUP_ROOT) -> float | None:
    """Return the cgroup's CPU limit in cores, or None where there is none (cgroup v2, then v1).

    Source: the kernel's documentation of `cpu.max` and of `cpu.cfs_quota_us`.
    """
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    return float(quota) / float(period)
