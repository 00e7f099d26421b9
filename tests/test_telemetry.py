"""Nothing that the package starts reports to anybody, or leaves files at the user's for it."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from midas_bench import NO_TELEMETRY
from midas_bench.depth.backends import registry

COUNT_SOCKETS = str(Path(__file__).with_name("count_sockets.py"))
LOOK_UP = "import socket; socket.getaddrinfo('name.invalid', 80)"
WATCHED_S = 12
"""ONNX Runtime looks its host up some nine seconds after its first session."""

ONNX_OR_SLOW = [
    pytest.param(row.name, marks=[] if row.name == "onnx" else [pytest.mark.slow])
    for row in registry.ROWS
    if registry.suits_cpu(row)
]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are counted by Linux's seccomp")


@pytest.fixture
def watched(tmp_path, graphs, project, files_in):
    """Start a command as a user without any settings, and tell its exit code, the sockets it wanted and its files."""
    home, report = tmp_path / "home", tmp_path / "sockets"
    home.mkdir()
    without = {*NO_TELEMETRY, "XDG_CACHE_HOME", "CI", "GITHUB_ACTIONS", "JENKINS_URL"}
    environment = {name: value for name, value in os.environ.items() if name not in without}
    environment |= {"HOME": str(home), "MIDAS_BENCH_CACHE": str(graphs), "MPLCONFIGDIR": str(tmp_path / "matplotlib")}

    @contextmanager
    def started(*command, **how):
        with subprocess.Popen(
            [sys.executable, COUNT_SOCKETS, str(report), sys.executable, *command],
            env=environment, cwd=project, stdout=subprocess.PIPE, text=True, **how,
        ) as process:  # fmt: skip
            yield process

    def finished(process):
        output = process.communicate()[0]
        return process.returncode, report.read_text().split(), files_in(home), output

    started.finished = finished
    return started


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (LOOK_UP, ["datagram"]),
        (f"import subprocess, sys; subprocess.run([sys.executable, '-c', {LOOK_UP!r}])", ["datagram"]),
        ("import socket; socket.create_server(('127.0.0.1', 0))", ["stream"]),
        ("import socket; socket.socketpair()", []),
    ],
)
def test_sockets_are_counted_also_those_of_a_child(watched, script, expected):
    with watched("-c", script, stderr=subprocess.DEVNULL) as process:
        _, sockets, _, _ = watched.finished(process)
    assert sockets[:1] == expected
    assert set(sockets) <= set(expected)


@pytest.mark.parametrize("name", ONNX_OR_SLOW)
def test_a_backend_leaves_no_file_at_home_and_looks_nothing_up(watched, tmp_path, prepared, name):
    row = registry.find(name)
    if registry.missing(row):
        pytest.skip(str(registry.missing(row)))
    # onnx names a file of a quantised graph by uuid1, for which libuuid opens a socket to read the machine's address:
    # nothing is sent, but it counts
    prepared(name)
    arguments = [
        "--weights",
        "seeded",
        "--backend",
        name,
        "fixtures/images/chelsea.jpg",
        "-o",
        str(tmp_path / "map.png"),
    ]
    with watched("-m", "midas_bench.cli.main", "depth", *arguments) as process:
        code, sockets, files, _ = watched.finished(process)
    assert (code, sockets, files) == (0, [], [])


LINGER = f"""
import os, signal, sys, threading
from midas_bench.cli.main import main
threading.Timer({WATCHED_S}, os.kill, (os.getpid(), signal.SIGTERM)).start()
sys.exit(main(["serve", "--port", "0", "--weights", "seeded"]))
"""
QUICK = ("--quick", f"--budget={WATCHED_S}s", "--backend=onnx", "--weights=seeded", "--benchmark-min-rounds=2",
         "--benchmark-max-time=0.01")  # fmt: skip
LONG_RUNNING = {
    "a server that waits": lambda _: ["-c", LINGER],
    "a benchmark run": lambda folder: [
        "-m", "pytest", "bench/test_inference.py", *QUICK, "-p", "no:cacheprovider",
        f"--benchmark-json={folder}/a.json", f"--benchmark-storage=file://{folder}/saved",
    ],
    "LoadGen": lambda folder: [
        "-m", "midas_bench.cli.main", "loadgen", "--backend", "onnx", "--weights", "seeded", "--scenario", "offline",
        "--logs", f"{folder}/logs",
    ],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", LONG_RUNNING)
def test_a_process_of_some_life_leaves_no_file_at_home_and_looks_nothing_up(watched, tmp_path, what):
    with watched(*LONG_RUNNING[what](tmp_path)) as process:
        code, sockets, files, output = watched.finished(process)
    assert (code, "datagram" in sockets, files) == (0, False, []), output


@pytest.mark.parametrize("value", ["", "0", "of the user's own"])
@pytest.mark.parametrize("name", NO_TELEMETRY)
def test_whoever_has_set_a_variable_keeps_it(name, value):
    script = f"import os, midas_bench.depth.config; print(os.environ[{name!r}])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={name: value}, check=True)
    assert ran.stdout == value + "\n"
