"""What will spoil a measurement on this machine now, in plain words, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from midas_bench import allocator
from midas_bench.cores import core_list
from midas_bench.errors import printable
from midas_bench.measure.machine import Condition, MachineFacts
from midas_bench.measure.noise_probe import STEAL_LIMIT

BUSY_CORES_LIMIT = 0.15
NEEDED_BYTES = 2 * 2**30
"""The eager backend at batch 4 and pytest together stay below this."""
SWAP_LIMIT_BYTES = 64 * 2**20

UNSEEN = "by no single process that is visible here: short-lived ones, or other containers of this host"


@dataclass(frozen=True)
class MachineFinding:
    """One thing that will spoil a measurement.

    Attributes:
        what: is the case.
        effect: on the numbers.
        remedy: what the user can do.
    """

    what: str
    effect: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.effect}; {self.remedy}"


def examine(machine: MachineFacts, now: Condition) -> list[MachineFinding]:
    """Return what will spoil a measurement, the worst first."""
    return [
        *_busy(now),
        *_stolen(now),
        *_power(machine, now),
        *_throttled(machine, now),
        *_unequal(machine),
        *_memory(machine, now),
        *_cores(machine),
    ]


def advise(environment: Mapping[str, str]) -> list[MachineFinding]:
    """Return what would make this process faster, and spoils no measurement if it is left as it is."""
    wanted = " ".join(f"{name}={value}" for name, value in allocator.settings(environment).items())
    if not wanted:
        return []
    effect = (
        "PyTorch's eager mode pays for it with thousands of page faults per call, a tenth of its time where measured"
    )
    return [MachineFinding("the C library's allocator works by its defaults", effect, f"start with {wanted}")]


def _busy(now: Condition) -> Iterator[MachineFinding]:
    if now.busy_cores > BUSY_CORES_LIMIT:
        processes = ", ".join(f"{printable(name)} {cores:.1f}" for name, cores in now.hungry)
        yield MachineFinding(
            f"other work uses {now.busy_cores:.1f} cores ({processes or UNSEEN})",
            "calls wait for a core, and figures for two threads suffer most",
            "end these processes or wait for them" if processes else "wait, or look on the host with top",
        )
    elif now.load_average[0] > 1:
        yield MachineFinding(
            f"the load average is {now.load_average[0]:.1f}",
            "something was busy a moment ago and may come back",
            "wait a minute and look again",
        )


def _stolen(now: Condition) -> Iterator[MachineFinding]:
    if now.steal_fraction > STEAL_LIMIT:
        yield MachineFinding(
            f"the hypervisor takes {now.steal_fraction:.0%} of a core",
            "a neighbour's load shows in your figures",
            "measure at another time, or on a machine of its own",
        )


def _power(machine: MachineFacts, now: Condition) -> Iterator[MachineFinding]:
    if now.on_battery:
        yield MachineFinding("the machine runs on battery", "the clock rate changes with the charge", "plug it in")
    if machine.governor not in (None, "performance"):
        yield MachineFinding(
            f"the frequency governor is {machine.governor!r}",
            "the clock rate rises and falls with the load",
            "cpupower frequency-set -g performance",
        )


def _throttled(machine: MachineFacts, now: Condition) -> Iterator[MachineFinding]:
    firmware = now.throttling
    if firmware and firmware.now:
        yield MachineFinding(
            f"the board's firmware says that {' and that '.join(firmware.now)}",
            "it runs slower than it can, by an amount that changes",
            "cool it, take the supply that is made for it, and wait until doctor no longer says so",
        )
    elif firmware and firmware.since_start:
        yield MachineFinding(
            f"since the board was started, its firmware has said that {' and that '.join(firmware.since_start)}",
            "a load of minutes will bring it back",
            "cool the board or take the supply that is made for it, then restart it to clear this",
        )
    # elsewhere many lower the limit on purpose, for steady figures; and the firmware tells more
    elif machine.core_kinds and now.clock and now.clock.is_capped:
        yield MachineFinding(
            f"the clock is capped at {now.clock.limit_mhz} of {now.clock.max_mhz} MHz",
            "the cores are hot, or a setting slows them",
            "cool the board, or look at scaling_max_freq in /sys/devices/system/cpu/cpu0/cpufreq",
        )


def _unequal(machine: MachineFacts) -> Iterator[MachineFinding]:
    kinds = machine.usable_kinds
    if len(kinds) > 1:
        yield MachineFinding(
            f"this process may use cores of unequal kind: {'; '.join(map(str, kinds))}",
            "a run may move between them, and threads on fast cores wait for those on slow ones",
            f"start with taskset -c {core_list(kinds[0].cores)}, and measure the other kind in a run of its own",
        )


def _memory(machine: MachineFacts, now: Condition) -> Iterator[MachineFinding]:
    available = min(now.available_bytes, machine.memory_limit_bytes or now.available_bytes)
    if available < NEEDED_BYTES:
        yield MachineFinding(
            f"only {available / 2**30:.1f} GiB of memory is available",
            "eager at batch 4 may swap or be killed",
            "end other programs, or leave cells out with -k",
        )
    if now.swap_used_bytes > SWAP_LIMIT_BYTES:
        yield MachineFinding(
            f"{now.swap_used_bytes / 2**30:.1f} GiB are swapped out",
            "a call may wait for the disk",
            "end other programs, then swapoff -a && swapon -a",
        )


def _cores(machine: MachineFacts) -> Iterator[MachineFinding]:
    if machine.allowed_cores < 2:
        yield MachineFinding(
            "this process may use one core",
            "pytest itself and the kernel take their share from the same one",
            "allow two cores (taskset, or the container's CPU limit)",
        )
    elif machine.cpu_quota is not None and machine.cpu_quota < machine.logical_cores:
        yield MachineFinding(
            f"a quota allows {machine.cpu_quota:g} of {machine.logical_cores} cores",
            "the kernel stops the process for milliseconds when it is used up",
            f"use --threads {max(1, int(machine.cpu_quota))} or fewer, or pin whole cores instead",
        )
