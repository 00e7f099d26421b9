"""Good and bad requests as a server on the internet meets them, and the answer that each must get."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from PIL import Image

from midas_bench.measure.service.client import ABORTED, Message, post
from midas_bench.serve.representations import ANSWERS
from midas_bench.serve.serve_config import ServeConfig

SMALL_SIDE = 320
PAUSE_S = 0.02
BEGINNING_BYTES = 64 << 10

OUTCOMES = {
    "photo": "200",
    "small photo": "200",
    "one pixel": "200",
    "mislabelled": "200",
    "sent slowly": "200",
    "photo with a zip behind it": "200",
    "empty": "400",
    "truncated": "400",
    "page with a photo behind it": "415",
    "bomb": "422",
    "too large": "413",
    "hung up midway": ABORTED,
}
"""By a message's name, what its outcome must be."""

WEIGHTS = {"photo": 4, "small photo": 30, "truncated": 12, "bomb": 12, "page with a photo behind it": 12}
"""Relative frequencies. Large photos take the server longest, and bad ones next to nothing."""
DEFAULT_WEIGHT = 5
"""The weight of every name that `WEIGHTS` does not list."""


def draw_messages(photos: Sequence[bytes], requests: int, seed: int) -> Iterator[Message]:
    """Yield so many messages, drawn by the seed, made of these JPEGs."""
    draw = random.Random(seed)
    by_name = messages(photos)
    names = list(by_name)
    weights = [WEIGHTS.get(name, DEFAULT_WEIGHT) for name in names]
    for name in draw.choices(names, weights, k=requests):
        yield draw.choice(by_name[name])


def messages(photos: Sequence[bytes]) -> dict[str, list[Message]]:
    """Return the messages of each name of `OUTCOMES`."""
    small = {kind: [_small(photo, kind) for photo in photos] for kind in ("JPEG", "PNG", "WEBP")}
    jpegs = small["JPEG"]
    bodies = {
        "photo": photos,
        "one pixel": [_encoded(Image.new("RGB", (1, 1)), "PNG")],
        "mislabelled": small["PNG"],  # sent as image/jpeg
        "photo with a zip behind it": [photo + b"PK\x05\x06" + bytes(18) for photo in jpegs],
        "empty": [b""],
        "truncated": [photo[: len(photo) // 2] for photo in jpegs],
        "page with a photo behind it": [b"<html><script>" + photo for photo in jpegs],
        "bomb": [_bomb(12_000)],
    }
    by_name = {name: [post(name, body) for body in of_name] for name, of_name in bodies.items()}
    by_name["small photo"] = [
        post("small photo", body, accept, f"image/{kind.lower()}")
        for kind, of_kind in small.items() for body in of_kind for accept in (answer.media_type for answer in ANSWERS)
    ]  # fmt: skip
    too_large = post("too large", bytes(BEGINNING_BYTES))
    # its client sends the beginning and looks
    over_limit = {"Content-Length": str(ServeConfig.max_upload_bytes + 1)}
    by_name["too large"] = [replace(too_large, headers={**too_large.headers, **over_limit})]
    by_name["sent slowly"] = [
        replace(post("sent slowly", photo), parts=_halves(photo), pause_s=PAUSE_S) for photo in jpegs
    ]
    by_name["hung up midway"] = [
        replace(post("hung up midway", photo), parts=_halves(photo)[:1], aborts=True) for photo in jpegs
    ]
    return by_name


def _halves(photo: bytes) -> tuple[bytes, bytes]:
    middle = len(photo) // 2
    return photo[:middle], photo[middle:]


def _small(photo: bytes, format: str) -> bytes:
    with Image.open(io.BytesIO(photo)) as image:
        image.thumbnail((SMALL_SIDE, SMALL_SIDE))
        return _encoded(image, format)


def _encoded(image: Image.Image, format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def _bomb(side: int) -> bytes:
    """Return a PNG of a few bytes whose header claims `side` x `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
