"""Encoded bytes -> upright RGB.

The walks in `formats` decide what a file is made of; only what they pass on reaches a decoder. This module alone calls
the decoders, and whatever they raise means that the photo is damaged.
"""

from __future__ import annotations

import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from cv2.typing import MatLike
from numpy.typing import NDArray
from PIL import Image

from midas_bench.depth.formats import iso_media, jpeg, png, webp
from midas_bench.depth.formats.contents import MAX_EXIF_BYTES, Contents, ContentsError, Kind, damaged
from midas_bench.errors import UserError, printable

WALKS: dict[str, Callable[[bytes, int], Contents]] = {
    "JPEG": jpeg.contents,
    "PNG": png.contents,
    "WEBP": webp.contents,
    "HEIC": iso_media.contents,
    "AVIF": iso_media.contents,
}
FORMATS = tuple(WALKS)
HEAD_BYTES = 16
"""How many first bytes tell a format."""
STARTS = (
    (jpeg.START, "JPEG"),
    (png.START, "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    # many raw formats of cameras too
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)
"""How files of a format begin."""
MAX_PIXELS = 100_000_000
"""More than any camera gives, and 300 MB as RGB: a decompression bomb is refused before it is decoded."""

ORIENTATION = 0x0112
"""The EXIF tag. OpenCV has a reading of its own, which is switched off: `check` alone decides."""
SIDEWAYS = (5, 6, 7, 8)
"""The orientations that swap width and height."""
UPRIGHT: dict[int, Callable[[MatLike], MatLike]] = {
    2: lambda stored: cv2.flip(stored, 1),
    3: lambda stored: cv2.rotate(stored, cv2.ROTATE_180),
    4: lambda stored: cv2.flip(stored, 0),
    5: cv2.transpose,
    6: lambda stored: cv2.rotate(stored, cv2.ROTATE_90_CLOCKWISE),
    7: lambda stored: cv2.rotate(cv2.transpose(stored), cv2.ROTATE_180),
    8: lambda stored: cv2.rotate(stored, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""By orientation, what turns pixels upright as they are stored; 1 needs nothing."""

REDUCTIONS = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}
"""By factor, OpenCV's flag alone: its `IMREAD_REDUCED_COLOR_*` hold that of BGR too, which excludes RGB. libjpeg leaves
out the high frequencies of each 8x8 block, and so decodes to a fraction of both sides."""

HARMLESS_WARNINGS = ("extraneous bytes before marker", "Inconsistent progression", "Invalid SOS parameters")
"""In libjpeg's words (`jerror.h`), what is of no consequence to the pixels: many cameras' photos have the first.

Anything else is damage: rows that are missing or wrong, which libjpeg fills in, or an error that ended its work. It
tells its first warning alone, and an error in place of a warning.
"""
UNUSUAL_SAMPLING = "Could not determine subsampling"
"""TurboJPEG knows the usual ratios of colour to brightness alone; OpenCV decodes the others."""

_FILTERS = threading.Lock()
"""`warnings.catch_warnings` changes the process's filters, and photos of a stream are checked in threads."""
_log = logging.getLogger(__name__)


class PhotoError(UserError):
    """A photo that cannot be used.

    Attributes:
        kind: why.
    """

    def __init__(self, kind: Kind, thing: object, reason: str, next_step: str) -> None:
        self.kind = kind
        super().__init__(thing, reason, next_step)


@dataclass(frozen=True)
class PhotoInfo:
    """What a photo's header says.

    Attributes:
        format: one of `FORMATS`.
        width: of the upright photo, in pixels.
        height: of the upright photo, in pixels.
        orientation: how it is stored, 1 to 8 as in EXIF; 1 is upright.
    """

    format: str
    width: int
    height: int
    orientation: int = 1


@dataclass(frozen=True)
class CheckedPhoto:
    """A photo whose structure is sound, not decoded yet.

    Attributes:
        info: what its header says.
        plain: the encoded picture, without anything that decoding does not need.
        name: what errors call it.
    """

    info: PhotoInfo
    plain: bytes
    name: str = "photo"


def read(path: Path) -> bytes:
    """Return a photo's bytes.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the path") from error


def check(data: bytes, name: str = "photo", max_pixels: int = MAX_PIXELS) -> CheckedPhoto:
    """Walk over the photo once, without decoding it, and keep what a decoder needs.

    The walk takes milliseconds per MiB, whatever the bytes are.

    Raises:
        PhotoError: empty, of no format that is read or a kind of one that is not supported, truncated, damaged as far
            as structure and checksums tell, of more parts than is safe, or too large.
    """
    if not data:
        raise PhotoError("empty", name, "is empty (0 bytes)", "replace or remove it")
    kind = format_of(data[:HEAD_BYTES])
    if kind is None or kind not in WALKS:
        reason = f"is not a JPEG, PNG or WebP (first bytes {data[:4].hex(' ')})"
        raise PhotoError("foreign", name, reason, "convert it or remove it")
    with _named(name):
        contents = WALKS[kind](data, max_pixels)
    orientation = _orientation(contents.exif)
    width, height = contents.width, contents.height
    if orientation in SIDEWAYS:
        width, height = height, width
    return CheckedPhoto(PhotoInfo(kind, width, height, orientation), contents.plain, name)


def inspect(data: bytes, name: str = "photo", max_pixels: int = MAX_PIXELS) -> PhotoInfo:
    """Read the header and check that the photo can be decoded, without decoding it.

    Raises:
        PhotoError: as `check`.
    """
    return check(data, name, max_pixels).info


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Give what a walk finds the photo's name."""
    try:
        yield
    except ContentsError as error:
        raise PhotoError(error.kind, name, error.reason, error.next_step) from error


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Call a photo damaged whatever a decoder raises in this block: no list of a foreign parser's exceptions is whole.

    Raises:
        PhotoError: that is so.
    """
    try:
        with _named(name):
            yield
    except (PhotoError, MemoryError):
        raise
    except Exception as error:
        broken = damaged()
        raise PhotoError(broken.kind, name, broken.reason, broken.next_step) from error


def format_of(head: bytes) -> str | None:
    """Tell a picture's format by its first bytes, whatever its file is called; `HEAD_BYTES` of them are enough.

    Returns:
        one of `FORMATS`, the name of a format that is known but not read, or None for what is no picture.
    """
    if head.startswith(b"RIFF"):
        return "WEBP" if head[8:12] == b"WEBP" else None
    # ISO base media: the brand behind it tells a picture from a video
    if head[4:8] == b"ftyp":
        return next((name for brands, name in iso_media.BRANDS if head[8:12] in brands), None)
    return next((name for start, name in STARTS if head.startswith(start)), None)


def _orientation(data: bytes) -> int:
    exif = Image.Exif()
    try:
        with _FILTERS, warnings.catch_warnings():
            # damaged EXIF does a photo no harm
            warnings.simplefilter("ignore")
            exif.load(data[:MAX_EXIF_BYTES])
            orientation = int(exif.get(ORIENTATION, 1))
    # Pillow raises whatever damaged EXIF makes it stumble over
    except Exception:
        return 1
    return orientation if orientation in UPRIGHT else 1


@dataclass(frozen=True)
class Decoded:
    """An upright photo, in its own size or reduced.

    Attributes:
        pixels: uint8 RGB, (height, width, 3) or a fraction of it.
        width: of the photo itself, in pixels.
        height: of the photo itself, in pixels.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int


def decode(photo: bytes | CheckedPhoto, name: str = "photo") -> NDArray[np.uint8]:
    """Decode to upright uint8 RGB, (H, W, 3).

    Grey becomes three equal channels, 16 bits become 8, CMYK is converted, transparency is dropped.

    Raises:
        PhotoError: as `check`; or the bytes behind a sound header are damaged.
    """
    return _pixels(checked(photo, name), 1)


def decode_reduced(photo: bytes | CheckedPhoto, least: int, name: str = "photo") -> Decoded:
    """Decode as `decode` does, but a large JPEG to a half, a quarter or an eighth, no side below `least` pixels.

    Other formats are decoded whole: a decoder would do that anyway and shrink the result afterwards.

    Raises:
        PhotoError: as `decode`.
    """
    photo = checked(photo, name)
    return Decoded(_pixels(photo, _reduction(photo.info, least)), photo.info.width, photo.info.height)


def decode_roughly(photo: CheckedPhoto, least: int) -> NDArray[np.uint8]:
    """Decode a JPEG at the scale of `decode_reduced` as fast as libjpeg-turbo can: uint8 RGB as stored, (H, W, 3).

    Its transform and upsampling are then less exact, so this is a limit to compare with.
    """
    return _decoded_jpeg(photo, _reduction(photo.info, least), strict=False, fastdct=True, fastupsample=True)


def _reduction(info: PhotoInfo, least: int) -> int:
    """Return 1, 2, 4 or 8: by what a photo is reduced so that no side falls below `least` pixels."""
    shortest = min(info.width, info.height)
    fits = (factor for factor in REDUCTIONS if info.format == "JPEG" and shortest >= factor * least)
    return next(fits, 1)


def checked(photo: bytes | CheckedPhoto, name: str = "photo") -> CheckedPhoto:
    """Return a photo checked, once.

    Raises:
        PhotoError: as `check`.
    """
    return photo if isinstance(photo, CheckedPhoto) else check(photo, name)


def _pixels(photo: CheckedPhoto, factor: int) -> NDArray[np.uint8]:
    with decoding(photo.name):
        pixels = DECODERS[photo.info.format](photo, factor)
        upright = UPRIGHT.get(photo.info.orientation)
        return pixels if upright is None else upright(pixels)  # type: ignore[return-value]  # OpenCV's stubs allow every dtype


def _with_libjpeg(photo: CheckedPhoto, factor: int) -> NDArray[np.uint8]:
    """Decode a JPEG and hear what libjpeg says of it: OpenCV lets it speak to stderr, and so nobody knows of whom."""
    try:
        return _decoded_jpeg(photo, factor, strict=True)
    except ValueError as error:
        warning = " ".join(str(error).split())
    if warning.startswith(UNUSUAL_SAMPLING):
        return _with_opencv(photo, factor)
    if not any(words in warning for words in HARMLESS_WARNINGS):
        raise damaged(f"libjpeg: {warning}")
    pixels = _decoded_jpeg(photo, factor, strict=False)
    _tell_once(photo.name, warning)
    return pixels


@lru_cache(maxsize=1000)
def _tell_once(name: str, warning: str) -> None:
    """Log a warning of libjpeg; a benchmark decodes one photo a thousand times."""
    _log.warning("%s: libjpeg says: %s", printable(name), warning)


def _decoded_jpeg(photo: CheckedPhoto, factor: int, *, strict: bool, **rough: bool) -> NDArray[np.uint8]:
    # the smallest scale that leaves this many pixels is the one that is meant
    sides = (photo.info.width, photo.info.height)
    width, height = sides[::-1] if photo.info.orientation in SIDEWAYS else sides
    least = {"min_width": -(-width // factor), "min_height": -(-height // factor)} if factor > 1 else {}
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        photo.plain, "RGB", strict=strict, min_factor=factor, **least, **rough
    )
    return pixels


def _with_opencv(photo: CheckedPhoto, factor: int) -> NDArray[np.uint8]:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | REDUCTIONS.get(factor, 0)
    pixels = cv2.imdecode(np.frombuffer(photo.plain, np.uint8), flags)
    if pixels is None:
        raise damaged()
    return np.asarray(pixels, np.uint8)


def _with_pillow(photo: CheckedPhoto, factor: int) -> NDArray[np.uint8]:  # noqa: ARG001
    with Image.open(io.BytesIO(photo.plain), formats=[iso_media.PILLOW_NAMES[photo.info.format]]) as image:
        return np.array(image.convert("RGB"))


DECODERS = {
    "JPEG": _with_libjpeg,
    "PNG": _with_opencv,
    "WEBP": _with_opencv,
    "HEIC": _with_pillow,
    "AVIF": _with_pillow,
}
"""By format: a checked photo and the factor of its reduction -> uint8 RGB as stored, (H, W, 3)."""
