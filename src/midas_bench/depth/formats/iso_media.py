"""Pictures in an ISO base media file, HEIC and AVIF: their size and EXIF data, as Pillow reads them.

Pillow decodes AVIF itself and HEIC with the plugin of pillow-heif, which the extra `heic` installs.
"""

from __future__ import annotations

import io
from importlib.util import find_spec

# makes AVIF known to Image.open
from PIL import AvifImagePlugin as _AvifImagePlugin  # noqa: F401
from PIL import Image, features

from midas_bench.depth.formats.contents import Contents, ContentsError, check_size, damaged, excessive, truncated

BRANDS = (
    ((b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx"), "HEIC"),
    ((b"avif", b"avis"), "AVIF"),
)
"""The major brands of pictures, ISO/IEC 23008-12 and AVIF's specification; others are those of videos."""
PILLOW_NAMES = {"HEIC": "HEIF", "AVIF": "AVIF"}
"""What Pillow calls a format."""

MAX_BOXES = 1000
"""A picture has three or four, and a live photo some dozens."""
BOX_HEADER_BYTES = 8
LARGE_SIZE, TO_THE_END = 1, 0
"""Sizes that are none: the size stands behind the kind in 8 bytes, or the box ends with the file."""


def contents(data: bytes, max_pixels: int) -> Contents:
    """Open a HEIC or AVIF picture without decoding it; the decoder gets it as it is.

    Raises:
        ContentsError: what reads it is not installed, or it is truncated, damaged or too large.
    """
    _check_whole(data)
    name = _format(data)
    _require_reader(name)
    try:
        with Image.open(io.BytesIO(data), formats=[PILLOW_NAMES[name]]) as image:
            check_size(*image.size, max_pixels)
            return Contents(*image.size, data, image.info.get("exif") or b"")
    except (ContentsError, MemoryError):
        raise
    except Exception as error:
        raise damaged() from error


def _check_whole(data: bytes) -> None:
    """Walk over the outermost boxes: the decoders make something of a file that lacks half of its pixels."""
    position = 0
    for _ in range(MAX_BOXES):
        if position == len(data):
            return
        head = data[position : position + 2 * BOX_HEADER_BYTES]
        size = int.from_bytes(head[:4])
        if size == LARGE_SIZE:
            size = int.from_bytes(head[BOX_HEADER_BYTES:])
        elif size == TO_THE_END:
            return
        if size < BOX_HEADER_BYTES or position + size > len(data):
            raise truncated(_format(data), len(data))
        position += size
    raise excessive(MAX_BOXES, "boxes")


def _format(data: bytes) -> str:
    return next(name for brands, name in BRANDS if data[8:12] in brands)


def _require_reader(name: str) -> None:
    """Make HEIC known to Pillow, which knows AVIF by itself.

    Raises:
        ContentsError: what reads such pictures is not installed.
    """
    if name == "AVIF":
        if not features.check("avif"):
            raise ContentsError("unsupported", "is an AVIF picture, which this Pillow cannot read", "convert it")
    elif PILLOW_NAMES[name] not in Image.OPEN:
        if not find_spec("pillow_heif"):
            reason = "is a HEIC picture, which needs pillow-heif, which is not installed"
            raise ContentsError("unsupported", reason, "pip install 'midas-bench[heic]', or convert it")
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
