"""The chunks of a PNG: its size, its EXIF data, and the bytes that a decoder needs of it.

Described in the W3C's "Portable Network Graphics (PNG) Specification".
"""

from __future__ import annotations

import struct
import zlib

from midas_bench.depth.formats.contents import Contents, check_size, damaged, excessive, truncated

START = b"\x89PNG"
SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_CHUNKS = 100_000
"""libpng writes a chunk each 8 KiB: 100,000 make 800 MB."""
MAX_CHUNK_BYTES = 0x7FFF_FFFF

PALETTE_COLOURS = 256
PALETTE_TYPE = 3
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), PALETTE_TYPE: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""By colour type, the bits that a sample may have."""
OVERHEAD_BYTES = 12
"""Of each chunk: length, kind and checksum."""
HEADER = struct.Struct(">IIBBBBB")


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a chunk as a file has it: length, kind, content and checksum."""
    named = kind + content
    return len(content).to_bytes(4) + named + zlib.crc32(named).to_bytes(4)


END = chunk(b"IEND")


def contents(data: bytes, max_pixels: int) -> Contents:
    """Walk over the chunks of a PNG that begins with `START`.

    `plain` is the default picture: header, palette and pixels. It lacks text, colour profiles, transparency, which
    decoding drops, the frames of an animation, and everything behind the end.

    Raises:
        ContentsError: it is truncated, damaged as far as structure and checksums tell, too large, or has too many
            chunks.
    """
    if not SIGNATURE.startswith(data[: len(SIGNATURE)]):
        raise damaged("its signature was changed, as a transfer as text does it")
    view = memoryview(data)
    header: tuple[int, ...] | None = None
    palette: memoryview | None = None
    pixels: list[memoryview] = []
    exif = b""
    position = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if position + 8 > len(data):
            raise truncated("PNG", len(data))
        start, kind = position, data[position + 4 : position + 8]
        length = int.from_bytes(data[position : position + 4])
        if length > MAX_CHUNK_BYTES:
            raise damaged("a chunk has an impossible length")
        position += OVERHEAD_BYTES + length
        if position > len(data):
            raise truncated("PNG", len(data))
        if header is None and kind != b"IHDR":
            raise damaged("it does not begin with its header")
        chunk = view[start:position]
        if kind == b"IEND":
            break
        if kind == b"IHDR":
            if header is not None:
                raise damaged("it has two headers")
            header = _header(_sound(chunk))
            check_size(header[0], header[1], max_pixels)
        elif kind == b"IDAT":
            pixels.append(_sound(chunk))
        elif kind == b"PLTE" and palette is None and header is not None and header[3] == PALETTE_TYPE:
            palette = _palette(_sound(chunk))
        elif kind == b"eXIf" and not pixels:
            exif = bytes(chunk[8:-4])
    else:
        raise excessive(MAX_CHUNKS, "chunks")
    if header is None or not pixels:
        raise damaged("it has no pixels")
    if palette is None and header[3] == PALETTE_TYPE:
        raise damaged("its palette is missing")
    head = view[: len(SIGNATURE) + OVERHEAD_BYTES + HEADER.size]
    return Contents(header[0], header[1], b"".join((head, palette or b"", *pixels, END)), exif)


def _sound(chunk: memoryview) -> memoryview:
    """Check a chunk's sum: libpng would tell a wrong one on stderr alone."""
    if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
        raise damaged("a checksum is wrong")
    return chunk


def _header(chunk: memoryview) -> tuple[int, ...]:
    """Return width, height, bits, colour type, and three bytes that tell how pixels are stored."""
    if len(chunk) != OVERHEAD_BYTES + HEADER.size:
        raise damaged("its header has the wrong length")
    header = HEADER.unpack(chunk[8:-4])
    width, height, bits, colour_type, compression, filtering, interlacing = header
    sound = bits in DEPTHS.get(colour_type, ()) and not compression and not filtering and interlacing in (0, 1)
    if not sound or not 0 < width <= MAX_CHUNK_BYTES or not 0 < height <= MAX_CHUNK_BYTES:
        raise damaged("its header has impossible values")
    return header


def _palette(chunk: memoryview) -> memoryview:
    colours, rest = divmod(len(chunk) - OVERHEAD_BYTES, 3)
    if rest or not 0 < colours <= PALETTE_COLOURS:
        raise damaged("its palette has the wrong length")
    return chunk
