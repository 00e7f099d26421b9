"""ARM machines as their kernels describe them: trees of the files of /proc and /sys that are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

A72_FLAGS = "fp asimd evtstrm crc32 cpuid"
A76_FLAGS = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
V1_FLAGS = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 "
    "sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs paca pacg dcpodp svei8mm svebf16 i8mm bf16 dgh rng"
)


@dataclass(frozen=True)
class Core:
    """One core.

    Attributes:
        part: the kernel's number of its design.
        max_khz: of the hardware, or None where the kernel shows no clock rates.
        capacity: or None where the kernel gives none.
        limit_khz: or None for `max_khz`.
    """

    part: str
    max_khz: int | None = None
    capacity: int | None = None
    limit_khz: int | None = None


@dataclass(frozen=True)
class ArmMachine:
    """One machine."""

    flags: str
    cores: tuple[Core, ...]
    board: str | None = None
    governor: str = "ondemand"

    @property
    def cpuinfo(self) -> str:
        """The text of /proc/cpuinfo; a board adds a paragraph about itself."""
        paragraphs = [
            f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {self.flags}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: {core.part}\nCPU revision\t: 1\n"
            for number, core in enumerate(self.cores)
        ]
        own = [f"Revision\t: d04170\nSerial\t\t: 0123456789abcdef\nModel\t\t: {self.board}\n"] if self.board else []
        return "\n".join([*paragraphs, *own])

    def write(self, root: Path) -> Path:
        """Write its files below `root`, which stands for `/`; return `root`."""
        files = {"proc/cpuinfo": self.cpuinfo}
        if self.board:
            files["proc/device-tree/model"] = f"{self.board}\0"
        for number, core in enumerate(self.cores):
            of_core = f"sys/devices/system/cpu/cpu{number}"
            if core.capacity:
                files[f"{of_core}/cpu_capacity"] = f"{core.capacity}\n"
            if core.max_khz:
                limit = core.limit_khz or core.max_khz
                files[f"{of_core}/cpufreq/cpuinfo_max_freq"] = f"{core.max_khz}\n"
                files[f"{of_core}/cpufreq/scaling_max_freq"] = f"{limit}\n"
                files[f"{of_core}/cpufreq/scaling_cur_freq"] = f"{limit - 600_000 + 100_000 * number}\n"
                files[f"{of_core}/cpufreq/scaling_governor"] = f"{self.governor}\n"
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return root


PI_4 = ArmMachine(A72_FLAGS, (Core("0xd08", 1_800_000),) * 4, "Raspberry Pi 4 Model B Rev 1.4")
PI_5 = ArmMachine(A76_FLAGS, (Core("0xd0b", 2_400_000),) * 4, "Raspberry Pi 5 Model B Rev 1.0")
RK3588 = ArmMachine(
    A76_FLAGS,
    (
        *(Core("0xd05", 1_800_000, 530),) * 4,
        *(Core("0xd0b", 2_400_000, 1024),) * 4,
    ),
    "Radxa ROCK 5B",
    "schedutil",
)
GRAVITON_3 = ArmMachine(V1_FLAGS, (Core("0xd40"),) * 4)
