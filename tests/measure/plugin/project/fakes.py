"""A plugin that fakes what takes long or cannot be foreseen; the rest of the project is the real thing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import fake_backend
import numpy as np
import pytest
import scripted

from midas_bench import files
from midas_bench.depth.backends.registry import REGISTRY, Row
from midas_bench.measure import machine, reference
from midas_bench.measure.first_look import FirstLook
from midas_bench.measure.machine import Condition, MachineFacts
from midas_bench.measure.noise_probe import Best, Reading

for name in ("fake", "other"):
    REGISTRY[name] = Row(name, "fake_backend", "", ("json",), exact="FAKE_REFERENCE" in os.environ)


def inspect() -> MachineFacts:
    kind = os.environ.get("FAKE_MACHINE", "abcdef012345")
    variables = {name: os.environ[name] for name in machine.VARIABLES if name in os.environ}
    versions = {"numpy": "2"}
    return MachineFacts(kind, "A CPU", (), 2, 2, 2, None, 8 << 30, None, None, None, None, "Linux", versions, variables)


def condition() -> Condition:
    return Condition((0.1, 0.1, 0.1), float(os.environ.get("FAKE_BUSY", "0.05")), 0.0, 8 << 30, 0, None)


class ScriptedReference:
    """Stand for eager's depth: what the fake backend gives, or FAKE_REFERENCE times that."""

    def __init__(self, config: object) -> None:  # noqa: ARG002
        self.backend = "eager"

    def prepare(self, photos: object) -> None:  # noqa: ARG002
        scripted.note("reference")

    def depth(self, photos) -> np.ndarray:
        scripted.note("check")
        scripted.advance(16.0)
        return fake_backend.depth(len(photos)) * float(os.environ.get("FAKE_REFERENCE", "1"))


class ScriptedProbe:
    """Give FAKE_MATRIX_S one after the other, and the last of them for ever."""

    def __init__(self) -> None:
        self._left = scripted.script("FAKE_MATRIX_S", [1.0])
        self.best = Best(1.0, 1.0)

    def read(self, idle_s: float = 0.0) -> Reading:
        scripted.note(f"probe {idle_s:g}")
        scripted.advance(32.0)
        matrix_s = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        return Reading(matrix_s, 1.0, at_s=0.0, busy_s=0.0, own_s=0.0, steal_s=0.0)


machine.inspect, machine.condition = inspect, condition
if "REAL_REFERENCE" not in os.environ:
    reference.Reference.__init__ = ScriptedReference.__init__
    reference.Reference.prepare = ScriptedReference.prepare
    reference.Reference.depth = ScriptedReference.depth


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    from midas_bench.measure.plugin import fast_backends, noise, run_journal

    if "FAKE_LOOK" in os.environ:
        fast_backends.first_look = look
    if "REAL_PROBE" not in os.environ:
        noise.NoiseProbe = ScriptedProbe
    if "FAKE_ROWS_UNTIL_FULL" in os.environ:
        run_journal.append_json_line = disk_with_room_for(int(os.environ["FAKE_ROWS_UNTIL_FULL"]))
    if "FAKE_HOLD_AFTER" in os.environ:
        run_journal.append_json_line = holding_after(int(os.environ["FAKE_HOLD_AFTER"]))


def look(*_: object) -> FirstLook:
    scripted.note("look")
    return FirstLook((os.environ["FAKE_LOOK"],), ("backend slow: 9 s per photo in a first look",))


def holding_after(visits: int):
    """Write every row; the fake backend's first call after so many visits does not return.

    Nor does the writing of a later row that is no visit: after the last of these no call is to come.
    """
    written = 0

    def append(path: Path, row: dict) -> None:
        nonlocal written
        files.append_json_line(path, row)
        written += "visit" in row
        scripted.held = written >= visits
        if "visit" not in row:
            scripted.hold()

    return append


def disk_with_room_for(rows: int):
    """Write so many rows, then half a one, as a disk does that fills up."""
    written = 0

    def append(path: Path, row: object) -> None:
        nonlocal written
        written += 1
        if written <= rows:
            files.append_json_line(path, row)
            return
        with path.open("a") as file:
            file.write('{"cell": {"fullname": "ben')
        raise files.cannot_write(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    return append
