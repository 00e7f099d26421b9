"""A revision whose calls take a known time: it tests the gate's machinery in seconds, without a neural network.

Its text becomes `midas_bench/depth/calls.py` of a source tree of its own.
"""

from __future__ import annotations

from pathlib import Path

from midas_bench.gate.git import PACKAGE
from midas_bench.gate.revisions import Revision

BACKEND = "stand-in"

CALLS = """
import random
import time
from contextlib import contextmanager

CALL_S = 0.001


@contextmanager
def calls(photos, **config):
    # as memory layout does, this differs from process to process
    process_s = CALL_S * random.gauss(1, 0.01)

    def call():
        end_s = time.perf_counter() + process_s * random.gauss(1, 0.02)
        while time.perf_counter() < end_s:
            pass
        return []

    yield {"pipeline": call, "decode": call}
"""


def write_fake_revision(folder: Path) -> Revision:
    """Write the source tree and return it as a revision."""
    depth = folder / PACKAGE / "depth"
    depth.mkdir(parents=True)
    for package in (depth.parent, depth):
        (package / "__init__.py").touch()
    (depth / "calls.py").write_text(CALLS.lstrip(), encoding="utf-8")
    return Revision(BACKEND, None, folder, BACKEND, ())
