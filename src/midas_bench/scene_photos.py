"""manifest.toml, or a folder of the user's own -> photos by scene."""

from __future__ import annotations

import hashlib
import math
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from midas_bench.depth import calibration
from midas_bench.depth.photo import FORMATS, HEAD_BYTES, check, decode_reduced, format_of
from midas_bench.errors import UserError, printable
from midas_bench.files import expanded

BATCH_SIZES = (1, 2, 3, 4)
SCENES = ("street", "indoor", "pet", "portrait")
OWN_SCENE = "own"
"""What the scene of a user's photos is called that stand in no folder of a scene."""
SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".mpo": "JPEG", ".png": "PNG", ".webp": "WEBP",
    ".heic": "HEIC", ".heif": "HEIC", ".hif": "HEIC", ".avif": "AVIF",
}  # fmt: skip
"""What a file is meant to be whose first bytes do not tell: an empty or damaged photo is named, and not passed over."""
LITTER = frozenset(
    ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin",
     "system volume information", "lost+found")
)  # fmt: skip
"""What systems leave in a user's folders beside hidden files, in small letters; it needs no mention."""
FOLDER = "folder"
OTHER = "video or other"
MOST_NAMES = 10
REQUIRED_KEYS = {"scene", "file", "source", "author", "licence", "width", "height", "sha256"}


@dataclass(frozen=True)
class Photo:
    """One encoded image file of a scene, read and checked.

    Attributes:
        scene: one of `SCENES`.
        file: its name, as reports show it.
        data: the encoded bytes.
        width: of the upright photo, in pixels.
        height: of the upright photo, in pixels.
        sha256: of `data`.
        path: where it was read from, for processes that read it themselves.
        rendered: whether it was made by a program and not by a camera.
        depth: 16-bit PNG of its true inverse depth, or None where that is not known.
        depth_scale: of `depth`: value times scale is 1 / metres.
        author: as the manifest names them; empty for a user's own photos.
        licence: of the photo; empty for a user's own.
        alt: what it shows, for those who cannot see it; where the manifest does not say it, its scene.
    """

    scene: str
    file: str
    data: bytes
    width: int
    height: int
    sha256: str
    path: Path
    rendered: bool = False
    depth: Path | None = None
    depth_scale: float = 0.0
    author: str = ""
    licence: str = ""
    alt: str = ""

    def true_inverse_depth(self) -> NDArray[np.float64]:
        """Return 1 / metres along the camera's axis, (h, w) of half the photo's size; 0 is the sky.

        Raises:
            UserError: the depth is not known, or its file is missing or damaged.
        """
        if self.depth is None:
            raise UserError(self.file, "has no true depth", "choose a rendered photo")
        # a path that is not UTF-8 ends OpenCV with a segmentation fault, and an empty buffer with an exception
        data = self.depth.read_bytes() if self.depth.is_file() else b""
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        if values is None or values.dtype != np.uint16 or values.ndim != 2:
            raise UserError(self.depth, "is missing or not a 16-bit grey PNG", "restore it")
        if not values.any():
            raise UserError(self.depth, "holds nothing but sky (all zero)", "restore it or remove depth from the row")
        return np.asarray(values, np.float64) * self.depth_scale


@dataclass(frozen=True)
class Batch:
    """The photos of one call.

    Attributes:
        photos: as many as the batch size.
        repeated: whether some stand in it more than once, because the scene has too few.
    """

    photos: tuple[Photo, ...]
    repeated: bool

    @property
    def data(self) -> list[bytes]:
        """The encoded photos, as a pipeline takes them."""
        return [photo.data for photo in self.photos]

    @property
    def paths(self) -> list[str]:
        """Where they can be read, as a request to another process names them."""
        return list(paths(self.photos))


Scenes = Mapping[str, Sequence[Photo]]


def batch(photos: Sequence[Photo], size: int) -> Batch:
    """Take `size` photos, different ones as far as there are any.

    Raises:
        UserError: the size is below 1.
    """
    if size < 1:
        raise UserError(f"batch size {size}", "a batch needs at least one photo", "choose 1 or more")
    return Batch(tuple(photos[i % len(photos)] for i in range(size)), repeated=size > len(photos))


def first_per_scene(scenes: Scenes) -> list[Photo]:
    """Return the first photo of each scene."""
    return [photos[0] for photos in scenes.values()]


def all_photos(scenes: Scenes) -> list[Photo]:
    """Return every photo of every scene."""
    return [photo for photos in scenes.values() for photo in photos]


def paths(photos: Iterable[Photo]) -> tuple[str, ...]:
    """Return where photos can be read, as a configuration or a request to another process names them."""
    return tuple(str(photo.path) for photo in photos)


def largest(photos: Sequence[Photo]) -> Photo:
    """Return the photo with the most pixels, whatever it shows."""
    return max(photos, key=lambda photo: photo.width * photo.height)


def usual_and_largest(scenes: Scenes) -> dict[str, Photo]:
    """Return the photos that benchmarks of the whole way take, by their names in ids: `usual` and `large`."""
    return {"usual": first_per_scene(scenes)[0], "large": largest(all_photos(scenes))}


def chosen(folder: str | Path | None, manifest: Path, left_out: Callable[[str], object]) -> dict[str, list[Photo]]:
    """Return the photos of the user's folder, else those of the manifest; `left_out` hears of what is passed over.

    Raises:
        UserError: as `from_folder` and `from_manifest`.
    """
    return from_folder(expanded(str(folder)), left_out) if folder else from_manifest(manifest)


def from_manifest(manifest: Path) -> dict[str, list[Photo]]:
    """Read the photos that the rows of a manifest.toml name, each checked against its hash and size.

    Raises:
        UserError: the manifest or one of its photos is missing, damaged or not what the row says.
    """
    scenes: dict[str, list[Photo]] = {}
    for number, row in enumerate(calibration.rows(manifest), start=1):
        photo = _from_row(manifest, number, row)
        scenes.setdefault(photo.scene, []).append(photo)
    return _ordered(scenes)


def _from_row(manifest: Path, number: int, row: Mapping[str, Any]) -> Photo:
    missing = sorted(REQUIRED_KEYS - row.keys())
    if missing:
        raise UserError(f"{manifest.name}, photo {number}", f"lacks {', '.join(missing)}", "complete the row")
    if not isinstance(row["file"], str) or not isinstance(row["scene"], str):
        raise UserError(f"{manifest.name}, photo {number}", "has a file or scene that is no text", "correct the row")
    photo = _read(manifest.parent / row["file"], row["scene"], row["file"])
    calibration.check_sha256(manifest, row, photo.sha256)
    if (photo.width, photo.height) != (row["width"], row["height"]):
        raise UserError(
            row["file"],
            f"is {photo.width}x{photo.height} where {manifest.name} says {row['width']}x{row['height']}",
            "correct the row",
        )
    if "depth" in row:
        _check_depth(row)
    return replace(
        photo,
        rendered=row.get("kind") == "rendered",
        depth=(manifest.parent / row["depth"]) if "depth" in row else None,
        depth_scale=float(row["depth_scale"]) if "depth" in row else 0.0,
        author=str(row["author"]),
        licence=str(row["licence"]),
        alt=str(row.get("alt", photo.alt)),
    )


def _check_depth(row: Mapping[str, Any]) -> None:
    if not isinstance(row["depth"], str):
        raise UserError(row["file"], "has a depth that is no file's name", "correct the row")
    if "depth_scale" not in row:
        raise UserError(row["file"], "has depth without a depth_scale", "add it to the row")
    scale = row["depth_scale"]
    if type(scale) not in (int, float) or not 0 < scale < math.inf:  # NaN included
        raise UserError(row["file"], f"has depth_scale {scale!r}, which is no positive number", "correct the row")


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is passed over.

    Attributes:
        name: as the user is told it.
        kind: a format that is not read, or in words what it is.
    """

    name: str
    kind: str


@dataclass(frozen=True)
class Listing:
    """What stands in a folder, in the order of the names.

    Attributes:
        photos: files to be read as photos, damaged ones included.
        folders: those in it, without hidden ones and litter.
        others: files that are passed over.
    """

    photos: tuple[Path, ...]
    folders: tuple[Path, ...]
    others: tuple[LeftOut, ...]


def listing(folder: Path) -> Listing:
    """Tell the photos in a folder from what else is in it, by their first bytes and not by their names.

    Hidden files and folders, and what systems leave, are in none of the three.

    Raises:
        UserError: the folder cannot be read.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if not is_litter(path))
    except OSError as error:
        raise UserError(folder, f"cannot be read ({error.strerror})", "check its permissions") from error
    kinds = {path: _kind(path) for path in paths}
    return Listing(
        photos=tuple(path for path in paths if kinds[path] in FORMATS),
        folders=tuple(path for path in paths if kinds[path] == FOLDER),
        others=tuple(LeftOut(path.name, kind) for path, kind in kinds.items() if kind not in (*FORMATS, FOLDER)),
    )


def is_litter(path: PurePath) -> bool:
    """Tell hidden files and folders, and what systems leave, which need no mention."""
    return path.name.startswith(".") or path.name.lower() in LITTER


def _kind(path: Path) -> str:
    suffix_format = SUFFIXES.get(path.suffix.lower())
    by_suffix = suffix_format if suffix_format in FORMATS else OTHER
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return FOLDER
        # to open a pipe would wait for who writes to it
        if not stat.S_ISREG(mode):
            return OTHER
        with path.open("rb") as file:
            return format_of(file.read(HEAD_BYTES)) or by_suffix
    except OSError:
        return by_suffix


def left_out_line(others: Sequence[LeftOut]) -> str:
    """Count and name in one line what is passed over: `left out: 2 HEIC, 1 video or other: a.heic, b.heic, c.txt`."""
    # formats first, and last what is known least of
    ordered = sorted(others, key=lambda other: (other.kind == OTHER, not other.kind.isupper(), other.kind, other.name))
    counts = Counter(other.kind for other in ordered)
    counted = ", ".join(f"{n} {kind}{'s' * (kind == FOLDER and n > 1)}" for kind, n in counts.items())
    names = ", ".join(printable(other.name) for other in ordered[:MOST_NAMES])
    more = f" and {len(ordered) - MOST_NAMES} more" if len(ordered) > MOST_NAMES else ""
    return f"left out: {counted}: {names}{more}"


def no_photos(folder: object, others: Sequence[LeftOut], next_step: str) -> UserError:
    """Say that a folder holds no photos, and what it holds in place of them."""
    return UserError(folder, f"holds no photos ({left_out_line(others)})" if others else "holds no photos", next_step)


def from_folder(folder: Path, warn: Callable[[str], object] = lambda _: None) -> dict[str, list[Photo]]:
    """Read a user's photos: one folder per scene, named like it; a folder of photos alone is one scene, `OWN_SCENE`.

    Args:
        folder: holds the scenes' folders, or photos; other folders without photos are passed over.
        warn: is called with one line that counts and names what is passed over, if anything is; damaged photos are.

    Raises:
        UserError: there is no such folder, it holds neither a scene nor a photo that can be read, or photos of an
            unknown scene.
    """
    advice = f"put photos into it, or one folder per scene: {', '.join(SCENES)}"
    if not folder.is_dir():
        raise UserError(folder, "no such folder", advice)
    top = listing(folder)
    others = [*top.others]
    photos: dict[str, list[Photo]] = {}
    for scene_folder in top.folders:
        scene = scene_folder.name
        try:
            inside = listing(scene_folder)
        except UserError:
            if scene in SCENES:
                raise
            inside = Listing((), (), ())
        if inside.photos:
            _check_scene(scene, scene_folder)
            photos[scene] = _readable(inside.photos, scene, f"{scene}/", others)
        elif scene not in SCENES:
            others.append(LeftOut(scene, FOLDER))
            continue
        others += [LeftOut(f"{scene}/{other.name}", other.kind) for other in inside.others]
        others += [LeftOut(f"{scene}/{path.name}", FOLDER) for path in inside.folders]
    if photos:
        others += [LeftOut(path.name, "outside of the scenes' folders") for path in top.photos]
    else:
        photos[OWN_SCENE] = _readable(top.photos, OWN_SCENE, "", others)
    photos = {scene: of_scene for scene, of_scene in photos.items() if of_scene}
    if not photos:
        raise no_photos(folder, others, advice)
    if others:
        warn(left_out_line(others))
    return _ordered(photos)


def _readable(paths: Sequence[Path], scene: str, prefix: str, others: list[LeftOut]) -> list[Photo]:
    """Read the photos that can be read, and add the damaged ones to the others."""
    photos = []
    for path in paths:
        try:
            photos.append(_read(path, scene, path.name, decodable=True))
        except UserError as error:
            others.append(LeftOut(f"{prefix}{path.name}", f"damaged ({error.reason})"))
    return photos


def timed_text(scenes: Scenes, largest_batch: int) -> str:
    """Say how many photos each scene has, and which of them no batch takes."""
    texts = []
    for scene, photos in scenes.items():
        count = f"{scene}: {len(photos)} photo{'s' * (len(photos) != 1)}"
        rest = [printable(photo.file) for photo in photos[largest_batch:]]
        shown = ", ".join(rest[:MOST_NAMES]) + (f" and {len(rest) - MOST_NAMES} more" if len(rest) > MOST_NAMES else "")
        texts.append(f"{count}, the first {largest_batch} are timed (not {shown})" if rest else count)
    return "; ".join(texts)


def _check_scene(scene: str, thing: Path) -> None:
    if scene not in (*SCENES, OWN_SCENE):
        raise UserError(thing, f"is for an unknown scene {scene!r}", f"choose from {', '.join(SCENES)}")


def _read(path: Path, scene: str, file: str, *, decodable: bool = False) -> Photo:
    _check_scene(scene, path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "restore it or remove it") from error
    photo = check(data, str(path))
    if decodable:
        # a decoder alone notices some damage, such as missing rows; the user hears of it before anything is measured
        decode_reduced(photo, 1)
    info = photo.info
    sha256 = hashlib.sha256(data).hexdigest()
    return Photo(scene, file, data, info.width, info.height, sha256, path.resolve(), alt=f"a photo of the kind {scene}")


def _ordered(scenes: Mapping[str, list[Photo]]) -> dict[str, list[Photo]]:
    return {scene: scenes[scene] for scene in (*SCENES, OWN_SCENE) if scene in scenes}
