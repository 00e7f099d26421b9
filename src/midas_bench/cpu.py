"""What the processor offers to this process: cores and instruction sets."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

import psutil

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
CPUINFO = Path("/proc/cpuinfo")

BF16 = frozenset({"avx512_bf16", "amx_bf16"})
"""Any of them multiplies bfloat16 in hardware; without one, bfloat16 is slower than float32."""
VNNI = frozenset({"avx512_vnni", "avx512vnni", "avx_vnni", "amx_int8"})
"""Any of them sums products of 8-bit numbers in 32 bits; without one, x86 sums pairs in 16 bits and can overflow."""


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


def cgroup_cpu_quota(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> float | None:
    """Return the CPU limit in cores, the least of this process's cgroup and those around it; None without any.

    Source: the kernel's documentation of `cpu.max` (cgroup v2) and of `cpu.cfs_quota_us` (v1).
    """
    v2 = [_v2_quota(folder) for folder in cgroup_folders("", root, own)]
    v1 = [_v1_quota(folder) for folder in cgroup_folders("cpu", root, own)]
    return min((quota for quota in (*v2, *v1) if quota is not None), default=None)


def _v2_quota(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else float(quota) / float(period)


def _v1_quota(folder: Path) -> float | None:
    try:
        quota = (folder / "cpu.cfs_quota_us").read_text().strip()
        period = (folder / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None
    return None if quota == "-1" else float(quota) / float(period)


def cgroup_folders(controller: str, root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> list[Path]:
    """Return this process's cgroup and those around it, in which limits may stand: of a v1 controller, or "" for v2.

    In a container that is the root alone; elsewhere a unit or a slice has a limit of its own further down.
    Source: man 7 cgroups, on /proc/pid/cgroup.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        lines = []
    paths = [Path(path.lstrip("/")) for _, controllers, path in lines if controller in controllers.split(",")]
    top = root / controller
    # a path that leads upwards is outside of what this process sees
    inside = [path for path in paths if ".." not in path.parts]
    return list(dict.fromkeys([top, *(top / part for path in inside for part in (path, *path.parents))]))


@cache
def flags(path: Path = CPUINFO) -> frozenset[str]:
    """Return the first CPU's instruction-set flags as the kernel names them; empty where it names none.

    Read from Linux alone: asking the CPU itself takes py-cpuinfo a second, too long for opening a backend.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, ARM
            return frozenset(value.split())
    return frozenset()
