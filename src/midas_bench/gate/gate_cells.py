"""What a gate compares: calls of pipelines, chosen by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from midas_bench.depth.backends import registry
from midas_bench.depth.stages import STAGES
from midas_bench.errors import UserError
from midas_bench.scene_photos import BATCH_SIZES, SCENES

PIPELINE = "pipeline"
DEFAULT_BACKEND = "onnx"
"""Of the default family: a block of eager takes more than three times as long, see docs/gate-measurements.md."""

OWN_CALLS = "calls"
"""What a worker opens that makes a user's own calls."""

CELL_NAME = re.compile(r"(?:test_)?(?P<call>\w+)\[(?P<backend>[\w-]+?)-b(?P<batch_size>\d+)-(?P<scene>\w+)\]")


@dataclass(frozen=True)
class GateCell:
    """One call that is timed in all arms.

    Attributes:
        call: `pipeline`, a stage, or the name of a user's own call.
        backend: a name of the registry; empty where each arm has its own, or none.
        batch_size: photos per call.
        scene: of the photos; empty for a user's own call, which gets none.
    """

    call: str
    backend: str = DEFAULT_BACKEND
    batch_size: int = 1
    scene: str = SCENES[0]

    @property
    def batch(self) -> str:
        """Name the pipeline and photos that a worker opens for it."""
        return f"b{self.batch_size}-{self.scene}" if self.scene else OWN_CALLS

    @property
    def name(self) -> str:
        """Return such as `pipeline[onnx-b1-street]`, as the benchmark is called."""
        if not self.scene:
            return self.call
        return f"{self.call}[{self.backend}-{self.batch}]" if self.backend else f"{self.call}[{self.batch}]"


FAMILY = tuple(GateCell(call) for call in (PIPELINE, *STAGES))
"""The whole pipeline with one photo, and each of its stages: they show what became slower, and where."""


ALTERNATIVES = tuple(GateCell(call, backend="") for call in (PIPELINE, "inference"))
"""Of backends to choose from: the other stages are the same for all."""


def own_cell(call: str) -> GateCell:
    """Return the cell of a user's own call."""
    return GateCell(call, backend="", scene="")


def full_matrix() -> tuple[GateCell, ...]:
    """Return the matrix of `bench/test_pipeline.py`, and the stages."""
    matrix = [
        GateCell(PIPELINE, backend, size, scene)
        for backend in registry.DEFAULT
        for size in BATCH_SIZES
        for scene in SCENES
    ]
    return tuple(dict.fromkeys([*matrix, *FAMILY]))


def cells_named(names: Sequence[str]) -> tuple[GateCell, ...]:
    """Return the cells of these names, each once: a cell's own, a backend's (its pipeline), or a stage's.

    Raises:
        UserError: a name is unknown.
    """
    return tuple(dict.fromkeys(_cell_named(name) for name in names))


def _cell_named(name: str) -> GateCell:
    if name in registry.REGISTRY:
        return GateCell(PIPELINE, name)
    if name in (PIPELINE, *STAGES):
        return GateCell(name)
    parts = CELL_NAME.fullmatch(name)
    if parts:
        cell = GateCell(parts["call"], parts["backend"], int(parts["batch_size"]), parts["scene"])
        exists = cell.call in (PIPELINE, *STAGES) and cell.backend in registry.REGISTRY and cell.scene in SCENES
        if exists and cell.batch_size in BATCH_SIZES:
            return cell
    choices = ", ".join([*registry.REGISTRY, PIPELINE, *STAGES])
    raise UserError(f"--cell {name}", "is unknown", f"choose from {choices}, or a cell such as {FAMILY[0].name}")
