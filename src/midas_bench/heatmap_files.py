"""Heat maps in files: which file a photo's heat map is, whether it is there already, and how it is written."""

from __future__ import annotations

import errno
import io
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from midas_bench import scene_photos
from midas_bench.depth import heatmap_png
from midas_bench.depth.config import Resolved
from midas_bench.depth.photo import FORMATS as PHOTO_FORMATS
from midas_bench.depth.photo import CheckedPhoto, check, inspect, read
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.stream import ordered_map
from midas_bench.errors import UserError
from midas_bench.files import write_whole

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

NOTE = "midas-bench.json"
"""In the folder of heat maps: the network that made them, so that one folder never mixes two."""


class Task(Protocol):
    """A photo whose heat map is to be made; errors name both by their places."""

    @property
    def photo(self) -> object: ...  # noqa: D102
    @property
    def heatmap(self) -> object: ...  # noqa: D102
    def read(self) -> CheckedPhoto: ...  # noqa: D102


T = TypeVar("T", bound=Task)


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

    def read(self) -> CheckedPhoto:
        """Read and check the photo.

        Raises:
            UserError: it cannot be read or used.
        """
        return check(read(self.photo), str(self.photo))

    def save(self, heatmap: NDArray[np.uint8]) -> None:
        """Write the heat map; raises what `save` raises."""
        save(heatmap, self.heatmap)


def tasks(folder: Path, output: Path, suffix: str, warn: Callable[[str], object]) -> list[PhotoTask]:
    """Return a task for each photo of the folder itself, in the order of their names.

    Other files are counted and named in one line, with which `warn` is called.

    Raises:
        UserError: the folder cannot be read, holds no photos, or is the folder for the heat maps.
    """
    if folder.resolve() == output.resolve():
        raise holds_photos(output)
    inside = scene_photos.listing(folder)
    folders = (path for path in inside.folders if path.resolve() != output.resolve())
    others = [*(scene_photos.LeftOut(path.name, scene_photos.FOLDER) for path in folders), *inside.others]
    if not inside.photos:
        raise no_photos(folder, others)
    if others:
        warn(scene_photos.left_out_line(others))
    names = stems(inside.photos)
    return [PhotoTask(photo, output / (name + suffix)) for photo, name in zip(inside.photos, names, strict=True)]


def holds_photos(output: object) -> UserError:
    """Say that heat maps cannot go where the photos are."""
    return UserError(output, "holds the photos", "name another folder for the heat maps")


def no_photos(folder: object, others: Sequence[scene_photos.LeftOut]) -> UserError:
    """Say that a folder holds no photos, and what it holds in place of them."""
    return scene_photos.no_photos(folder, others, f"name a folder with {', '.join(PHOTO_FORMATS)} files in it")


def stems(photos: Sequence[PurePath]) -> list[str]:
    """Name the heat maps of one folder's photos, without their suffix.

    A heat map has its photo's name; photos that differ in their suffix alone keep it, as `a.jpg.png`. Where that is the
    name of another photo's heat map, all keep it.
    """
    counts = Counter(photo.stem for photo in photos)
    names = [photo.stem if counts[photo.stem] == 1 else photo.name for photo in photos]
    if len(set(names)) < len(names):
        return [photo.name for photo in photos]
    return names


def write_each(
    pipeline: DepthPipeline, tasks: Iterable[T], save: Callable[[T, NDArray[np.uint8]], None], waiting: int = 1
) -> Generator[UserError | None, None, None]:
    """Make and save the heat map of each task; yield None for it, or the error of a photo that has none.

    A thread takes a photo the whole way: encoding takes as long as the network, and one thread for all of it would keep
    many cores waiting.

    Args:
        pipeline: open until the iterator is closed.
        tasks: taken in order, a few ahead of the outcomes.
        save: encodes and writes one, in any thread.
        waiting: threads beside those that the cores have room for, while others wait for disks and networks.

    Raises:
        UserError: what concerns all photos, such as a full disk.
    """

    def outcome(task: T) -> UserError | None:
        try:
            [heatmap] = pipeline.run([task.read()], palette=has_palette(task.heatmap)).heatmaps
        except UserError as error:
            return error
        try:
            save(task, heatmap)
        except UserError as error:
            return _of_this_photo(error, task)
        return None

    threads = max(2, pipeline.max_concurrent) + waiting
    with closing(ordered_map(outcome, tasks, threads, threads + 1)) as outcomes:
        for finished in outcomes:
            yield finished.result()


def _of_this_photo(error: UserError, task: Task) -> UserError:
    """Return why this heat map cannot be written, or raise what the others would meet too."""
    if not isinstance(error.__cause__, OSError):
        return error
    if error.__cause__.errno == errno.ENAMETOOLONG:
        return UserError(task.photo, "has too long a name for its heat map", "shorten it")
    raise error


def save(heatmap: NDArray[np.uint8], output: Path) -> None:
    """Write a heat map as `encode` takes it, whole or not at all.

    Raises:
        UserError: the format cannot hold it, or (with an OSError as cause) it cannot be written.
    """
    write_whole(output, encode(heatmap, output))


def has_palette(output: object) -> bool:
    """Tell whether a file of this suffix holds its heat map as indices of a palette."""
    return _format(output) == "PNG"


def encode(heatmap: NDArray[np.uint8], output: object) -> bytes:
    """Return a heat map in the format that the suffix of `output` names: RGB, or indices where it has a palette.

    Raises:
        UserError: the format cannot hold it.
    """
    if has_palette(output):
        return heatmap_png.encode(heatmap)
    encoded = io.BytesIO()
    try:
        Image.fromarray(heatmap).save(encoded, format=_format(output))
    # WebP is limited to 16383 pixels per side
    except (OSError, ValueError) as error:
        # without a cause: an OSError would stand for a disk that all photos meet
        raise UserError(output, f"cannot hold the heat map ({error})", "use .png") from None
    return encoded.getvalue()


def _format(output: object) -> str:
    return FORMATS[PurePath(str(output)).suffix.lower()]


def check_note(output: Path, config: Resolved) -> bool:
    """Tell whether the folder has a note of the network that made its heat maps.

    Raises:
        UserError: another network made them, or the note is damaged.
    """
    note = output / NOTE
    if not note.exists():
        return False
    try:
        text = note.read_bytes()
    except OSError as error:
        raise damaged_note(note) from error
    compare_note(output, note, text, config)
    return True


def compare_note(output: object, note: object, text: bytes, config: Resolved) -> None:
    """Compare the text of a folder's note with the network that is to make heat maps in it.

    Raises:
        UserError: they differ, or the note is damaged.
    """
    try:
        noted = json.loads(text.decode())
    except ValueError as error:
        raise damaged_note(note) from error
    if noted != _note_fields(config):
        raise UserError(output, "holds heat maps of other weights or another backend", "choose another folder")


def damaged_note(note: object) -> UserError:
    """Say that a note cannot be read."""
    return UserError(note, "cannot be read", "remove it or choose another folder")


def not_made_here(output: object) -> UserError:
    """Say that a folder without a note holds files of the heat maps' names."""
    return UserError(output, "holds files that were not made here", "choose another folder")


def leave_note(output: Path, config: Resolved) -> None:
    """Write a note of the network that makes the heat maps, unless there is one.

    Raises:
        UserError: it cannot be written.
    """
    note = output / NOTE
    if not note.exists():
        write_whole(note, note_text(config))


def note_text(config: Resolved) -> bytes:
    """Return the note of a network."""
    return json.dumps(_note_fields(config)).encode()


def _note_fields(config: Resolved) -> dict[str, str]:
    return {"backend": config.backend, "recipe": config.recipe, "weights": config.weights.fingerprint}
