"""`midas-bench depth FOLDER -o OUT`: a heat map for each photo of a folder; it resumes after an interruption."""

from __future__ import annotations

import errno
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from midas_bench import scene_photos
from midas_bench.cli.main import warn
from midas_bench.depth.config import Resolved
from midas_bench.depth.photo import FORMATS, inspect
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.errors import UserError, printable
from midas_bench.files import write_whole

NOTE = "midas-bench.json"
"""In the folder of heat maps: the network that made them, so that one folder never mixes two."""

RATE_COVERS = "loading the network, reading and writing included"

EXIT_NOTHING_MADE = 2


@dataclass(frozen=True)
class PhotoTask:
    """A photo and where its heat map goes."""

    photo: Path
    heatmap: Path

    @property
    def done(self) -> bool:
        """Whether the heat map is there, whole, of the photo's size, and not older than the photo."""
        try:
            if self.heatmap.stat().st_mtime_ns < self.photo.stat().st_mtime_ns:
                return False
            photo, heatmap = inspect(self.photo.read_bytes()), inspect(self.heatmap.read_bytes())
        except (OSError, UserError):
            return False
        return (photo.width, photo.height) == (heatmap.width, heatmap.height)


def tasks(folder: Path, output: Path, suffix: str) -> list[PhotoTask]:
    """Return a task for each photo of the folder itself, in the order of their names.

    A heat map has its photo's name; photos that differ in their suffix alone keep it, as `a.jpg.png`. Where that is the
    name of another photo's heat map, all keep it. Other files are counted and named on standard error.

    Raises:
        UserError: the folder cannot be read, holds no photos, or is the folder for the heat maps.
    """
    if folder.resolve() == output.resolve():
        raise UserError(output, "holds the photos", "name another folder for the heat maps")
    inside = scene_photos.listing(folder)
    photos = inside.photos
    folders = (path for path in inside.folders if path.resolve() != output.resolve())
    others = [*(scene_photos.LeftOut(path.name, scene_photos.FOLDER) for path in folders), *inside.others]
    if not photos:
        raise scene_photos.no_photos(folder, others, f"name a folder with {', '.join(FORMATS)} files in it")
    if others:
        warn(scene_photos.left_out_line(others))
    stems = Counter(photo.stem for photo in photos)
    names = [photo.stem if stems[photo.stem] == 1 else photo.name for photo in photos]
    if len(set(names)) < len(names):
        names = [photo.name for photo in photos]
    return [PhotoTask(photo, output / (name + suffix)) for photo, name in zip(photos, names, strict=True)]


def run(
    tasks: Sequence[PhotoTask], output: Path, config: Resolved, save: Callable[[NDArray[np.uint8], Path], None]
) -> int:
    """Write the missing heat maps, list the photos that cannot be used, and return the exit code.

    Raises:
        UserError: the folder was made with other weights or another backend, holds files of these names that were not
            made here, or cannot be written.
    """
    if not check_note(output, config) and any(os.path.lexists(task.heatmap) for task in tasks):
        raise UserError(output, "holds files that were not made here", "choose another folder")
    missing = [task for task in tasks if not task.done]
    start_s = time.perf_counter()
    errors = _write_heatmaps(missing, output, config, save) if missing else []
    seconds = time.perf_counter() - start_s
    for error in errors:
        warn(f"left out: {error}")
    written, present = len(missing) - len(errors), len(tasks) - len(missing)
    rate = f" ({written / seconds:.1f} per second, {RATE_COVERS}; {config.backend})" if written else ""
    counts = [f"{written} made{rate}"]
    counts += [f"{present} there already"] * bool(present) + [f"{len(errors)} left out"] * bool(errors)
    print(f"{printable(output)}: {', '.join(counts)}")
    return 0 if written or present else EXIT_NOTHING_MADE


def _write_heatmaps(
    missing: Sequence[PhotoTask], output: Path, config: Resolved, save: Callable[[NDArray[np.uint8], Path], None]
) -> list[UserError]:
    """Write the heat maps and return the errors of photos that have none."""
    errors: list[UserError] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # results go to standard output
    console = Console(stderr=True)
    with (
        DepthPipeline.open(config=config) as pipeline,
        closing(pipeline.map((task.photo for task in missing), errors="return")) as stream,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        for task, heatmap in zip(progress.track(missing, description="heat maps"), stream, strict=True):
            if isinstance(heatmap, UserError):
                errors.append(heatmap)
                continue
            # only now, when there is something to save: a run that fails earlier leaves no note
            leave_note(output, config)
            try:
                save(heatmap, task.heatmap)
            except UserError as error:
                if not isinstance(error.__cause__, OSError):
                    errors.append(error)
                elif error.__cause__.errno == errno.ENAMETOOLONG:
                    errors.append(UserError(task.photo, "has too long a name for its heat map", "shorten it"))
                else:
                    # a full disk concerns all photos
                    raise
    return errors


def check_note(output: Path, config: Resolved) -> bool:
    """Tell whether the folder has a note of the network that made its heat maps.

    Raises:
        UserError: another network made them, or the note is damaged.
    """
    note = output / NOTE
    if not note.exists():
        return False
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(note, "cannot be read", "remove it or choose another folder") from error
    if noted != _note_fields(config):
        raise UserError(output, "holds heat maps of other weights or another backend", "choose another folder")
    return True


def leave_note(output: Path, config: Resolved) -> None:
    """Write a note of the network that makes the heat maps, unless there is one.

    Raises:
        UserError: it cannot be written.
    """
    note = output / NOTE
    if not note.exists():
        write_whole(note, json.dumps(_note_fields(config)).encode())


def _note_fields(config: Resolved) -> dict[str, str]:
    return {"backend": config.backend, "recipe": config.recipe, "weights": config.weights.fingerprint}
