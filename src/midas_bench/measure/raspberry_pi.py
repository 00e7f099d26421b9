"""What a Raspberry Pi's firmware says of its supply and its temperature."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

PROGRAM = "vcgencmd"
TIMEOUT_S = 5.0

BITS = {
    0: "the supply's voltage is too low",
    1: "the clock is capped",
    2: "the cores are throttled",
    3: "the soft temperature limit is active",
}
"""What each bit says of now; the same bit plus 16 says it of the time since the board was started.

Source: https://www.raspberrypi.com/documentation/computers/os.html, section get_throttled.
"""
SINCE_START = 16


@dataclass(frozen=True)
class Throttling:
    """What slows a Raspberry Pi down.

    Attributes:
        now: at this moment, of the texts of `BITS`.
        since_start: likewise, at some moment since the board was started.
    """

    now: tuple[str, ...]
    since_start: tuple[str, ...]


def throttling() -> Throttling | None:
    """Ask the firmware; None where the program is not there, or the firmware does not answer (in a container)."""
    program = shutil.which(PROGRAM)
    if not program:
        return None
    try:
        asked = subprocess.run([program, "get_throttled"], capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse(asked.stdout)


def parse(answer: str) -> Throttling | None:
    """Read an answer such as `throttled=0x50005`; None where it is no such answer."""
    match = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})", answer.strip())
    if not match:
        return None
    bits = int(match[1], 16)
    now = tuple(text for bit, text in BITS.items() if bits >> bit & 1)
    since_start = tuple(text for bit, text in BITS.items() if bits >> (bit + SINCE_START) & 1)
    return Throttling(now, since_start)
