"""A backend that imports no runtime, takes as long as its script says, and gives the same depth for the same batch."""

from __future__ import annotations

import os

import numpy as np
import scripted

LOAD_S = 64.0
"""By the scripted clock alone: no sleep is that long."""


class FakeBackend:
    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._calls_s = iter(())
        scripted.note(f"open {threads}")

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        call_s = next(self._calls_s, None)
        if call_s is None:
            self._calls_s = iter(scripted.script("FAKE_CALLS_S", [0.004]))
            call_s = next(self._calls_s)
        scripted.note("call")
        scripted.hold()
        scripted.sleep(call_s)
        return depth(len(batch))

    def close(self) -> None:
        scripted.note("close")


def depth(photos: int) -> np.ndarray:
    return np.tile(np.linspace(0, 1, 256, dtype=np.float32), (photos, 256, 1))


def load(build) -> FakeBackend:
    if "FAKE_CLOCK" in os.environ:
        scripted.advance(LOAD_S)
    return FakeBackend(int(os.environ.get("FAKE_THREADS", build.threads)))
