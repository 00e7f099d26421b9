"""Heat maps of any number of photos, on all machines of a Ray cluster: one process per group of cores.

Pictures never pass through Ray: a process gets names of photos, reads them, writes their heat maps, and gives back what
became of each. A heat map is renamed to its name when it is whole, so a block that Ray repeats after a process died
finds what was finished.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.calibration import project_photos
from midas_bench.depth.config import PipelineConfig, Resolved, cache_folder, resolve
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.weights import Weights, sha256_with
from midas_bench.errors import UserError, printable
from midas_bench.fleet import places
from midas_bench.fleet.places import AddressTask, Task
from midas_bench.fleet.ray_extra import require_ray
from midas_bench.heatmap_files import write_each

MADE, KEPT, LEFT_OUT, FAILED = "made", "kept", "left out", "failed"
"""What became of a photo: its heat map was made or there already, or the photo cannot be used, or none can be."""

COLUMNS = ("photo", "heatmap", "status", "thing", "reason", "next_step")
"""Of the result; the last three name an error, and are empty where there is none."""

MOST_CORES = 8
"""Of one process: Python runs one thread at a time, and has a part in each photo."""
PHOTOS_PER_CORE = 64
"""In a block. At its end cores wait for the last photo, so short blocks are slow; a dead process repeats its blocks."""
BLOCKS_AT_A_TIME = 2
"""Of one process: the next block has the cores that are free while the last photos of a block are in work."""
BLOCKS_PER_PROCESS = 4
"""At least, so that all processes end at about the same time."""
WAITING = 8
"""Photos that wait for storage at an address, beside those that have a core."""


@dataclass(frozen=True)
class CoreGroups:
    """How a cluster's cores are shared out.

    Attributes:
        cores: of each process.
        count: of processes.
    """

    cores: int
    count: int

    def block_rows(self, photos: int) -> int:
        """Return how many photos a block has, so that all processes have work and few cores wait."""
        for_all = -(-photos // (self.count * BLOCKS_PER_PROCESS))
        return max(1, min(self.cores * PHOTOS_PER_CORE, for_all))


def core_groups(node_cpus: Iterable[float], threads: int) -> CoreGroups:
    """Share out the cores of all nodes in groups of one size, each of which serves photos of so many threads.

    Raises:
        UserError: no node has so many cores.
    """
    fitting = [int(cpus) for cpus in node_cpus if cpus >= threads]
    if not fitting:
        raise UserError(f"--threads {threads}", "no machine of the Ray cluster offers so many cores", "choose fewer")
    cores = max(1, min(MOST_CORES, min(fitting)) // threads) * threads
    return CoreGroups(cores, sum(cpus // cores for cpus in fitting))


def cluster_groups(threads: int) -> CoreGroups:
    """Share out the cores of the cluster that Ray is connected to; raises as `core_groups` does."""
    import ray

    cpus = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return core_groups(cpus, threads)


def depth_maps(dataset: Any, config: PipelineConfig | None = None, *, output: str | None = None) -> Any:
    """Make the heat maps of a Ray Dataset of photos; lazily, as all of Ray Data.

    A heat map that is there already is kept, so a second run goes on where the first one ended. Each block of the
    dataset is one call of a process: `block_rows` of `CoreGroups` gives a good size.

    Args:
        dataset: with the columns `photo` and `heatmap`: paths, or addresses that fsspec reads, the same on each
            machine. The ending of `heatmap` names its format.
        config: of the pipeline; by default one thread per photo, which gives the most photos per second.
        output: folder or address for a note of the network, so that heat maps of two are never mixed.

    Returns:
        A Dataset with `COLUMNS`, a row per photo. `status` is `made`, `kept`, `left out` for a photo that cannot be
        used, or `failed` where nothing can be made, as on a full disk.

    Raises:
        UserError: Ray is not installed, or a value of the configuration cannot be had.
    """
    require_ray("midas_bench.fleet.depth_maps")
    import ray.data

    resolved = resolve(config or PipelineConfig(threads=1))
    groups = cluster_groups(resolved.threads)
    return dataset.map_batches(
        HeatmapMaker,
        # a block at a time
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(
            size=groups.count, max_concurrent_calls_per_actor=BLOCKS_AT_A_TIME, enable_true_multi_threading=True
        ),
        num_cpus=groups.cores,
        fn_constructor_kwargs={"config": resolved.to_json(), "cores": groups.cores, "output": output},
    )


class HeatmapMaker:
    """One process's part: it opens the network when the first heat map is missing, and keeps it open."""

    def __init__(self, config: str, cores: int, output: str | None) -> None:
        self._given = config
        self._cores = cores
        self._output = output
        self._pipeline: DepthPipeline | None = None
        self._noted = output is None
        # several blocks are in work at a time
        self._opening = threading.Lock()
        self._noting = threading.Lock()

    def __call__(self, block: Any) -> Any:
        """Make the heat maps of a block, a pyarrow table, and return one with `COLUMNS`."""
        import pyarrow

        rows = [(os.fsdecode(row["photo"]), os.fsdecode(row["heatmap"])) for row in block.to_pylist()]
        outcomes = self.outcomes([places.task(photo, heatmap) for photo, heatmap in rows])
        result_rows = [_row(status, error) for status, error in outcomes]
        texts = pyarrow.string()
        columns = {
            name: pyarrow.array([row[number] for row in result_rows], texts) for number, name in enumerate(COLUMNS[2:])
        }
        return pyarrow.table({name: block[name] for name in COLUMNS[:2]} | columns)

    def outcomes(self, tasks: Sequence[Task]) -> list[tuple[str, UserError | None]]:
        """Make what is missing; return for each task what became of it, and why if that is no heat map."""
        found: dict[Task, tuple[str, UserError | None]] = {}
        try:
            with ThreadPoolExecutor(WAITING) as pool:
                done = pool.map(lambda task: task.done, tasks)
                found |= {task: (KEPT, None) for task, is_done in zip(tasks, done, strict=True) if is_done}
            missing = [task for task in tasks if task not in found]
            for task, error in zip(missing, self._write(missing), strict=True):
                found[task] = (MADE, None) if error is None else (LEFT_OUT, error)
        except UserError as error:
            # it concerns the photos behind this one too
            for task in tasks:
                found.setdefault(task, (FAILED, error))
        return [found[task] for task in tasks]

    def _write(self, tasks: Sequence[Task]) -> Iterator[UserError | None]:
        if not tasks:
            return
        with self._opening:
            if self._pipeline is None:
                config = on_this_machine(PipelineConfig.from_json(self._given))
                self._pipeline = DepthPipeline.open(config=config, cores=self._cores)
            pipeline = self._pipeline

        def save(task: Task, heatmap: NDArray[np.uint8]) -> None:
            # only now, when there is something to save: a run that fails earlier leaves no note
            with self._noting:
                if not self._noted and self._output is not None:
                    places.leave_note(self._output, pipeline.config)
                    self._noted = True
            task.save(heatmap)

        at_address = any(isinstance(task, AddressTask) for task in tasks)
        with closing(write_each(pipeline, tasks, save, WAITING if at_address else 1)) as outcomes:
            yield from outcomes


def _row(status: str, error: UserError | None) -> tuple[str, str, str, str]:
    """Return the last columns; a name that is no UTF-8 is escaped, which Arrow could not hold."""
    if error is None:
        return status, "", "", ""
    return status, printable(error.thing), printable(error.reason), printable(error.next_step)


def on_this_machine(config: PipelineConfig) -> Resolved:
    """Return the configuration of another machine with what differs on this one: cache and photos to calibrate on.

    Raises:
        UserError: the weights are not here, or this machine has too few cores.
    """
    resolved = resolve(config)
    if not _are_here(resolved.weights):
        next_step = "put them there on every machine, or name a file in a shared folder"
        raise UserError(resolved.weights.path, f"these weights are not on {socket.gethostname()}", next_step)
    is_here = Path(resolved.cache_dir).is_dir()
    cache_dir = resolved.cache_dir if is_here else str(cache_folder(os.environ))
    photos_here = all(Path(photo).is_file() for photo in resolved.calibration)
    calibration = resolved.calibration if photos_here else project_photos()
    return replace(resolved, cache_dir=cache_dir, calibration=calibration)


def _are_here(weights: Weights) -> bool:
    """Tell whether weights of a file, or a model with all of its files, are on this machine; seeded ones always are."""
    try:
        return weights.path is None or sha256_with(Path(weights.path), weights.external) == weights.sha256
    except OSError:
        return False
