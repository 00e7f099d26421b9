"""The chunks of a WebP: its size, its EXIF data, and the bytes that a decoder needs of it.

Described in Google's "WebP Container Specification"; the heads of the two codecs in RFC 6386 and RFC 9649.
"""

from __future__ import annotations

from collections.abc import Iterator

from midas_bench.depth.formats.contents import Contents, check_size, damaged, excessive, truncated

START = b"RIFF"
KIND = b"WEBP"

MAX_CHUNKS = 100_000
"""Far more than the frames of any animation."""

RIFF_HEADER_BYTES = 8
HEADER_BYTES = RIFF_HEADER_BYTES + len(KIND)
CANVAS_BYTES = 10
FRAME_HEADER_BYTES = 16
ANIMATED, ALPHA = 0x02, 0x10
LOSSY_KEY_FRAME = b"\x9d\x01\x2a"
LOSSLESS_SIGNATURE = 0x2F
CODECS = (b"VP8 ", b"VP8L")


def contents(data: bytes, max_pixels: int) -> Contents:
    """Walk over the chunks of a WebP that begins with `START`, with `KIND` behind the length.

    `plain` is the still picture without transparency, which decoding drops; of an animation it is the first frame, on
    its canvas.

    Raises:
        ContentsError: it is truncated, damaged as far as its structure tells, too large, or has too many chunks.
    """
    end = RIFF_HEADER_BYTES + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise truncated("WEBP", len(data))
    canvas = frame = codec = None
    animated = False
    exif = b""
    for kind, body in _chunks(memoryview(data)[HEADER_BYTES:end]):
        if kind in CODECS and codec is None:
            codec = (kind, body)
        elif kind == b"VP8X" and canvas is None and codec is None:
            if len(body) < CANVAS_BYTES:
                raise damaged("its header has the wrong length")
            canvas = (_little(body[4:7]) + 1, _little(body[7:10]) + 1)
            check_size(*canvas, max_pixels)
            animated = bool(body[0] & ANIMATED)
        elif kind == b"ANMF" and frame is None:
            frame = body
        elif kind == b"EXIF" and not exif:
            exif = bytes(body)
    if animated:
        if canvas is None or frame is None:
            raise damaged("it has no frame")
        return Contents(*canvas, _first_frame(canvas, frame), exif)
    if codec is None:
        raise damaged("it has no pixels")
    size = _size(*codec)
    check_size(*size, max_pixels)
    if canvas not in (None, size):
        raise damaged("its header and its pixels differ in size")
    return Contents(*size, _riff(_chunk(*codec)), exif)


def _chunks(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    position = 0
    for _ in range(MAX_CHUNKS):
        if position + RIFF_HEADER_BYTES > len(view):
            return
        kind, length = bytes(view[position : position + 4]), _little(view[position + 4 : position + 8])
        position += RIFF_HEADER_BYTES
        if position + length > len(view):
            raise damaged("a chunk is longer than the file says it is")
        yield kind, view[position : position + length]
        # chunks begin at even positions
        position += length + length % 2
    raise excessive(MAX_CHUNKS, "chunks")


def _little(view: memoryview) -> int:
    return int.from_bytes(view, "little")


def _size(kind: bytes, body: memoryview) -> tuple[int, int]:
    """Read width and height at the head of a codec's data."""
    if kind == b"VP8L":
        if len(body) < 5 or body[0] != LOSSLESS_SIGNATURE:
            raise damaged("its pixels do not begin as WebP's do")
        bits = _little(body[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(body) < 10 or bytes(body[3:6]) != LOSSY_KEY_FRAME:
        raise damaged("its pixels do not begin as WebP's do")
    width, height = _little(body[6:8]) & 0x3FFF, _little(body[8:10]) & 0x3FFF
    if not width or not height:
        raise damaged("it has no pixels")
    return width, height


def _first_frame(canvas: tuple[int, int], frame: memoryview) -> bytes:
    """Return an animation of the first frame alone: decoders lay that on the canvas as they do with all of them."""
    if len(frame) < FRAME_HEADER_BYTES:
        raise damaged("its first frame is too short")
    left, top = 2 * _little(frame[0:3]), 2 * _little(frame[3:6])
    width, height = _little(frame[6:9]) + 1, _little(frame[9:12]) + 1
    parts = {kind: body for kind, body in _chunks(frame[FRAME_HEADER_BYTES:]) if kind in (*CODECS, b"ALPH")}
    codec = next((kind for kind in CODECS if kind in parts), None)
    if codec is None:
        raise damaged("its first frame has no pixels")
    if _size(codec, parts[codec]) != (width, height) or left + width > canvas[0] or top + height > canvas[1]:
        raise damaged("its first frame does not fit")
    kept = [b"ALPH", codec] if b"ALPH" in parts and codec == b"VP8 " else [codec]
    body = bytes(frame[:FRAME_HEADER_BYTES]) + b"".join(_chunk(kind, parts[kind]) for kind in kept)
    sides = b"".join((side - 1).to_bytes(3, "little") for side in canvas)
    header = bytes([ANIMATED | ALPHA, 0, 0, 0]) + sides
    return _riff(_chunk(b"VP8X", header) + _chunk(b"ANIM", bytes(6)) + _chunk(b"ANMF", body))


def _chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    return b"".join((kind, len(body).to_bytes(4, "little"), body, bytes(len(body) % 2)))


def _riff(chunks: bytes) -> bytes:
    return START + (len(KIND) + len(chunks)).to_bytes(4, "little") + KIND + chunks
