"""Bulk depth on a cluster of three nodes: the same heat maps, outcomes and exit codes as without Ray."""

import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile

import numpy as np
import psutil
import pytest

from midas_bench.cli.main import main
from midas_bench.heatmap_files import NOTE

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("graphs")]

PHOTOS = 60
RATE = re.compile(r"\(\S+ per second")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, encode):
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(7)
    for number in range(PHOTOS):
        pixels = draw.integers(0, 255, (40 + number % 7, 64, 3), np.uint8)
        (folder / f"{number:03}.jpg").write_bytes(encode(pixels, "JPEG"))
    return folder


@pytest.fixture(scope="module")
def expected(folder, tmp_path_factory):
    """Give the heat maps that one process makes, by name."""
    output = tmp_path_factory.mktemp("expected") / "out"
    assert main(["depth", str(folder), "-o", str(output), "--weights", "seeded"]) == 0
    return contents(output)


def contents(output):
    return {path.name: path.read_bytes() for path in output.iterdir()}


def own_lines(text):
    """Leave out Ray's line on each actor that may restart: its C++ part cannot be told to be silent."""
    return "".join(line for line in text.splitlines(keepends=True) if "] core_worker.cc:" not in line)


def lives(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def on_ray(cluster, folder, output, *flags):
    return cluster.run("depth", folder, "-o", output, "--weights", "seeded", "--ray", *flags)


def test_an_actor_that_is_killed_loses_no_heat_map_and_the_next_run_goes_on(cluster, folder, expected, tmp_path, until):
    output = tmp_path / "out"
    command = cluster.start("depth", folder, "-o", output, "--weights", "seeded", "--ray")
    until(lambda: len(list(output.glob("*.png"))) >= 6 or command.poll() is not None)
    made = len(list(output.glob("*.png")))
    [victim, *_] = cluster.processes("ray::MapWorker")
    os.kill(victim.pid, signal.SIGKILL)
    assert made < PHOTOS
    out, err = command.communicate(timeout=240)
    assert (command.returncode, own_lines(err)) == (0, "")
    assert f"out: {PHOTOS} made (" in out
    assert contents(output) == expected

    (output / "003.png").unlink()
    (output / "007.png").write_bytes((output / "007.png").read_bytes()[:-9])
    kept = (output / "011.png").stat()
    ran = on_ray(cluster, folder, output)
    assert ran.code == 0
    assert f"2 made ({RATE.search(ran.out)[0][1:]}" in ran.out
    assert f"{PHOTOS - 2} there already" in ran.out
    assert (output / "011.png").stat().st_ino == kept.st_ino
    assert contents(output) == expected


def test_names_lists_and_exit_codes_are_those_without_ray(cluster, tmp_path, encode, odd_names, left_out_files):
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = encode(np.full((20, 50, 3), 99, np.uint8), "JPEG")
    for name in odd_names:
        (folder / f"{name}.jpg").write_bytes(photo)
    (folder / f"{'y' * 251}.jpg").write_bytes(photo)
    (folder / "a.png").write_bytes(encode(np.full((20, 50, 3), 9, np.uint8), "PNG"))
    (folder / "a.jpg").write_bytes(photo)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "torn.jpg").write_bytes(photo[:-30])
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere")
    left_out_files(folder)
    ran = [
        cluster.run("depth", folder, "-o", tmp_path / flag / "out", "--weights", "seeded", *[flag] * (flag != "alone"))
        for flag in ("alone", "--ray")
    ]
    alone, spread = ([ran.code, *map(_without_rate, (ran.out, ran.err))] for ran in ran)
    assert [text.replace("--ray", "alone") if isinstance(text, str) else text for text in spread] == alone
    assert alone[2].count("\n") == 4
    assert contents(tmp_path / "--ray/out") == contents(tmp_path / "alone/out")


def _without_rate(text):
    return RATE.sub("(N per second", own_lines(text))


def test_without_a_cluster_one_of_this_machine_alone_is_started_and_ended(folder, expected, tmp_path, until):
    places = f"file://{folder}/*.jpg", f"file://{tmp_path}/out"
    variables = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # without it, Ray would put a token into the home folder
    variables["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="ray") as ray_folder:
        command = subprocess.Popen(
            [sys.executable, "-m", "midas_bench.cli.main", "depth", places[0], "-o", places[1],
             "--weights", "seeded", "--ray"],
            env=variables | {"RAY_TMPDIR": ray_folder},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until(lambda: list(tmp_path.glob("out/*.png")) or command.poll() is not None)
        started = psutil.Process(command.pid).children(recursive=True)
        listening = [one.laddr.ip for process in started for one in process.net_connections() if one.status == "LISTEN"]
        _, err = command.communicate(timeout=240)
    assert (command.returncode, own_lines(err)) == (0, "")
    assert contents(tmp_path / "out") == expected
    assert NOTE in expected
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    until(lambda: not any(map(lives, started)))


def test_ctrl_c_leaves_no_process_and_no_half_written_file(cluster, folder, expected, tmp_path, until):
    output = tmp_path / "out"
    command = cluster.start("depth", folder, "-o", output, "--weights", "seeded", "--ray")
    until(lambda: list(output.glob("*.png")) or command.poll() is not None)
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=60)
    assert (command.returncode, own_lines(err)) == (130, "midas-bench: interrupted\n")
    until(lambda: not cluster.processes("ray::MapWorker"))
    assert contents(output).items() < expected.items()
