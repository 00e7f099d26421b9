"""The worker of each side of a gate: the same photos, weights and settings, but its own source tree."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.config import PipelineConfig, Resolved
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError
from midas_bench.gate.gate_cells import GateCell
from midas_bench.gate.revisions import Revision
from midas_bench.measure.worker_client import TimedCall, WorkerSpec
from midas_bench.scene_photos import Photo, batch

BASE, HEAD = "base", "head"
SIDES = (BASE, HEAD)
"""Names of equal length: where a process's files lie can shift its timing (T. Mytkowicz et al., Producing Wrong Data
Without Doing Anything Obviously Wrong, ASPLOS 2009)."""


@dataclass(frozen=True)
class Sides:
    """Both sides of a gate, and what is the same for both.

    Attributes:
        base: the revision to compare with.
        head: the revision that is judged.
        config: weights and cache; cells choose the backend.
        photos: by scene.
        run_folder: the gate's own, with the revisions' files.
    """

    base: Revision
    head: Revision
    config: Resolved
    photos: Mapping[str, Sequence[Photo]]
    run_folder: Path

    @property
    def revisions(self) -> dict[str, Revision]:
        """Both revisions by the name of their side."""
        return {BASE: self.base, HEAD: self.head}


def as_checkpoint(weights: Weights, cache_dir: Path) -> Weights:
    """Return the weights as a checkpoint file, so that both sides load the same ones.

    Without it, seeded weights are drawn by each side's own code, which may differ.

    Raises:
        UserError: the cache cannot be written.
    """
    if weights.path:
        return weights
    checkpoint = artifact("checkpoint", weights, cache_dir)
    return Weights("file", checkpoint.sha256, str(checkpoint.path))


def worker_specs(sides: Sides, cells: Sequence[GateCell]) -> list[WorkerSpec]:
    """Return one worker per side; it opens the pipelines of these cells of one backend, on one thread.

    Raises:
        UserError: a cell's scene has no photos.
    """
    settings = asdict(replace(sides.config, backend=cells[0].backend, threads=1))
    defaults = asdict(PipelineConfig())
    # fields at their default are left out, because an older revision may lack them
    used = {name: value for name, value in settings.items() if value != defaults[name]}
    pipelines = {cell.batch: {"photos": _paths(cell, sides.photos), "config": used} for cell in cells}
    return [
        WorkerSpec(name, pipelines, _environment(name, sides), side.python, side.slowdown, str(side.source))
        for name, side in sides.revisions.items()
    ]


def timed_call(side: str, cell: GateCell) -> TimedCall:
    """Name a cell's call as a worker knows it."""
    return TimedCall(side, cell.batch, cell.call)


def _paths(cell: GateCell, photos: Mapping[str, Sequence[Photo]]) -> list[str]:
    if cell.scene not in photos:
        raise UserError(cell.name, f"has no photos: there are {', '.join(photos)}", "choose another --cell")
    return batch(photos[cell.scene], cell.batch_size).paths


def _environment(name: str, sides: Sides) -> dict[str, str]:
    # compiled modules go into folders of ours, so that neither side starts with more of them than the other
    compiled = sides.run_folder / "compiled" / name
    return {"PYTHONPATH": str(sides.revisions[name].source), "PYTHONPYCACHEPREFIX": str(compiled)}


def fresh_python(revision: Revision, extras: Collection[str], folder: Path) -> str:
    """Make a virtual environment with the dependencies of a revision and its extras; return its interpreter.

    Raises:
        UserError: they cannot be installed.
    """
    venv.create(folder, with_pip=True)
    python = str(folder / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    requirement = f"{revision.folder}[{','.join(sorted(extras))}]" if extras else str(revision.folder)
    pip: Any = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement],
        capture_output=True, text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    if pip.returncode:
        reason = next((line for line in reversed(pip.stderr.splitlines()) if "ERROR" in line), "pip gave no reason")
        why = f"its dependencies cannot be installed ({reason})"
        raise UserError(f"--fresh-env: {revision.title}", why, "run the gate without it")
    return python
