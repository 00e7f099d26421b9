from __future__ import annotations

from pathlib import Path

import pytest

from midas_bench.measure.worker_client import WorkerSpec

CALL_S = 0.002


@pytest.fixture
def package(package_with_calls, tmp_path):
    """Put a package named like ours, with nothing but calls that sleep, where a worker finds it first."""
    return package_with_calls(tmp_path / "tree", Path(__file__).parent / "fake_calls.py")


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def arm(package, log):
    """Make an arm of one pipeline: `arm("a", call_s=0.01)`."""

    def make_arm(name, **config):
        how = {"photos": [], "config": {"name": name, "log": str(log), "call_s": CALL_S, **config}}
        return WorkerSpec(name, {"one": how}, {"PYTHONPATH": str(package)})

    return make_arm
