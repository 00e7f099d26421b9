"""Encoded bytes -> upright RGB."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from midas_bench.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP")

MAX_PIXELS = 100_000_000
"""More than any camera gives, and 300 MB as RGB: a decompression bomb is refused before it is decoded."""

MAX_SIDE = 65_535
"""JPEG's own limit; libpng and WebP writers refuse what is much longer."""

ORIENTATION = 0x0112
"""The EXIF tag."""
SIDEWAYS = (5, 6, 7, 8)
"""The orientations that swap width and height."""

JPEG_START_OF_SCAN = 0xDA
JPEG_END_OF_IMAGE = b"\xff\xd9"
PNG_END = b"IEND\xae\x42\x60\x82"  # with its checksum
RIFF_HEADER_BYTES = 8


@dataclass(frozen=True)
class PhotoInfo:
    """What a photo's header says.

    Attributes:
        format: JPEG, PNG or WEBP.
        width: of the upright photo, in pixels.
        height: of the upright photo, in pixels.
    """

    format: str
    width: int
    height: int


def inspect(data: bytes, name: str = "photo") -> PhotoInfo:
    """Read the header and check that the photo can be decoded whole, without decoding it.

    Raises:
        UserError: empty, not a JPEG, PNG or WebP, truncated, damaged as far as checksums tell, or larger than
            `MAX_PIXELS` or `MAX_SIDE`.
    """
    if not data:
        raise UserError(name, "is empty (0 bytes)", "replace or remove it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the pixel limit below is ours, and damaged EXIF does no harm
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            sideways = _orientation(image) in SIDEWAYS
    except Image.DecompressionBombError as error:
        raise UserError(name, "has too many pixels to be safe", "scale it down") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        first = data[:4].hex(" ")
        raise UserError(name, f"is not a JPEG, PNG or WebP (first bytes {first})", "convert it or remove it") from error
    width, height = image.size[::-1] if sideways else image.size
    if width * height > MAX_PIXELS:
        raise UserError(name, f"has {width}x{height} pixels, over the limit of {MAX_PIXELS:,}", "scale it down")
    if max(width, height) > MAX_SIDE:
        raise UserError(name, f"is {width}x{height}, with a side over {MAX_SIDE:,} pixels", "scale it down")
    # MPO is a JPEG with more pictures behind it, as phones write it; the first is the photo
    info = PhotoInfo("JPEG" if image.format == "MPO" else str(image.format), width, height)
    if _is_truncated(data, info.format):
        raise UserError(name, f"is a truncated {info.format} ({len(data)} bytes)", "copy it again or remove it")
    if info.format == "PNG":
        try:
            image.verify()  # checksums; libpng would report a wrong one on stderr
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(name, "is damaged and cannot be decoded", "replace or remove it") from error
    return info


def _orientation(image: Image.Image) -> int:
    exif = Image.Exif()  # image.getexif() would decode the whole of a PNG
    try:
        exif.load(image.info.get("exif", b""))
        return int(exif.get(ORIENTATION, 1))
    except Exception:  # Pillow raises whatever damaged EXIF makes it stumble over; the photo is none the worse for it
        return 1


def _is_truncated(data: bytes, format: str) -> bool:
    # OpenCV fills what is missing with grey and says nothing that a program could hear.
    if format == "JPEG":
        return data.find(JPEG_END_OF_IMAGE, _jpeg_scan(data)) < 0
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


def decode(data: bytes, name: str = "photo") -> NDArray[np.uint8]:
    """Decode with OpenCV to upright uint8 RGB, (H, W, 3).

    Grey becomes three equal channels, 16 bits become 8, CMYK is converted, transparency is dropped.

    Raises:
        UserError: see `inspect`; or the bytes behind a sound header are damaged.
    """
    inspect(data, name)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise UserError(name, "is damaged and cannot be decoded", "replace or remove it")
    return pixels  # type: ignore[return-value]  # OpenCV's stubs allow every dtype
