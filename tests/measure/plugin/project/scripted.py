"""What the tests script: a clock, the noise probe's readings, and a record of what was called and when."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

TICK_S = 2.0**-30
"""Each reading moves the clock by so much: pytest-benchmark waits for a clock that stands."""

held = False
"""Whether calls wait: for a signal that ends the run, or for a file called `release` beside it."""

_now_s = 0.0


def now() -> float:
    """Read the scripted clock, as `--benchmark-timer=scripted.now`."""
    global _now_s
    _now_s += TICK_S
    return _now_s


def advance(seconds: float) -> None:
    global _now_s
    _now_s += seconds


def sleep(seconds: float) -> None:
    """Take so long by either clock; the tests of the scripted one set FAKE_CLOCK."""
    if "FAKE_CLOCK" in os.environ:
        advance(seconds)
    else:
        time.sleep(seconds)


def hold() -> None:
    """Wait where calls are held."""
    if held:
        note("held")
    while held and not Path("release").exists():
        time.sleep(0.01)


def note(event: str) -> None:
    """Append to the file that FAKE_EVENTS names, if it does."""
    if "FAKE_EVENTS" in os.environ:
        with Path(os.environ["FAKE_EVENTS"]).open("a") as file:
            file.write(event + "\n")


def script(name: str, default: list[float]) -> list[float]:
    """Read a list of numbers from the environment, as JSON."""
    return json.loads(os.environ[name]) if name in os.environ else default
