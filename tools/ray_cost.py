"""What Ray costs: `python tools/ray_cost.py idle`, or `python tools/ray_cost.py bulk FOLDER`.

`idle` times the pipeline in fresh processes, alone and beside a Ray node that has nothing to do. `bulk` makes the heat
maps of a folder's photos with and without `--ray`, on this machine. The sides take turns in an order that is drawn
anew for each block, and the ratio comes with its 95 % interval over the blocks.
"""

from __future__ import annotations

import argparse
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from midas_bench.results.intervals import block_ratio

SEED = 20230617
SETTLE_S = 5.0
"""For a node to finish its start."""
RAMP = 0.1
"""Share of a folder's photos that the steady rate leaves out: processes start and load the network meanwhile."""

NODE = """
import sys
import ray
from midas_bench.fleet.ray_extra import start_here
start_here()
print("up", flush=True)
sys.stdin.read()
ray.shutdown()
"""
CALLS = """
import statistics, sys, time
from midas_bench.depth.pipeline import DepthPipeline
photo = open(sys.argv[1], "rb").read()
with DepthPipeline.open("onnx", weights="seeded", threads=int(sys.argv[2])) as pipeline:
    times = []
    for _ in range(5 + int(sys.argv[3])):
        start_s = time.perf_counter()
        pipeline.run([photo])
        times.append(time.perf_counter() - start_s)
print(statistics.median(times[5:]))
"""


@contextmanager
def idle_node() -> Iterator[None]:
    """Run a Ray node on this machine that has nothing to do."""
    with subprocess.Popen(
        [sys.executable, "-c", NODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as node:
        assert node.stdout is not None
        node.stdout.readline()
        time.sleep(SETTLE_S)
        yield


def median_call_s(arguments: argparse.Namespace) -> float:
    """Time calls in a fresh process."""
    words = [arguments.photo, str(arguments.threads), str(arguments.calls)]
    ran = subprocess.run([sys.executable, "-c", CALLS, *words], stdout=subprocess.PIPE, text=True, check=True)
    return float(ran.stdout)


def idle(arguments: argparse.Namespace) -> None:
    """Compare calls alone with calls beside an idle node."""

    def beside() -> dict[str, float]:
        with idle_node():
            return {"time per call": median_call_s(arguments)}

    compare(
        arguments.blocks, lambda: {"time per call": median_call_s(arguments)}, beside, "beside an idle node / alone"
    )


def bulk(arguments: argparse.Namespace) -> None:
    """Compare a folder's heat maps with and without Ray."""
    compare(
        arguments.blocks,
        lambda: rates(arguments.folder, []),
        lambda: rates(arguments.folder, ["--ray"]),
        "with --ray / without",
    )


def rates(folder: str, flags: list[str]) -> dict[str, float]:
    """Make a folder's heat maps, and return photos per second of the whole command and behind its start."""
    with tempfile.TemporaryDirectory() as output:
        start_s = time.perf_counter()
        command = ["depth", folder, "-o", f"{output}/out", "--weights", "seeded", *flags]
        subprocess.run([sys.executable, "-m", "midas_bench.cli.main", *command], check=True, stdout=subprocess.DEVNULL)
        whole_s = time.perf_counter() - start_s
        times_s = sorted(path.stat().st_mtime_ns / 1e9 for path in Path(output, "out").glob("*.png"))
    first = round(len(times_s) * RAMP)
    steady = (len(times_s) - 1 - first) / (times_s[-1] - times_s[first])
    return {"steady rate": steady, "rate of the whole command": len(times_s) / whole_s}


def compare(
    blocks: int, first: Callable[[], dict[str, float]], second: Callable[[], dict[str, float]], what: str
) -> None:
    """Run both sides in each block, in an order that is drawn, and print the ratios second / first."""
    draw = random.Random(SEED)
    logs: dict[str, list[float]] = {}
    for block in range(1, blocks + 1):
        sides = {first: {}, second: {}}
        for side in draw.sample((first, second), 2):
            sides[side] = side()
        for name, value in sides[first].items():
            logs.setdefault(name, []).append(math.log(sides[second][name] / value))
            print(f"block {block}: {name}: {value:.5g}, {sides[second][name]:.5g}", flush=True)
    for name, of_blocks in logs.items():
        ratio = block_ratio(of_blocks)
        if ratio is not None:
            low, high = ratio.low, ratio.high
            print(f"{name}, {what}: {ratio.estimate:.3f} ({low:.3f} to {high:.3f}), n = {blocks} blocks")


def main() -> None:
    """Read the command line, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    modes = parser.add_subparsers(required=True)
    one = modes.add_parser("idle")
    one.set_defaults(run=idle)
    one.add_argument("--photo", default="fixtures/images/china.jpg")
    one.add_argument("--threads", type=int, default=1)
    one.add_argument("--calls", type=int, default=40)
    two = modes.add_parser("bulk")
    two.set_defaults(run=bulk)
    two.add_argument("folder")
    for mode in (one, two):
        mode.add_argument("--blocks", type=int, default=8)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
