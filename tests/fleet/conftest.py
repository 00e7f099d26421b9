from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from midas_bench.depth.config import PipelineConfig, Resolved, resolve

PATIENCE_S = 240.0
ONLY_HERE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # ports of nodes at 127.0.0.1 listen to this machine alone
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Ray would put a token into the home folder
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
SCRIPT = Path(__file__).with_name("local_cluster.py")


@dataclass
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str


@dataclass
class LocalCluster:
    """Nodes in processes of their own; none outlives its test.

    Attributes:
        address: for RAY_ADDRESS.
        raylets: process of each node.
    """

    address: str
    raylets: list[int]

    def start(self, *arguments: object, **variables: str) -> subprocess.Popen[str]:
        """Start a command of `midas-bench` as a driver of this cluster."""
        return subprocess.Popen(
            [sys.executable, "-m", "midas_bench.cli.main", *map(str, arguments)],
            env={**os.environ, **ONLY_HERE, "RAY_ADDRESS": self.address, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, **variables: str) -> Ran:
        return ended(self.start(*arguments, **variables))

    def processes(self, text: str) -> list[psutil.Process]:
        """Give the processes of the nodes whose command line holds a text."""
        found = []
        for raylet in self.raylets:
            try:
                children = psutil.Process(raylet).children(recursive=True)
            except psutil.NoSuchProcess:
                continue
            for process in children:
                try:
                    if text in " ".join(process.cmdline()):
                        found.append(process)
                except psutil.Error:
                    continue
        return found


def ended(process: subprocess.Popen[str]) -> Ran:
    """Wait for a command; none outlives its test."""
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return Ran(process.returncode, out, err)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Wait until something is true, but not for ever."""

    def wait(happened: Callable[[], object]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < end_s, "it never happened"
            time.sleep(0.01)

    return wait


@contextmanager
def local_cluster(nodes: list[dict], **variables: str) -> Iterator[LocalCluster]:
    """Start a cluster with these arguments of `add_node` for each node, and end all its processes."""
    with (
        tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile("w+") as said,
    ):
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            env={**os.environ, **ONLY_HERE, "RAY_TMPDIR": folder, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
        try:
            process.stdin.write(json.dumps(nodes) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                said.seek(0)
                pytest.fail(f"no cluster: {said.read()}")
            yield LocalCluster(**json.loads(line))
        finally:
            started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
            for left in started:
                if left.is_running():
                    left.kill()


@pytest.fixture(scope="session")
def start_cluster() -> Callable[..., object]:
    return local_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Give three nodes of one CPU each, with a resource of their own."""
    with local_cluster([{"num_cpus": 1, "resources": {f"node{number}": 1}} for number in range(3)]) as started:
        yield started


@pytest.fixture(scope="session")
def seeded_config() -> Resolved:
    """Give a configuration that needs no network: seeded weights, one thread per photo."""
    return resolve(PipelineConfig(weights="seeded", threads=1))
