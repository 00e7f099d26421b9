"""Photos of the kinds that cameras, phones and programs write, and damaged ones: taken apart and put together anew."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def noise(seed=0, height=96, width=128):
    """Draw noise on a slope, which fills a JPEG's blocks and makes rows differ."""
    random = np.random.default_rng(seed)
    slope = np.linspace(0, 160, width * height).reshape(height, width, 1)
    return (slope + random.integers(0, 96, (height, width, 3))).astype(np.uint8)


def encoded(picture, format="JPEG", **settings):
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, format, **settings)
    return file.getvalue()


def plain_pixels(data):
    """Decode with Pillow alone."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def segment(code, body=b""):
    return bytes([0xFF, code]) + struct.pack(">H", len(body) + 2) + body


def segments(jpeg):
    """Return where each segment before the first scan begins, that of the scan included."""
    starts, position = [], 2
    while True:
        starts.append(position)
        if jpeg[position + 1] == 0xDA:
            return starts
        position += 2 + int.from_bytes(jpeg[position + 2 : position + 4])


def scan_start(jpeg):
    """Return where the bytes of the first scan begin."""
    start = segments(jpeg)[-1]
    return start + 2 + int.from_bytes(jpeg[start + 2 : start + 4])


def chunk(kind, body=b""):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width, height, bits=8, colour_type=2):
    return PNG_SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))


def png_rows(pixels):
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))


def frame_control(number, height, width):
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, 1, 10, 0, 0))


def animated_png(default, *frames, default_is_first=True, rows=None):
    """Write an APNG; `default` is what still viewers show. Only `rows` rows of it are there, if that is given."""
    height, width, _ = default.shape
    control = iter(range(100))
    count = len(frames) + default_is_first
    parts = [png_header(width, height), chunk(b"acTL", struct.pack(">II", count, 0))]
    if default_is_first:
        parts.append(frame_control(next(control), height, width))
    parts.append(chunk(b"IDAT", png_rows(default[:rows])))
    for frame in frames:
        parts.append(frame_control(next(control), height, width))
        parts.append(chunk(b"fdAT", struct.pack(">I", next(control)) + png_rows(frame)))
    return b"".join((*parts, chunk(b"IEND")))


def riff(chunks):
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def riff_chunk(kind, body):
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def progressive_scans(count, side=64):
    """Write a valid progressive JPEG of `count` scans, all but the first of which refine nothing."""
    blocks = (side // 8) ** 2
    head = b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64)
    head += segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    code_of_one = bytes([1] + [0] * 15)
    end_of_6_bit_run = 0x60
    head += segment(0xC4, b"\0" + code_of_one + b"\0") + segment(
        0xC4, b"\x10" + code_of_one + bytes([end_of_6_bit_run])
    )
    first = segment(0xDA, b"\1\1\0\0\0\0") + bytes(blocks // 8)
    nothing = segment(0xDA, b"\1\1\0\1\1\0") + b"\0"
    assert blocks == 64  # 0, and 6 bits for a run of 64 blocks
    return head + first + nothing * (count - 1) + b"\xff\xd9"
