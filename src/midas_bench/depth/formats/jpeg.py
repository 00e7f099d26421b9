"""The segments of a JPEG: its size, its EXIF data, and the bytes that a decoder needs of it.

ITU-T T.81 describes the format, and libjpeg's `jdmarker.c` what decoders make of files that depart from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from midas_bench.depth.formats.contents import (
    MAX_EXIF_BYTES,
    Contents,
    check_size,
    damaged,
    excessive,
    truncated,
    unsupported,
)

START = b"\xff\xd8\xff"
"""How a JPEG begins; a phone's MPO too, which is a JPEG with more pictures behind it."""
END_OF_IMAGE = b"\xff\xd9"

MAX_SCANS = 100
"""Programs write up to 11. A decoder goes through the whole picture for each, and the smallest scan has a few bytes."""
MAX_SEGMENTS = 10_000
"""One holds up to 64 KiB, and large files have some hundreds: of a colour profile or of a provenance manifest."""

SOI, EOI, SOS, DAC = 0xD8, 0xD9, 0xDA, 0xCC
DQT, DHT, DRI, DHP = 0xDB, 0xC4, 0xDD, 0xDE
APP0, APP1, APP14 = 0xE0, 0xE1, 0xEE
TABLES = (DQT, DHT, DRI, DAC)
FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
"""Baseline, extended and progressive, with Huffman or arithmetic coding."""
UNSUPPORTED_FRAMES = {
    **dict.fromkeys((0xC3, 0xCB), "a lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, DHP), "a hierarchical JPEG"),
    0xF7: "a JPEG-LS",
}
BITS = 8
CHANNELS = (1, 3, 4)

JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
"""The segment without density and thumbnail: all that decoders ask is whether it is there, which tells the colours."""
ADOBE_TRANSFORM_BYTE = 11
"""Where Adobe's segment says how colours are stored."""
EXIF_START = b"Exif\0\0"

_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
"""Where a segment begins. What comes before it is skipped, as libjpeg does: stray bytes and fill bytes (0xFF) between
segments, and in a scan its own bytes, where 0xFF precedes 0 and restart markers (0xD0 to 0xD7) alone."""
_SCAN_HEADER = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e]([\x01-\x04])")


@dataclass(frozen=True)
class _Frame:
    width: int
    height: int
    channel_ids: bytes


def contents(data: bytes, max_pixels: int) -> Contents:
    """Walk over the segments of a JPEG that begins with `START`.

    `plain` lacks what stands between segments, comments, metadata, and everything behind the end of the image.

    Raises:
        ContentsError: it is truncated, damaged, of a kind that is not supported, too large, or has too many parts.
    """
    view = memoryview(data)
    frame: _Frame | None = None
    parts: list[memoryview] = []
    scans = 0
    exif = b""
    jfif = False
    adobe_transform: int | None = None
    position = len(START) - 1
    for _ in range(MAX_SEGMENTS):
        marker = _MARKER.search(data, position)
        if marker is None:
            raise truncated("JPEG", len(data))
        start, code, body = marker.start(), data[marker.end() - 1], marker.end() + 2
        if code == EOI:
            break
        if code == SOI:
            raise damaged("a second picture begins within the first")
        # libjpeg takes a length below its own two bytes for an empty segment
        position = max(body, marker.end() + int.from_bytes(data[marker.end() : body]))
        if position > len(data):
            # behind a scan it is more likely no segment, but damage within the scan
            ended = scans and data.rfind(END_OF_IMAGE, body) >= 0
            raise damaged("a segment is longer than the file") if ended else truncated("JPEG", len(data))
        if code in UNSUPPORTED_FRAMES:
            raise unsupported(UNSUPPORTED_FRAMES[code])
        if code == SOS:
            if frame is None:
                raise damaged("its pixels come before their size")
            scans += 1
            if scans > MAX_SCANS:
                raise excessive(MAX_SCANS, "scans")
            behind = _MARKER.search(data, position)
            if behind is None:
                raise truncated("JPEG", len(data))
            position = behind.start()
        elif code in FRAMES:
            if frame is not None:
                raise damaged("it has two sizes")
            frame = _frame(data[body:position])
            check_size(frame.width, frame.height, max_pixels)
        elif code not in TABLES:
            # metadata, which counts before the first scan and is not handed on
            segment = data[body:position] if not scans else b""
            if code == APP1 and segment.startswith(EXIF_START) and len(exif) < MAX_EXIF_BYTES:
                # data over 64 KiB go on in the next segment
                exif += segment.removeprefix(EXIF_START)
            jfif |= code == APP0 and segment.startswith(b"JFIF\0")
            if code == APP14 and segment.startswith(b"Adobe") and len(segment) > ADOBE_TRANSFORM_BYTE:
                adobe_transform = segment[ADOBE_TRANSFORM_BYTE]
            continue
        parts.append(view[start:position])
    else:
        raise excessive(MAX_SEGMENTS, "segments")
    if frame is None or not scans:
        raise damaged("it ends before its pixels")
    if _scan_follows(data, marker.end(), frame):
        raise damaged("scans follow behind its end")
    head = [START[:2], JFIF if jfif else b"", b"" if adobe_transform is None else _adobe(adobe_transform, frame)]
    return Contents(frame.width, frame.height, b"".join((*head, *parts, END_OF_IMAGE)), exif)


def _frame(body: bytes) -> _Frame:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise damaged("the segment of its size is too short")
    bits, channels = body[0], body[5]
    height, width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
    if bits != BITS:
        raise unsupported(f"a {bits}-bit JPEG")
    if channels not in CHANNELS:
        raise unsupported(f"a JPEG of {channels} channels")
    if not width:
        raise damaged("it is 0 pixels wide")
    if not height:
        raise unsupported("a JPEG that tells its height behind its pixels (DNL)")
    return _Frame(width, height, body[6 : 6 + 3 * channels : 3])


def _adobe(transform: int, frame: _Frame) -> bytes:
    # what libjpeg makes of other values, with a warning that would hide later ones
    usual = {3: (0, 1), 4: (0, 2)}.get(len(frame.channel_ids), (0,))
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform if transform in usual else usual[-1]])


def _scan_follows(data: bytes, position: int, frame: _Frame) -> bool:
    """Tell whether a scan of the same picture stands behind its end: the end is then part of the damage.

    Cameras append much there: previews, which begin as a JPEG does, videos, maps of brightness or depth, padding.
    """
    next_picture = data.find(START, position)
    for header in _SCAN_HEADER.finditer(data, position, next_picture if next_picture >= 0 else len(data)):
        channels = header[1][0]
        ids = data[header.end() : header.end() + 2 * channels : 2]
        length = int.from_bytes(data[header.start() + 2 : header.start() + 4])
        if length == 6 + 2 * channels and len(ids) == channels and set(ids) <= set(frame.channel_ids):
            return True
    return False
