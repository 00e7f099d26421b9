"""Simulate a billion photos on many machines: `python tools/scale.py [--nodes 1 10 100] [--price-per-hour 0.085] ...`.

Nodes take blocks of photos from a queue, read them from storage, compute their heat maps and write these. Storage is
shared, first come, first served. A node has its next block read while it computes. Nodes fail, come back, and the
blocks that they had are done again. What a photo costs is measured; all else is assumed, and said.

It is a simulation and no promise: no figure here was measured on more than one machine.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from midas_bench.results.units import MIB, digits

PROJECT = Path(__file__).parent.parent
PHOTOS = 1_000_000_000
NODES = (1, 10, 100, 1000)
HOUR_S, DAY_S = 3600.0, 86_400.0
GB = 1e9
PREFIXES = 16
"""Parts of an object store's names that photos and heat maps are spread over."""

MEASURED = (
    "Inference in int8 takes 28 ms of one core's time, and the other stages 7 ms",
    "a stream of 24 photos with one thread each gave 22.1 images/s",
    "The stages of `onnx-int8` together take 68 ms for such a photo",
    "| JPEG, quality 90 | 41 ms | 0.8 MiB |",
)
"""The words of docs/results.md that the figures below come from; a test looks for them there."""

MEASURED_CORES = 2
JPEG_S, JPEG_BYTES = 0.041, 0.8 * MIB
SMALL_SHARE = (1280 * 853) / (4000 * 3000)
"""Pixels of the small photo, relative to the large one's."""


@dataclass(frozen=True)
class Work:
    """What one photo needs.

    Attributes:
        name: of the photos and the backend.
        core_s: seconds of one core, from encoded photo to encoded heat map.
        photo_bytes: read from storage.
        heatmap_bytes: written to it.
    """

    name: str
    core_s: float
    photo_bytes: float
    heatmap_bytes: float


def _bytes_of(photo: str) -> int:
    return (PROJECT / "fixtures/images" / photo).stat().st_size


def _small(backend: str, core_s: float) -> Work:
    encoded_s, encoded_bytes = JPEG_S * SMALL_SHARE, JPEG_BYTES * SMALL_SHARE
    return Work(f"1280x853, `{backend}`", core_s + encoded_s, _bytes_of("street_a.jpg"), encoded_bytes)


WORKS = (
    _small("onnx-int8", 0.028 + 0.007),
    _small("onnx", MEASURED_CORES / 22.1),
    # as if both cores had been busy all the time: at most that
    Work("4000x3000, `onnx-int8`", MEASURED_CORES * 0.068 + JPEG_S, _bytes_of("street_large.jpg"), JPEG_BYTES),
)


@dataclass(frozen=True)
class Cluster:
    """What is assumed of nodes and storage; nothing of it was measured.

    Attributes:
        cores: of a node.
        network_bytes_per_s: of a node's link, each way.
        storage_bytes_per_s: of the storage as a whole, each way.
        gets_per_s: photos that it gives out, at most.
        puts_per_s: heat maps that it takes, at most.
        failure_every_s: mean time between the failures of a node.
        restart_s: until the node, or another in its place, takes blocks again.
        block_photos: photos that a node takes at a time, and that are done again if it fails.
        blocks_ahead: blocks that a node has at a time: one to compute, and the next or the last one on its way.
        price_per_hour: of a node, in dollars as all prices.
        price_per_get: of reading an object.
        price_per_put: of writing one.
        price_per_gb_month: of keeping it.
    """

    cores: int = MEASURED_CORES
    network_bytes_per_s: float = 125e6
    storage_bytes_per_s: float = 10e9
    gets_per_s: float = PREFIXES * 5500.0
    puts_per_s: float = PREFIXES * 3500.0
    failure_every_s: float = DAY_S
    restart_s: float = 180.0
    block_photos: int = 20_000
    blocks_ahead: int = 2
    price_per_hour: float = 0.085
    price_per_get: float = 0.0004 / 1000
    price_per_put: float = 0.005 / 1000
    price_per_gb_month: float = 0.023


ASSUMED = Cluster()


def limits(work: Work, cluster: Cluster, nodes: int) -> Mapping[str, float]:
    """Return the photos per second that each resource alone would allow; the least of them is the bottleneck."""
    larger_bytes = max(work.photo_bytes, work.heatmap_bytes)
    return {
        "cores": nodes * cluster.cores / work.core_s,
        "network": nodes * cluster.network_bytes_per_s / larger_bytes,
        "storage, bytes": cluster.storage_bytes_per_s / larger_bytes,
        "storage, requests": min(cluster.gets_per_s, cluster.puts_per_s),
    }


@dataclass(frozen=True)
class Outcome:
    """What a simulation came to.

    Attributes:
        photos: whose heat maps are written, each once.
        seconds: until the last of them.
        repeated: photos that a failed node had taken, and that were done again.
        failures: of nodes.
    """

    photos: int
    seconds: float
    repeated: int
    failures: int


@dataclass
class _Server:
    """Serves one block after the other, in the order that they come."""

    block_s: float
    free_s: float = 0.0

    def serve(self, arrival_s: float) -> float:
        """Return when a block that arrives now is served."""
        self.free_s = max(arrival_s, self.free_s) + self.block_s
        return self.free_s


@dataclass
class _Node:
    """Computes blocks; `life` counts its restarts, and what was planned for an earlier one does not happen."""

    computing: _Server
    blocks: int = 0
    life: int = 0


def simulate(work: Work, cluster: Cluster, nodes: int, photos: int = PHOTOS, seed: int = 1) -> Outcome:
    """Return how long the photos take, in whole blocks."""
    random = Random(seed)
    size, bytes_per_s = cluster.block_photos, cluster.storage_bytes_per_s
    reading = _Server(size * max(work.photo_bytes / bytes_per_s, 1 / cluster.gets_per_s))
    writing = _Server(size * max(work.heatmap_bytes / bytes_per_s, 1 / cluster.puts_per_s))
    of_node = limits(work, cluster, 1)
    # the link works beside the cores, so the slower of both decides
    block_s = size / min(of_node["cores"], of_node["network"])
    members = [_Node(_Server(block_s)) for _ in range(nodes)]
    blocks = -(-photos // size)
    waiting, done, lost, failures = blocks, 0, 0, 0
    idle: list[tuple[int, int]] = []
    # what happens when, to which node, in which of its lives
    events: list[tuple[float, int, str, int]] = []

    def start(number: int, at_s: float) -> None:
        life = members[number].life
        heapq.heappush(events, (at_s + random.expovariate(1 / cluster.failure_every_s), number, "fail", life))
        for _ in range(cluster.blocks_ahead):
            heapq.heappush(events, (at_s, number, "take", life))

    for number in range(nodes):
        start(number, 0.0)
    while True:
        now_s, number, what, life = heapq.heappop(events)
        node = members[number]
        if life != node.life:
            continue
        if what == "fail":
            failures += 1
            lost += node.blocks
            waiting += node.blocks
            back_s = now_s + cluster.restart_s
            members[number] = _Node(_Server(block_s, back_s), life=life + 1)
            start(number, back_s)
            for other, other_life in idle:
                heapq.heappush(events, (now_s, other, "take", other_life))
            idle.clear()
        elif what == "write":
            heapq.heappush(events, (writing.serve(now_s), number, "done", life))
        else:
            if what == "done":
                done += 1
                node.blocks -= 1
                if done == blocks:
                    return Outcome(blocks * size, now_s, lost * size, failures)
            if waiting:
                waiting -= 1
                node.blocks += 1
                computed_s = node.computing.serve(reading.serve(now_s))
                heapq.heappush(events, (computed_s, number, "write", life))
            else:
                idle.append((number, life))


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table, whose columns are numbers but for the first."""
    columns = list(headings)
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def duration(seconds: float) -> str:
    """Return such as `6.70 h` or `224 days`."""
    size, name = (DAY_S, "days") if seconds >= 2 * DAY_S else (HOUR_S, "h")
    return f"{digits(seconds / size)} {name}"


def money(dollars: float) -> str:
    """Return such as `$1,234`, or `$0.40`."""
    return f"${dollars:,.0f}" if dollars >= 10 else f"${dollars:.2f}"


def machines_price(came_to: Outcome, cluster: Cluster, nodes: int) -> float:
    """Return what the nodes cost until the last photo is done, in dollars."""
    return came_to.seconds / HOUR_S * nodes * cluster.price_per_hour


def needs() -> str:
    """Return the table of what one photo needs."""
    rows = (
        [
            work.name,
            f"{digits(work.core_s * 1000)} ms",
            f"{work.photo_bytes / 1000:,.0f} kB",
            f"{work.heatmap_bytes / 1000:,.0f} kB",
            digits(MEASURED_CORES / work.core_s),
        ]
        for work in WORKS
    )
    return table(["photo, backend", "core time", "read", "written", "photos per second, 2 cores"], rows)


def assumptions(cluster: Cluster = ASSUMED) -> str:
    """Return the table of what is assumed."""
    rows = [
        ["cores of a node", f"{cluster.cores}, as the measured machines have"],
        ["network of a node, each way", f"{cluster.network_bytes_per_s * 8 / 1e9:g} Gbit/s"],
        ["storage as a whole, each way", f"{cluster.storage_bytes_per_s / GB:g} GB/s"],
        ["reads per second", f"{cluster.gets_per_s:,.0f} ({PREFIXES} prefixes)"],
        ["writes per second", f"{cluster.puts_per_s:,.0f} ({PREFIXES} prefixes)"],
        ["a node fails", f"every {cluster.failure_every_s / HOUR_S:g} h on average, at random"],
        ["it, or another one, is back", f"after {cluster.restart_s:g} s"],
        ["photos that a node takes at a time", f"{cluster.block_photos:,}, and the next while it computes"],
        ["price of a node", f"${cluster.price_per_hour:g} per hour"],
        ["price of reads", f"${cluster.price_per_get * 1000:g} per 1,000"],
        ["price of writes", f"${cluster.price_per_put * 1000:g} per 1,000"],
        ["price of storage", f"${cluster.price_per_gb_month:g} per GB and month"],
    ]
    return table(["assumed", "value"], rows)


def fleet(cluster: Cluster = ASSUMED, nodes: Sequence[int] = NODES, photos: int = PHOTOS) -> str:
    """Return the table of simulated times."""
    rows = []
    for work in WORKS:
        for number in nodes:
            came_to, allowed = simulate(work, cluster, number, photos), limits(work, cluster, number)
            bottleneck = min(allowed, key=lambda name: allowed[name])
            rate = came_to.photos / came_to.seconds
            rows.append([
                work.name,
                f"{number:,}",
                bottleneck,
                duration(came_to.seconds),
                f"{rate / allowed[bottleneck]:.0%}",
                f"{rate / allowed['cores']:.0%}",
                f"{came_to.repeated / came_to.photos:.1%}",
                money(machines_price(came_to, cluster, number)),
            ])  # fmt: skip
    headings = ("nodes", "bottleneck", "time", "of its limit", "cores busy", "done again", "nodes cost")
    return table(["photo, backend", *headings], rows)


def prices(cluster: Cluster = ASSUMED, photos: int = PHOTOS, nodes: int = 100, packed: int = 1000) -> str:
    """Return the table of what the first kind of work costs, object by object and packed."""
    work = WORKS[0]
    machines = machines_price(simulate(work, cluster, nodes, photos), cluster, nodes)
    kept = photos * work.heatmap_bytes / GB * cluster.price_per_gb_month
    rows = []
    for name, objects in (("one photo per object", photos), (f"{packed:,} photos per object", photos / packed)):
        gets, puts = objects * cluster.price_per_get, objects * cluster.price_per_put
        rows.append([name, *map(money, (machines, gets, puts, kept))])
    return table(["objects", f"{nodes} nodes", "reading", "writing", "a month of the heat maps"], rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Simulate many photos on many machines; a simulation, not a promise.")
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES, help="numbers of nodes, as 1 10 100")
    parser.add_argument("--photos", type=int, default=PHOTOS, help="how many")
    parser.add_argument("--price-per-hour", type=float, default=ASSUMED.price_per_hour, help="of a node, in dollars")
    parser.add_argument("--storage-gb-per-s", type=float, default=ASSUMED.storage_bytes_per_s / GB, help="of all")
    arguments = parser.parse_args()
    nodes, photos = arguments.nodes, arguments.photos
    price, storage_bytes_per_s = arguments.price_per_hour, arguments.storage_gb_per_s * GB
    if not all(0 < value < math.inf for value in (*nodes, photos, price, storage_bytes_per_s)):
        parser.error("all numbers must be above zero")
    cluster = replace(ASSUMED, price_per_hour=price, storage_bytes_per_s=storage_bytes_per_s)
    for part in (needs(), assumptions(cluster), fleet(cluster, nodes, photos), prices(cluster, photos)):
        print(part, end="\n\n")


if __name__ == "__main__":
    main()
