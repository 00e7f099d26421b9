"""Where photos come from and heat maps go: paths, or addresses such as s3://bucket/photos, which fsspec reads."""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midas_bench import heatmap_files, scene_photos
from midas_bench.depth.config import Resolved
from midas_bench.depth.photo import FORMATS, CheckedPhoto, check
from midas_bench.errors import UserError
from midas_bench.files import TEMPORARY, remove_all_left_behind
from midas_bench.heatmap_files import NOTE, PhotoTask

MAGIC = re.compile(r"[*?\[]")
"""What makes a name a pattern."""


def is_address(place: str) -> bool:
    """Tell an address from a path."""
    return "://" in place


def _opened(place: str) -> tuple[Any, str]:
    """Return the file system of an address or path, and its name there."""
    import fsspec

    with _reaching(place):
        found: tuple[Any, str] = fsspec.core.url_to_fs(place)
        return found


@contextmanager
def _reaching(place: str) -> Iterator[None]:
    """Name the place in whatever its file system raises: each has exceptions of its own.

    Raises:
        UserError: with an OSError as cause where the system cannot read or write.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(place, "cannot be read (No such file or directory)", "check the path") from error
    # the package for this kind of address is missing
    except ImportError as error:
        raise UserError(place, f"cannot be reached ({error})", "install that package on every machine") from error
    except Exception as error:
        reason = f"cannot be reached ({type(error).__name__}: {error})"
        raise UserError(place, reason, "check the address and your rights to it") from (
            error if isinstance(error, OSError) else OSError(str(error))
        )


@dataclass(frozen=True)
class AddressTask:
    """A photo and where its heat map goes, at least one of them at an address."""

    photo: str
    heatmap: str

    @property
    def done(self) -> bool:
        """Whether the heat map is there; it is renamed to its name when it is whole."""
        files, name = _opened(self.heatmap)
        with _reaching(self.heatmap):
            return bool(files.exists(name))

    def read(self) -> CheckedPhoto:
        """Read and check the photo.

        Raises:
            UserError: it cannot be read or used.
        """
        files, name = _opened(self.photo)
        with _reaching(self.photo):
            data: bytes = files.cat_file(name)
        return check(data, self.photo)

    def save(self, heatmap: NDArray[np.uint8]) -> None:
        """Write the heat map.

        Raises:
            UserError: the format cannot hold it, or (with an OSError as cause) it cannot be written.
        """
        write(self.heatmap, heatmap_files.encode(heatmap, self.heatmap))


Task = PhotoTask | AddressTask


def task(photo: str, heatmap: str) -> Task:
    """Return the task for a photo; paths on both sides are what a folder's own command reads and writes."""
    if is_address(photo) or is_address(heatmap):
        return AddressTask(photo, heatmap)
    return PhotoTask(Path(photo), Path(heatmap))


def write(place: str, content: bytes) -> None:
    """Write a file under a temporary name, and rename it.

    Raises:
        UserError: it cannot be written.
    """
    files, name = _opened(place)
    folder = posixpath.dirname(name)
    # one name for all attempts: what a killed process left is overwritten
    temporary = posixpath.join(folder, f".{posixpath.basename(name)}{TEMPORARY}")
    with _reaching(place):
        try:
            files.pipe_file(temporary, content)
        # object stores have no folders, and others are asked only once
        except FileNotFoundError:
            files.makedirs(folder, exist_ok=True)
            files.pipe_file(temporary, content)
        files.mv(temporary, name)


def check_note(output: str, config: Resolved) -> bool:
    """Tell whether the output has a note of the network that made its heat maps; raises as `heatmap_files` does."""
    if not is_address(output):
        return heatmap_files.check_note(Path(output), config)
    note = joined(output, NOTE)
    files, name = _opened(note)
    with _reaching(note):
        text: bytes | None = files.cat_file(name) if files.exists(name) else None
    if text is None:
        return False
    heatmap_files.compare_note(output, note, text, config)
    return True


def leave_note(output: str, config: Resolved) -> None:
    """Write a note of the network that makes the heat maps, unless there is one.

    Raises:
        UserError: it cannot be written, or another network made those that are there.
    """
    if not is_address(output):
        heatmap_files.leave_note(Path(output), config)
    elif not check_note(output, config):
        write(joined(output, NOTE), heatmap_files.note_text(config))


def existing(output: str, heatmaps: Sequence[str]) -> set[str]:
    """Return those of the heat maps that are there."""
    if not is_address(output):
        return {heatmap for heatmap in heatmaps if os.path.lexists(heatmap)}
    files, root = _opened(output)
    with _reaching(output):
        there = set(files.find(root)) if files.exists(root) else set()
    return {heatmap for heatmap in heatmaps if _name(files, heatmap) in there}


def remove_temporaries(heatmaps: Sequence[str]) -> None:
    """Remove what killed processes left beside these heat maps, once nobody writes them any more."""
    folders: dict[Path, set[str]] = {}
    for heatmap in heatmaps:
        if not is_address(heatmap):
            path = Path(heatmap)
            folders.setdefault(path.parent, set()).add(path.name)
    for folder, names in folders.items():
        remove_all_left_behind(folder, names)


def joined(folder: str, *names: str) -> str:
    """Return the place of a file in a folder."""
    if is_address(folder):
        return posixpath.join(folder.rstrip("/"), *(name for name in names if name not in ("", ".")))
    return str(Path(folder, *names))


def tasks(photos: str, output: str, suffix: str, warn: Callable[[str], object]) -> list[tuple[str, str]]:
    """Return place of photo and of heat map for each photo of a folder, a pattern or an address.

    Heat maps are named as `heatmap_files.stems` has it. Below a pattern's fixed beginning, they keep their photos'
    folders. At an address, a file's ending tells whether it is a photo; elsewhere its first bytes do.

    Raises:
        UserError: there is no such place, or no photo in it; or it is where the heat maps are to go.
    """
    if not is_address(photos) and Path(photos).is_dir():
        listed = heatmap_files.tasks(Path(photos), Path(output), suffix, warn)
        return [(str(one.photo), str(one.heatmap)) for one in listed]
    found, others = _at_address(photos, output) if is_address(photos) else _by_pattern(photos, output)
    if not found:
        raise heatmap_files.no_photos(photos, others)
    if others:
        warn(scene_photos.left_out_line(others))
    rows = []
    for folder, places in found.items():
        stems = heatmap_files.stems([PurePosixPath(place) for place in places])
        rows += [(place, joined(output, folder, stem + suffix)) for place, stem in zip(places, stems, strict=True)]
    return rows


Found = tuple[dict[str, list[str]], list[scene_photos.LeftOut]]
"""Photos by their folder relative to where the search began, and what is passed over."""


def _by_pattern(pattern: str, output: str) -> Found:
    if not MAGIC.search(pattern):
        next_step = "name a folder, or leave out --ray for one photo"
        raise UserError(pattern, "is a photo" if Path(pattern).is_file() else "no such folder", next_step)
    base = _fixed(pattern)
    # `Path.glob` takes no absolute pattern
    matches = {Path(match) for match in glob.glob(pattern, recursive=True)}  # noqa: PTH207
    kept_out = None if is_address(output) else Path(output).resolve()
    found: dict[str, list[str]] = {}
    others: list[scene_photos.LeftOut] = []
    for folder in sorted({match.parent for match in matches}):
        # a second run must not take heat maps for photos
        if kept_out is not None and kept_out in (folder.resolve(), *folder.resolve().parents):
            continue
        inside = scene_photos.listing(folder)
        photos = [str(photo) for photo in inside.photos if photo in matches]
        if photos:
            found[str(folder.relative_to(base))] = photos
        others += [other for other in inside.others if folder / other.name in matches]
    return found, others


def _at_address(address: str, output: str) -> Found:
    files, root = _opened(address)
    is_pattern = bool(MAGIC.search(root))
    base = _fixed(root) if is_pattern else root.rstrip("/")
    if is_address(output) and _name(files, output).rstrip("/") == base.rstrip("/") and not is_pattern:
        raise heatmap_files.holds_photos(output)
    with _reaching(address):
        entries = files.glob(root, detail=True).values() if is_pattern else files.ls(root, detail=True)
    names = sorted(entry["name"] for entry in entries if entry["type"] == "file")
    # a second run must not take heat maps for photos
    kept_out = f"{_name(files, output).rstrip('/')}/" if is_address(output) else None
    found: dict[str, list[str]] = {}
    others: list[scene_photos.LeftOut] = []
    for name in names:
        path = PurePosixPath(name)
        if scene_photos.is_litter(path) or (kept_out is not None and name.startswith(kept_out)):
            continue
        if scene_photos.SUFFIXES.get(path.suffix.lower()) in FORMATS:
            found.setdefault(str(path.parent.relative_to(base)), []).append(files.unstrip_protocol(name))
        else:
            others.append(scene_photos.LeftOut(path.name, scene_photos.OTHER))
    return found, others


def _fixed(pattern: str) -> str:
    """Return the folders before the first one that is a pattern."""
    parts = PurePosixPath(pattern).parts
    first = next(number for number, part in enumerate(parts) if MAGIC.search(part))
    return str(PurePosixPath(*parts[:first]))


def _name(files: Any, place: str) -> str:
    name: str = files._strip_protocol(place)
    return name
