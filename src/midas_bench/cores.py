"""The processor's cores: their names on ARM, their kinds where they are unequal, and their clock rates.

x86 names itself in `/proc/cpuinfo`. ARM gives two numbers there, of who designed a core and of which design it is.
Boards with fast and slow cores (big.LITTLE) tell them apart by those numbers, and by the kernel's `cpu_capacity`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from midas_bench.cpu import kernel_text, positive_number

ROOT = Path("/")
CPUS = "sys/devices/system/cpu"

ARM_PARTS = {
    "0x41": {
        "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57",
        "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76",
        "0xd0c": "Neoverse-N1", "0xd0d": "Cortex-A77", "0xd40": "Neoverse-V1", "0xd41": "Cortex-A78",
        "0xd44": "Cortex-X1", "0xd46": "Cortex-A510", "0xd47": "Cortex-A710", "0xd48": "Cortex-X2",
        "0xd49": "Neoverse-N2", "0xd4a": "Neoverse-E1", "0xd4b": "Cortex-A78C", "0xd4d": "Cortex-A715",
        "0xd4e": "Cortex-X3", "0xd4f": "Neoverse-V2", "0xd80": "Cortex-A520", "0xd81": "Cortex-A720",
        "0xd82": "Cortex-X4", "0xd84": "Neoverse-V3", "0xd85": "Cortex-X925", "0xd87": "Cortex-A725",
        "0xd8e": "Neoverse-N3",
    },
    "0x48": {"0xd01": "Kunpeng-920"},
    "0x4e": {"0x004": "Carmel"},
    "0x61": {"0x022": "Icestorm-M1", "0x023": "Firestorm-M1", "0x032": "Blizzard-M2", "0x033": "Avalanche-M2"},
    "0xc0": {"0xac3": "Ampere-1", "0xac4": "Ampere-1a"},
}  # fmt: skip
"""Names of 64-bit cores by `CPU implementer` and `CPU part`, as util-linux's `lscpu` gives them (lscpu-arm.c)."""


@dataclass(frozen=True)
class CoreKind:
    """The cores of one kind.

    Attributes:
        name: such as Cortex-A76; the two numbers where the name is not known.
        cores: their numbers, as the kernel and `taskset` count them.
        max_mhz: the highest clock rate of the hardware, or None where it cannot be seen.
        capacity: speed that the kernel's scheduler expects, 1024 for the fastest core; None where it says nothing.
    """

    name: str
    cores: tuple[int, ...]
    max_mhz: int | None = None
    capacity: int | None = None

    def __str__(self) -> str:
        clock = f", up to {self.max_mhz} MHz" if self.max_mhz else ""
        return f"{len(self.cores)} {self.name} ({core_list(self.cores)}{clock})"


def arm_kinds(root: Path = ROOT) -> tuple[CoreKind, ...]:
    """Return the kinds of an ARM processor's cores, the fastest first; nothing where cores give no ARM numbers.

    Cores are of one kind if design, capacity and highest clock rate are the same.
    """
    groups: dict[tuple[str, int | None, int | None], list[int]] = {}
    for core, facts in _core_facts(root).items():
        implementer, part = facts.get("CPU implementer"), facts.get("CPU part")
        if not implementer or not part:
            return ()
        name = ARM_PARTS.get(implementer, {}).get(part) or f"ARM core {implementer}/{part}"
        kind = (name, _mhz(root, core, "cpuinfo_max_freq"), _number(root / CPUS / f"cpu{core}/cpu_capacity"))
        groups.setdefault(kind, []).append(core)
    kinds = [CoreKind(name, tuple(cores), mhz, capacity) for (name, mhz, capacity), cores in groups.items()]
    return tuple(sorted(kinds, key=lambda kind: (-(kind.capacity or 0), -(kind.max_mhz or 0), kind.cores)))


def _core_facts(root: Path) -> dict[int, dict[str, str]]:
    """Read the paragraphs of /proc/cpuinfo, by the core's number."""
    cores: dict[int, dict[str, str]] = {}
    facts: dict[str, str] = {}
    for line in (kernel_text(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        if name == "processor" and value.isdecimal():
            facts = cores.setdefault(int(value), {})
        elif name:
            facts[name] = value
    return cores


def board(root: Path = ROOT) -> str | None:
    """Return the board's name where the firmware gives one, such as `Raspberry Pi 5 Model B Rev 1.0`."""
    text = kernel_text(root / "proc/device-tree/model")
    # the device tree ends texts with a null byte
    return (text or "").strip("\0").strip() or None


def allowed_kinds(kinds: Collection[CoreKind], allowed: Collection[int]) -> tuple[CoreKind, ...]:
    """Return the kinds of which a process may use a core, each with only those cores."""
    kept = ((kind, tuple(core for core in kind.cores if core in allowed)) for kind in kinds)
    return tuple(CoreKind(kind.name, cores, kind.max_mhz, kind.capacity) for kind, cores in kept if cores)


def usable_cores() -> frozenset[int]:
    """Return the numbers of the cores that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return frozenset(affinity(0) if affinity else range(os.cpu_count() or 1))


def core_list(cores: Collection[int]) -> str:
    """Write numbers of cores as `taskset -c` takes them, such as `0-3,6`."""
    runs: list[list[int]] = []
    for core in sorted(cores):
        if runs and core == runs[-1][-1] + 1:
            runs[-1].append(core)
        else:
            runs.append([core])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


@dataclass(frozen=True)
class Clock:
    """Clock rates of the cores that a process may use; of several cores the lowest, for a run waits for the slowest.

    Attributes:
        now_mhz: the rate at this moment.
        limit_mhz: the highest that the kernel allows at this moment: less than `max_mhz` where it is hot, or a setting.
        max_mhz: the highest of the hardware, of the core that is limited most.
        governors: by which the kernel chooses the rate; each once.
    """

    now_mhz: int
    limit_mhz: int
    max_mhz: int
    governors: tuple[str, ...]

    @property
    def is_capped(self) -> bool:
        """Whether a core may not run as fast as its hardware can."""
        return self.limit_mhz < self.max_mhz


def clock(cores: Collection[int], root: Path = ROOT) -> Clock | None:
    """Return the cores' clock rates, or None where the kernel shows none of them.

    Source: the kernel's documentation of CPUFreq, section "Policy Interface in sysfs".
    """
    rates = []
    governors: Mapping[str, None] = {}
    for core in sorted(cores):
        names = ("scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq")
        now, limit, most = (_mhz(root, core, name) for name in names)
        if now and limit and most:
            rates.append((limit / most, now, limit, most))
            governor = kernel_text(root / CPUS / f"cpu{core}/cpufreq/scaling_governor")
            governors = {**governors, **({governor: None} if governor else {})}
    if not rates:
        return None
    _, _, limit, most = min(rates)
    return Clock(min(now for _, now, _, _ in rates), limit, most, tuple(governors))


def _mhz(root: Path, core: int, name: str) -> int | None:
    khz = _number(root / CPUS / f"cpu{core}/cpufreq/{name}")
    return round(khz / 1000) if khz else None


def _number(path: Path) -> int | None:
    return positive_number(kernel_text(path) or "")
