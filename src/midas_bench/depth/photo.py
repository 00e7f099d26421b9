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

JPEG_START_OF_SCAN = b"\xff\xda"
JPEG_END_OF_IMAGE = b"\xff\xd9"
PNG_END = b"IEND"
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
        UserError: empty, not a JPEG, PNG or WebP, truncated, or larger than `MAX_PIXELS`.
    """
    if not data:
        raise UserError(name, "is empty (0 bytes)", "replace or remove it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            sideways = image.getexif().get(0x0112, 1) >= 5  # orientations 5 to 8 swap the sides
    except Image.DecompressionBombError as error:
        raise UserError(name, "has too many pixels to be safe", "scale it down") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        first = data[:4].hex(" ")
        raise UserError(name, f"is not a JPEG, PNG or WebP (first bytes {first})", "convert it or remove it") from error
    width, height = image.size[::-1] if sideways else image.size
    if width * height > MAX_PIXELS:
        raise UserError(name, f"has {width}x{height} pixels, over the limit of {MAX_PIXELS:,}", "scale it down")
    info = PhotoInfo(str(image.format), width, height)
    if _is_truncated(data, info.format):
        raise UserError(name, f"is a truncated {info.format} ({len(data)} bytes)", "copy it again or remove it")
    return info


def _is_truncated(data: bytes, format: str) -> bool:
    # OpenCV fills what is missing with grey and says nothing that a program could hear.
    if format == "JPEG":
        # Thumbnails with an end marker of their own stand before the scan.
        return data.find(JPEG_END_OF_IMAGE, data.find(JPEG_START_OF_SCAN)) < 0
    if format == "PNG":
        return data.rfind(PNG_END) < 0
    return int.from_bytes(data[4:8], "little") + RIFF_HEADER_BYTES > len(data)


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
