from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from midas_bench.gate import rule

PROJECT = Path(__file__).parents[2]

CALLS = """
import os
import signal
import time
from contextlib import contextmanager

MEMORY = b"x" * ({memory_mib} * 1024 * 1024)


class Pixels:
    shape = (8, 8, 3)

    def tobytes(self):
        return bytes([{colour}]) * (8 * 8 * 3)


def busy(call_s):
    def call():
        end_s = time.perf_counter() + call_s
        while time.perf_counter() < end_s:
            pass
        return [Pixels()]

    return call


@contextmanager
def calls(photos, **config):
    assert photos and config["threads"] == 1
    assert not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) == 1
    {opening}
    yield {{"{whole}": busy({pipeline_s}), "decode": busy({decode_s})}}
"""

VALUES = {"memory_mib": 1, "colour": 7, "pipeline_s": 0.002, "decode_s": 0.001, "opening": "pass", "whole": "pipeline"}


class Repository:
    """A git repository with a package like ours whose calls take known times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        images = folder / "fixtures/images"
        images.parent.mkdir(parents=True)
        images.symlink_to(PROJECT / "fixtures/images")
        shutil.copy(PROJECT / "pyproject.toml", folder)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Test")
        self.git("config", "user.email", "test@localhost")
        self.write()
        self.commit("first")

    def write(self, **values):
        """Write the calls, with other values than usual."""
        depth = self.folder / "src/midas_bench/depth"
        depth.mkdir(parents=True, exist_ok=True)
        for package in (depth.parent, depth):
            (package / "__init__.py").touch()
        (depth / "calls.py").write_text(CALLS.format(**VALUES | values))

    def commit(self, message):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments):
        ran = subprocess.run(["git", "-C", self.folder, *arguments], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def state(self):
        """Return everything that a gate must not change."""
        files = {path: path.read_bytes() for path in self.folder.rglob("src/**/*") if path.is_file()}
        listed = sorted(str(path) for path in self.folder.rglob("src/**/*"))
        return self.git("status", "--porcelain=v2", "--branch"), self.git("worktree", "list"), files, listed


@pytest.fixture
def first_look_after_8_blocks(monkeypatch):
    """Let real gates look sooner, with bounds as certain as ever: after the fewest blocks that can decide a figure."""
    monkeypatch.setattr(rule, "FIRST_LOOK", 8)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "größe mit leerzeichen")
