"""What the processor offers to this process: cores and instruction sets."""

from __future__ import annotations

import math
import os
import re
from functools import cache
from pathlib import Path

import psutil

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
CPUINFO = Path("/proc/cpuinfo")

BF16 = frozenset({"avx512_bf16", "amx_bf16"})
"""Any of them multiplies bfloat16 in hardware; without one, bfloat16 is slower than float32."""
FP16 = frozenset({"asimdhp"})
"""ARM's instructions that multiply float16; x86's AVX512-FP16 is left alone by the runtimes that have such rows."""
VNNI = frozenset({"avx512_vnni", "avx512vnni", "avx_vnni", "amx_int8"})
"""Any of them sums products of 8-bit numbers in 32 bits; without one, x86 sums pairs in 16 bits and can overflow."""


def allowed_cores() -> int:
    """Return how many logical CPUs this process may use: its affinity, bounded by its cgroup's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    logical = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    quota = cgroup_cpu_quota()
    return logical if quota is None else max(1, min(logical, math.ceil(quota)))


def calls_side_by_side(threads: int, cores: int | None = None) -> int:
    """Return how many calls of so many threads the cores have room for at a time: all that this process may use."""
    return max(1, (cores or allowed_cores()) // threads)


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
    words = (kernel_text(folder / "cpu.max") or "").split()
    return _cores(*words) if len(words) == 2 else None


def _v1_quota(folder: Path) -> float | None:
    quota, period = (kernel_text(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
    return _cores(quota, period)


def _cores(quota: str, period: str) -> float | None:
    quota_us, period_us = positive_number(quota), positive_number(period)
    return quota_us / period_us if quota_us and period_us else None


def positive_number(text: str) -> int | None:
    """Return the number in a file of limits, or None where it holds no limit.

    The kernel writes decimal digits of at most 64 bits. "max", "-1", nothing, zero, and what other writers of such
    files invent are no limit.
    """
    return int(text) or None if re.fullmatch(r"[0-9]{1,20}", text) else None


def kernel_text(path: Path) -> str | None:
    """Return what a file of /proc or /sys holds, stripped; None where it cannot be read or holds nothing."""
    try:
        # names of cgroups and processes are bytes
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip() or None
    # a path with a null byte is a ValueError
    except (OSError, ValueError):
        return None


def cgroup_folders(controller: str, root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> list[Path]:
    """Return this process's cgroup and those around it, in which limits may stand: of a v1 controller, or "" for v2.

    In a container that is the root alone; elsewhere a unit or a slice has a limit of its own further down.
    Source: man 7 cgroups, on /proc/pid/cgroup.
    """
    lines = [line.split(":", 2) for line in (kernel_text(own) or "").splitlines()]
    rows = [line for line in lines if len(line) == 3]
    paths = [Path(path.lstrip("/")) for _, controllers, path in rows if controller in controllers.split(",")]
    # a path that leads upwards is outside of what this process sees
    inside = [path for path in paths if ".." not in path.parts]
    below = [part for path in inside for part in (path, *path.parents)]
    return list(dict.fromkeys(top / part for top in _mounts(controller, root) for part in (Path(), *below)))


def _mounts(controller: str, root: Path) -> list[Path]:
    """Return where a controller's cgroups are mounted: v1 mounts some together, as `cpu,cpuacct`."""
    if not controller:
        return [root]
    try:
        names = sorted(entry.name for entry in root.iterdir())
    except OSError:
        return []
    return [root / name for name in names if controller in name.split(",")]


@cache
def flags(path: Path = CPUINFO) -> frozenset[str]:
    """Return the first CPU's instruction-set flags as the kernel names them; empty where it names none.

    Read from Linux alone: asking the CPU itself takes py-cpuinfo a second, too long for opening a backend.
    """
    for line in (kernel_text(path) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, ARM
            return frozenset(value.split())
    return frozenset()
