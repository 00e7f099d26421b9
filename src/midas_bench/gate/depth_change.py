"""What changed in the depth, photo by photo, where arms have other models or backends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midas_bench.cpu import pinnable_core
from midas_bench.depth import heatmap
from midas_bench.errors import UserError
from midas_bench.gate.arms import BASE, Sides
from midas_bench.gate.gate_cells import GateCell
from midas_bench.gate.revision_workers import timed_call, worker_specs
from midas_bench.measure.fidelity import fidelity
from midas_bench.measure.worker_client import Worker, WorkerSpec
from midas_bench.processes import ProcessDiedError
from midas_bench.scene_photos import Photo

INFERENCE = "inference"


@dataclass(frozen=True)
class DepthChange:
    """How far a head's depth of one photo is from the base's.

    Attributes:
        head: the head's title.
        photo: its file's name.
        rank_correlation: Spearman's, over the pixels.
        largest_error: over the range of the base's depth.
        mean_error: likewise.
        resized: a sentence on the sizes where they differ; empty where they do not.
    """

    head: str
    photo: str
    rank_correlation: float
    largest_error: float
    mean_error: float
    resized: str = ""


def depth_changes(sides: Sides, backend: str, folder: Path) -> list[DepthChange]:
    """Compare the depth of all photos.

    Args:
        sides: with their configurations.
        backend: of the cells; empty where each arm has its own.
        folder: for files that are not kept.

    Raises:
        UserError: an arm does not give depth.
    """
    photos = {scene: list(found) for scene, found in sides.photos.items()}
    cells = [GateCell(INFERENCE, backend, len(found), scene) for scene, found in photos.items()]
    specs = worker_specs(sides, cells)
    base = _depth(specs[BASE], cells, folder)
    changes = []
    for name, arm in sides.arms.items():
        if name == BASE:
            continue
        depth = _depth(specs[name], cells, folder)
        for cell in cells:
            changes += _changes(arm.title, photos[cell.scene], base[cell.scene], depth[cell.scene])
    return changes


def _changes(
    title: str, photos: Sequence[Photo], base: NDArray[np.float32], head: NDArray[np.float32]
) -> list[DepthChange]:
    resized = ""
    if base.shape != head.shape:
        of_head, of_base = (f"{depth.shape[1]}x{depth.shape[2]}" for depth in (head, base))
        resized = f"depth of {title} is {of_head}, the base's {of_base}: the smaller is enlarged, as for a heat map"
        _, height, width = max(base.shape, head.shape, key=math.prod)
        base, head = (enlarged(depth, width, height) for depth in (base, head))
    changes = []
    for number, photo in enumerate(photos):
        one = slice(number, number + 1)
        close = fidelity(head[one], base[one])
        changes.append(
            DepthChange(
                title,
                photo.file,
                close.rank_correlation,
                close.max_relative_error,
                close.mean_relative_error,
                resized,
            )
        )
    return changes


def enlarged(depth: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Return maps (N, h, w) at another size, enlarged as for heat maps."""
    if depth.shape[1:] == (height, width):
        return depth
    return np.stack([heatmap.enlarged(one, width, height) for one in depth])


def _depth(spec: WorkerSpec, cells: Sequence[GateCell], folder: Path) -> dict[str, NDArray[np.float32]]:
    """Return by scene float32 (N, h, w)."""
    depth = {}
    try:
        with Worker(spec, pinnable_core()) as worker:
            worker.open()
            for cell in cells:
                saved = worker.save(timed_call(spec.name, cell), folder / f"{spec.name}-{cell.batch}.depth")
                assert saved is not None
                depth[cell.scene] = saved.read().reshape(len(saved.shapes), *saved.shapes[0])
    except ProcessDiedError as error:
        raise UserError("depth", f"cannot be compared ({error})", "leave out the model or backend") from error
    return depth
