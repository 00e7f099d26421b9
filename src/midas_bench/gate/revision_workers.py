"""The worker of each arm of a gate: the same photos and threads, but its own code, libraries, model or backend."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.config import PipelineConfig
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError
from midas_bench.gate.arms import CONTROL, Arm, Sides
from midas_bench.gate.gate_cells import GateCell
from midas_bench.gate.revisions import IN_PLACE, Revision
from midas_bench.measure.worker_client import TimedCall, WorkerSpec
from midas_bench.scene_photos import Photo, batch


def as_checkpoint(weights: Weights, cache_dir: Path) -> Weights:
    """Return the weights as a checkpoint file, so that both sides load the same ones.

    Without it, seeded weights are drawn by each side's own code, which may differ.

    Raises:
        UserError: the cache cannot be written.
    """
    if weights.path:
        return weights
    # networks of all sizes share it
    checkpoint = artifact("checkpoint", replace(weights, interface=MIDAS), cache_dir)
    return replace(weights, source="file", sha256=checkpoint.sha256, path=str(checkpoint.path))


def worker_specs(sides: Sides, cells: Sequence[GateCell]) -> dict[str, WorkerSpec]:
    """Return by name the worker of each arm and of the control; each opens what these cells of one series call.

    Raises:
        UserError: a cell's scene has no photos.
    """
    arms = {**sides.arms, CONTROL: sides.base}
    return {
        name: WorkerSpec(
            name,
            _pipelines(sides, arm, cells),
            _environment(name, sides, arm),
            arm.python,
            arm.slowdown,
            # a user's own module may be installed elsewhere where nothing was checked out
            None if arm.revision.digest == IN_PLACE else str(arm.revision.source),
            sides.calls or None,
        )
        for name, arm in arms.items()
    }


def _pipelines(sides: Sides, arm: Arm, cells: Sequence[GateCell]) -> dict[str, dict[str, Any]]:
    """Return what a worker opens, by name: `photos` (paths) and `config`; of a user's own calls, neither."""
    if arm.config is None:
        return {cell.batch: {"photos": [], "config": {}} for cell in cells}
    # alternatives to choose from have each a backend of their own
    config = replace(arm.config, threads=1, backend=cells[0].backend or arm.config.backend)
    settings = asdict(config) | {"weights": arm.config.weights.to_json()}
    defaults = asdict(PipelineConfig())
    # fields at their default are left out, because an older revision may lack them; so are a model's settings, which
    # the interface of the weights holds
    used = {name: value for name, value in settings.items() if value != defaults[name] and name != "model_settings"}
    return {cell.batch: {"photos": _paths(cell, sides.photos), "config": used} for cell in cells}


def timed_call(arm: str, cell: GateCell) -> TimedCall:
    """Name a cell's call as a worker knows it."""
    return TimedCall(arm, cell.batch, cell.call)


def _paths(cell: GateCell, photos: Mapping[str, Sequence[Photo]]) -> list[str]:
    if cell.scene not in photos:
        raise UserError(cell.name, f"has no photos: there are {', '.join(photos)}", "choose another --cell")
    return batch(photos[cell.scene], cell.batch_size).paths


def _environment(name: str, sides: Sides, arm: Arm) -> dict[str, str]:
    # compiled modules go into folders of ours, so that no arm starts with more of them than another
    compiled = sides.run_folder / "compiled" / name
    return {
        "PYTHONPATH": os.pathsep.join(map(str, arm.revision.python_path)),
        "PYTHONPYCACHEPREFIX": str(compiled),
        # images of containers set it, and then every start of every arm would compile all modules anew
        "PYTHONDONTWRITEBYTECODE": "",
    }


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
