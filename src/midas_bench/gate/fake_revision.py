"""A tree whose calls take a known time, for trying the gate's machinery in seconds and without a network.

Its text becomes `midas_bench/depth/calls.py` of a tree of its own.
"""

from __future__ import annotations

from pathlib import Path

from midas_bench.gate.revision_workers import Revision
from midas_bench.gate.revisions import PACKAGE, SourceTree

BACKEND = "stand-in"

CALLS = """
import random
import time
from contextlib import contextmanager

CALL_S = 0.001


@contextmanager
def calls(photos, **config):
    process_s = CALL_S * random.gauss(1, 0.01)  # what differs from process to process, as memory layout does

    def call():
        end_s = time.perf_counter() + process_s * random.gauss(1, 0.02)
        while time.perf_counter() < end_s:
            pass
        return []

    yield {"pipeline": call, "decode": call}
"""


def write_fake_revision(folder: Path) -> Revision:
    """Write the tree and return it as a side."""
    depth = folder / PACKAGE / "depth"
    depth.mkdir(parents=True)
    for package in (depth.parent, depth):
        (package / "__init__.py").touch()
    (depth / "calls.py").write_text(CALLS.lstrip(), encoding="utf-8")
    return Revision(SourceTree(BACKEND, None, folder, BACKEND, ()))
