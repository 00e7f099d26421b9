"""Encoded bytes -> upright RGB."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from midas_bench.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP")

MAX_PIXELS = 100_000_000
"""More than any camera gives, and 300 MB as RGB: a decompression bomb is refused before it is decoded."""

MAX_SIDE = 65_535
"""JPEG's own limit; libpng and WebP writers refuse what is much longer."""

ORIENTATION = 0x0112
"""The EXIF tag. OpenCV reads it its own way, and so is told to leave it alone: `inspect` alone decides."""
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

HEAD_BYTES = 16
"""So many first bytes tell a format."""
JPEG_START = b"\xff\xd8\xff"
JPEG_START_OF_SCAN = 0xDA
JPEG_END_OF_IMAGE = b"\xff\xd9"
PNG_START = b"\x89PNG"
PNG_SIGNATURE_BYTES = 8
PNG_END = b"IEND\xae\x42\x60\x82"  # with its checksum
PNG_ASIDE = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Chunks of text and of colour profiles, which no recipe makes use of."""
RIFF_HEADER_BYTES = 8
STARTS = (
    (JPEG_START, "JPEG"),  # a phone's MPO too: a JPEG with more pictures behind it
    (PNG_START, "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),  # many raw formats of cameras too
    (b"MM\0*", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)
"""How files of a format begin."""
ISO_BRANDS = (
    ((b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx"), "HEIC"),
    ((b"avif", b"avis"), "AVIF"),
)
"""The major brands of pictures in an ISO base media file, ISO/IEC 23008-12 and AVIF's specification."""

REDUCTIONS = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}
"""By factor, the flag alone: OpenCV's `IMREAD_REDUCED_COLOR_*` hold that of BGR too, which excludes RGB. libjpeg leaves
out the high frequencies of each 8x8 block, and so decodes to a fraction of both sides."""

_FILTERS = threading.Lock()
"""`warnings.catch_warnings` changes the process's filters, and photos of a stream are inspected in threads."""


Kind = Literal["empty", "foreign", "truncated", "damaged", "huge"]


class PhotoError(UserError):
    """A photo that cannot be used.

    Attributes:
        kind: why: no bytes, not a format of `FORMATS`, cut off, damaged, or more pixels than are safe.
    """

    def __init__(self, kind: Kind, thing: object, reason: str, next_step: str) -> None:
        self.kind = kind
        super().__init__(thing, reason, next_step)


@dataclass(frozen=True)
class PhotoInfo:
    """What a photo's header says.

    Attributes:
        format: JPEG, PNG or WEBP.
        width: of the upright photo, in pixels.
        height: of the upright photo, in pixels.
        orientation: how it is stored, 1 to 8 as in EXIF; 1 is upright.
    """

    format: str
    width: int
    height: int
    orientation: int = 1


def read(path: Path) -> bytes:
    """Return a photo's bytes.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the path") from error


def inspect(data: bytes, name: str = "photo", max_pixels: int = MAX_PIXELS) -> PhotoInfo:
    """Read the header and check that the photo can be decoded whole, without decoding it.

    Raises:
        PhotoError: empty, not a JPEG, PNG or WebP, truncated, damaged as far as checksums tell, or larger than
            `max_pixels` or `MAX_SIDE`.
    """
    if not data:
        raise PhotoError("empty", name, "is empty (0 bytes)", "replace or remove it")
    kind = format_of(data)
    if kind not in FORMATS:
        reason = f"is not a JPEG, PNG or WebP (first bytes {data[:4].hex(' ')})"
        raise PhotoError("foreign", name, reason, "convert it or remove it")
    truncated = PhotoError(
        "truncated", name, f"is a truncated {kind} ({len(data)} bytes)", "copy it again or remove it"
    )
    try:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the pixel limit below is ours, and damaged EXIF does no harm
            image = Image.open(io.BytesIO(without_asides(data)), formats=FORMATS)
            orientation = _orientation(image)
    except Image.DecompressionBombError as error:
        raise PhotoError("huge", name, "has too many pixels to be safe", "scale it down") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise (truncated if _is_truncated(data, kind) else damaged(name)) from error
    width, height = image.size[::-1] if orientation in SIDEWAYS else image.size
    if width * height > max_pixels:
        reason = f"has {width}x{height} pixels, over the limit of {max_pixels:,}"
        raise PhotoError("huge", name, reason, "scale it down")
    if max(width, height) > MAX_SIDE:
        raise PhotoError("huge", name, f"is {width}x{height}, with a side over {MAX_SIDE:,} pixels", "scale it down")
    if _is_truncated(data, kind):
        raise truncated
    if kind == "PNG":
        try:
            image.verify()  # checksums; libpng would report a wrong one on stderr
        except (OSError, ValueError, SyntaxError) as error:
            raise damaged(name) from error
    return PhotoInfo(kind, width, height, orientation)


def damaged(name: str) -> PhotoError:
    """Say that what stands behind a photo's header is no picture."""
    return PhotoError("damaged", name, "is damaged and cannot be decoded", "replace or remove it")


def format_of(head: bytes) -> str | None:
    """Tell a picture's format by its first bytes, whatever its file is called; `HEAD_BYTES` of them are enough.

    Returns:
        one of `FORMATS`, the name of a format that is known but not read, or None for what is no picture.
    """
    if head.startswith(b"RIFF"):
        return "WEBP" if head[8:12] == b"WEBP" else None
    if head[4:8] == b"ftyp":  # ISO base media: the brand behind it tells a picture from a video
        return next((name for brands, name in ISO_BRANDS if head[8:12] in brands), None)
    return next((name for start, name in STARTS if head.startswith(start)), None)


def without_asides(data: bytes, asides: tuple[bytes, ...] = PNG_ASIDE) -> bytes:
    """Return a PNG without some chunks: Pillow refuses it over large ones; other photos are returned as they are."""
    if not data.startswith(PNG_START):
        return data
    chunks, position = [], PNG_SIGNATURE_BYTES
    while position < len(data):
        start, position = position, position + 12 + int.from_bytes(data[position : position + 4])
        chunks.append((start, position, data[start + 4 : start + 8] in asides))
    if not any(aside for _, _, aside in chunks):
        return data
    return data[:PNG_SIGNATURE_BYTES] + b"".join(data[start:end] for start, end, aside in chunks if not aside)


def _orientation(image: Image.Image) -> int:
    exif = Image.Exif()  # image.getexif() would decode the whole of a PNG
    try:
        exif.load(image.info.get("exif", b""))
        found = int(exif.get(ORIENTATION, 1))
    except Exception:  # Pillow raises whatever damaged EXIF makes it stumble over; the photo is none the worse for it
        return 1
    return found if found in UPRIGHT else 1


def _is_truncated(data: bytes, format: str) -> bool:
    # OpenCV fills what is missing with grey and says nothing that a program could hear.
    if format == "JPEG":
        return data.rfind(JPEG_END_OF_IMAGE, _jpeg_scan(data)) < 0  # mostly the last bytes
    if format == "PNG":
        return data.rfind(PNG_END) < 0
    return int.from_bytes(data[4:8], "little") + RIFF_HEADER_BYTES > len(data)


def _jpeg_scan(data: bytes) -> int:
    """Return where the first scan starts, going from segment to segment: a thumbnail's own scan stands inside one."""
    position = 2
    while position + 4 <= len(data) and data[position + 1] != JPEG_START_OF_SCAN:
        fill = data[position + 1] == 0xFF  # any number of these may stand before a marker
        position += 1 if fill else 2 + int.from_bytes(data[position + 2 : position + 4])
    return position


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


def decode(data: bytes, name: str = "photo") -> NDArray[np.uint8]:
    """Decode with OpenCV to upright uint8 RGB, (H, W, 3).

    Grey becomes three equal channels, 16 bits become 8, CMYK is converted, transparency is dropped.

    Raises:
        PhotoError: see `inspect`; or the bytes behind a sound header are damaged.
    """
    return _pixels(data, name, 1, inspect(data, name).orientation)


def decode_reduced(data: bytes, least: int, name: str = "photo") -> Decoded:
    """Decode as `decode` does, but a large JPEG to a half, a quarter or an eighth, no side below `least` pixels.

    Other formats are decoded whole: OpenCV would do that anyway and shrink the result afterwards.

    Raises:
        PhotoError: as `decode`.
    """
    info = inspect(data, name)
    shortest = min(info.width, info.height)
    fits = (factor for factor in REDUCTIONS if info.format == "JPEG" and shortest >= factor * least)
    return Decoded(_pixels(data, name, next(fits, 1), info.orientation), info.width, info.height)


def _pixels(data: bytes, name: str, factor: int, orientation: int) -> NDArray[np.uint8]:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | REDUCTIONS.get(factor, 0)
    plain = without_asides(data, (*PNG_ASIDE, b"eXIf"))  # libpng would complain of an odd one on stderr
    pixels = cv2.imdecode(np.frombuffer(plain, np.uint8), flags)
    if pixels is None:
        raise damaged(name)
    return UPRIGHT[orientation](pixels) if orientation in UPRIGHT else pixels  # type: ignore[return-value]  # OpenCV's stubs allow every dtype
