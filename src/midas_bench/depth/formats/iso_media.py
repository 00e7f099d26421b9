"""Pictures in an ISO base media file, HEIC and AVIF: their size and EXIF data, as Pillow reads them.

Pillow decodes AVIF itself and HEIC with the plugin of pillow-heif, which the extra `heic` installs.
"""

from __future__ import annotations

import io
from importlib.util import find_spec

from PIL import Image, features

from midas_bench.depth.formats.contents import Contents, ContentsError, check_size, damaged, excessive, truncated

BRANDS = (
    ((b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx"), "HEIC"),
    ((b"avif", b"avis"), "AVIF"),
)
"""The major brands of pictures, ISO/IEC 23008-12 and AVIF's specification; others are those of videos."""
PILLOW_FORMATS = ("HEIF", "AVIF")

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
    _register()
    try:
        with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
            check_size(*image.size, max_pixels)
            return Contents(*image.size, data, image.info.get("exif") or b"")
    except (ContentsError, MemoryError):
        raise
    except Exception as error:
        raise _missing_reader(data) or damaged() from error


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


def _register() -> None:
    """Make HEIC known to Pillow where its plugin is installed; a second call does nothing."""
    if "HEIF" not in Image.OPEN and find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)


def _missing_reader(data: bytes) -> ContentsError | None:
    """Say what has to be installed to read such a picture, if that is what keeps it from being read."""
    if _format(data) == "AVIF":
        if features.check("avif"):
            return None
        return ContentsError("unsupported", "is an AVIF picture, which this Pillow cannot read", "convert it")
    if "HEIF" in Image.OPEN:
        return None
    reason = "is a HEIC picture, which needs pillow-heif, which is not installed"
    return ContentsError("unsupported", reason, "pip install 'midas-bench[heic]', or convert it")
