"""The machine as it is: stable facts, a fingerprint for its kind, and its present condition."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cpuinfo
import psutil

from midas_bench import allocator
from midas_bench.cores import Clock, CoreKind, allowed_kinds, arm_kinds, board, clock, usable_cores
from midas_bench.cpu import (
    CGROUP_ROOT,
    OWN_CGROUP,
    allowed_cores,
    cgroup_cpu_quota,
    cgroup_folders,
    kernel_text,
    positive_number,
)
from midas_bench.depth.artifacts import library_versions
from midas_bench.measure.raspberry_pi import Throttling, throttling

LIBRARIES = (
    "midas-bench",
    "torch",
    "torchvision",
    "timm",
    "onnxruntime",
    "onnx",
    "openvino",
    "nncf",
    "ncnn",
    "pnnx",
    "MNN",
    "ai-edge-litert",
    "litert-torch",
    "mlcommons-loadgen",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pytest-benchmark",
)

ISA_FLAGS = {
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_tile": "AMX",
    "amx_bf16": "AMX BF16",
    "amx_int8": "AMX int8",
    "asimd": "NEON",
    "asimdhp": "NEON FP16",
    "asimddp": "NEON dot product",
    "i8mm": "int8 matrix multiply",
    "bf16": "NEON BF16",
    "sve": "SVE",
    "sve2": "SVE2",
    "sme": "SME",
    "sme2": "SME2",
}
"""The kernel's (or py-cpuinfo's) names of what the runtimes choose their kernels by.

Source for ARM: the kernel's documentation, "ARM64 ELF hwcaps".
"""

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX", *allocator.OWN_VARIABLES)
NO_LIMIT_BYTES = 1 << 60
"""cgroup v1 says "unlimited" with a number near 2**63."""

SYS_CPU = Path("/sys/devices/system/cpu")

HUNGRY_CORES = 0.05
"""A process that uses less than this does not disturb a measurement by itself."""


@dataclass(frozen=True)
class MachineFacts:
    """Facts that stay the same between runs, so that a difference means a different machine or set-up.

    Attributes:
        fingerprint: 12 hexadecimal digits, equal for machines of the same kind; libraries do not count.
        cpu_model: as the system names it.
        isa: instruction sets that matter for inference.
        physical_cores: of the machine.
        logical_cores: likewise.
        allowed_cores: that this process may use (affinity and cgroup).
        cpu_quota: cgroup limit in cores, or None.
        memory_bytes: of the machine.
        memory_limit_bytes: cgroup limit, or None.
        governor: of the first core, or None where it cannot be seen.
        turbo: whether it is enabled, or None where it cannot be seen.
        virtualised: whether a hypervisor is present, or None where it cannot be seen.
        system: operating system and architecture.
        versions: of the libraries that the numbers depend on.
        environment: variables that change threads or memory allocation, where set; and those that the suite sets for
            processes it starts, as `NAME (started processes)`.
        board: as its firmware names it, or None where there is no such name.
        core_kinds: of an ARM processor's cores, the fastest first; empty elsewhere.
        usable_kinds: likewise, of the cores that this process may use, and with no others.
    """

    fingerprint: str
    cpu_model: str
    isa: tuple[str, ...]
    physical_cores: int
    logical_cores: int
    allowed_cores: int
    cpu_quota: float | None
    memory_bytes: int
    memory_limit_bytes: int | None
    governor: str | None
    turbo: bool | None
    virtualised: bool | None
    system: str
    versions: dict[str, str]
    environment: dict[str, str]
    board: str | None = None
    core_kinds: tuple[CoreKind, ...] = ()
    usable_kinds: tuple[CoreKind, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        return asdict(self)


def inspect() -> MachineFacts:
    """Find out what machine this is."""
    cpu = cpuinfo.get_cpu_info()
    flags = set(cpu.get("flags", ()))
    kinds = arm_kinds()
    # the system often names an ARM processor by its architecture alone
    arm_name = " + ".join(dict.fromkeys(kind.name for kind in kinds))
    facts: dict[str, Any] = {
        "cpu_model": arm_name or cpu.get("brand_raw") or platform.processor() or "unknown",
        "isa": tuple(dict.fromkeys(label for flag, label in ISA_FLAGS.items() if flag in flags)),
        "physical_cores": psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        "logical_cores": psutil.cpu_count() or 1,
        "allowed_cores": allowed_cores(),
        "cpu_quota": cgroup_cpu_quota(),
        "memory_bytes": psutil.virtual_memory().total,
        "memory_limit_bytes": cgroup_memory_limit(),
        "virtualised": ("hypervisor" in flags) if flags and platform.machine() in ("x86_64", "AMD64") else None,
        "system": f"{platform.system()} {platform.machine()}",
    }
    of_arm: dict[str, Any] = {
        "board": board(),
        "core_kinds": kinds,
        "usable_kinds": allowed_kinds(kinds, usable_cores()),
    }
    # memory differs by a few pages between machines of one kind; what a machine has none of changes no fingerprint
    kind = facts | {"memory_bytes": round(facts["memory_bytes"] / 2**30)} | _given(of_arm)
    return MachineFacts(
        fingerprint=hashlib.sha256(json.dumps(kind, sort_keys=True).encode()).hexdigest()[:12],
        governor=kernel_text(SYS_CPU / "cpu0/cpufreq/scaling_governor"),
        turbo=_turbo(),
        versions=library_versions(LIBRARIES) | {"python": platform.python_version()},
        environment=_environment(os.environ),
        **facts,
        **of_arm,
    )


def _given(facts: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in facts.items() if value}


def cgroup_memory_limit(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> int | None:
    """Return the memory limit in bytes, the least of this process's cgroup and those around it; None without any."""
    texts = [kernel_text(folder / "memory.max") for folder in cgroup_folders("", root, own)]
    texts += [kernel_text(folder / "memory.limit_in_bytes") for folder in cgroup_folders("memory", root, own)]
    limits = [limit for text in texts if text and (limit := positive_number(text))]
    return min((limit for limit in limits if limit < NO_LIMIT_BYTES), default=None)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    added = {f"{name} (started processes)": value for name, value in allocator.settings(variables).items()}
    if added:
        kept = (f"{name}={value}" for name, (_, value) in allocator.MALLOPT.items())
        added["mallopt (pytest's process)"] = " ".join(kept)
    return {name: variables[name] for name in VARIABLES if name in variables} | added


def _turbo() -> bool | None:
    for path, enabled in (("intel_pstate/no_turbo", "0"), ("cpufreq/boost", "1")):
        text = kernel_text(SYS_CPU / path)
        if text in ("0", "1"):
            return text == enabled
    return None


@dataclass(frozen=True)
class Condition:
    """How busy the machine is now; it changes by the second, and is kept apart from the stable facts.

    Attributes:
        load_average: over 1, 5 and 15 minutes.
        busy_cores: cores' worth of CPU time that all processes used while looking.
        steal_fraction: CPU seconds that the hypervisor gave to others per second of wall time, so 1.0 is one core.
        available_bytes: memory that is available without swapping.
        swap_used_bytes: in use.
        on_battery: or None without a battery.
        hungry: the busiest other processes that this process can see: name with process ID, and cores' worth.
        clock: rates of the cores that this process may use, or None where the kernel shows none.
        throttling: what a Raspberry Pi's firmware says, or None elsewhere.
    """

    load_average: tuple[float, float, float]
    busy_cores: float
    steal_fraction: float
    available_bytes: int
    swap_used_bytes: int
    on_battery: bool | None
    hungry: tuple[tuple[str, float], ...] = ()
    clock: Clock | None = None
    throttling: Throttling | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        return asdict(self)


def condition(look_s: float = 1.0) -> Condition:
    """Look at the machine for `look_s` seconds."""
    others = [process for process in psutil.process_iter(["name"]) if process.pid != os.getpid()]
    for process in others:
        _cpu_percent(process)  # starts each one's count
    before = psutil.cpu_times()
    psutil.cpu_percent()
    percent = psutil.cpu_percent(interval=look_s)
    after = psutil.cpu_times()
    used = sorted(((_cpu_percent(process) / 100, _named(process)) for process in others), reverse=True)
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    cores = psutil.cpu_count() or 1
    return Condition(
        load_average=psutil.getloadavg(),
        busy_cores=percent / 100 * cores,
        steal_fraction=(getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)) / look_s,
        available_bytes=psutil.virtual_memory().available,
        swap_used_bytes=psutil.swap_memory().used,
        on_battery=None if battery is None else not battery.power_plugged,
        hungry=tuple((name, cores_used) for cores_used, name in used[:3] if cores_used >= HUNGRY_CORES),
        clock=clock(usable_cores()),
        throttling=throttling(),
    )


def _named(process: psutil.Process) -> str:
    return f"{process.info['name'] or 'process'} (PID {process.pid})"


def _cpu_percent(process: psutil.Process) -> float:
    try:
        return float(process.cpu_percent())
    # the process ended meanwhile, or another user owns it
    except psutil.Error:
        return 0.0
