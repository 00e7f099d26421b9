"""The representations of depth that a client can ask for: from an array to the bytes of an answer."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from midas_bench.depth import heatmap_png
from midas_bench.depth.heatmap import grey16, heatmap, palette_map

# code that only names or encodes representations needs no server
if TYPE_CHECKING:
    from werkzeug.datastructures import MIMEAccept

PNG_LEVEL = 1
"""zlib's fastest, of the depth with 16 bits."""
JPEG_QUALITY = 92


@dataclass(frozen=True)
class Representation:
    """One representation of a photo's depth.

    Attributes:
        media_type: its name in `Accept` and `Content-Type`.
        suffix: of a file that holds it.
        description: for the API's description.
        draw: float32 depth (h, w), width and height of the photo -> the array to encode.
        encode: that array -> bytes.
    """

    media_type: str
    suffix: str
    description: str
    draw: Callable[[NDArray[np.float32], int, int], NDArray[Any]]
    encode: Callable[[NDArray[Any]], bytes]


def _png(pixels: NDArray[Any]) -> bytes:
    return _encoded(".png", pixels, cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL)


def _jpeg(pixels: NDArray[Any]) -> bytes:
    return _encoded(".jpg", pixels, cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)


def _encoded(suffix: str, pixels: NDArray[Any], *settings: int) -> bytes:
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    _, data = cv2.imencode(suffix, ordered, settings)
    return data.tobytes()


def _npy(depth: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, depth, allow_pickle=False)
    return file.getvalue()


def _as_it_is(depth: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:  # noqa: ARG001
    return depth


PNG = Representation(
    "image/png", ".png", "The heat map, Inferno colours as a palette, in the photo's size.", palette_map,
    heatmap_png.encode,
)  # fmt: skip
JPEG = Representation("image/jpeg", ".jpg", "The heat map as a JPEG: smaller, nearly the same.", heatmap, _jpeg)
DEPTH = Representation(
    "image/png;depth=16", ".png",
    "Inverse depth as 16-bit grey in the photo's size: the nearest point is 65535, the farthest 0.", grey16, _png,
)  # fmt: skip
NPY = Representation(
    "application/x-npy", ".npy",
    "The network's own output: inverse relative depth, float32 (H, W), as NumPy's save writes it.", _as_it_is, _npy,
)  # fmt: skip

ANSWERS = (PNG, JPEG, DEPTH, NPY)
"""The first is the default, and what `*/*` and `image/*` get."""


def choose(accept: MIMEAccept) -> Representation | None:
    """Return the representation that the client prefers, or None if it accepts none of them.

    Among equals, one that the client names goes before one that a `*` covers. Then the order of `ANSWERS` decides.
    """
    if not accept:
        return PNG

    def preference(answer: Representation) -> tuple[float, bool]:
        index = accept.find(answer.media_type)
        media_range, quality = accept[index] if index >= 0 else ("*", 0.0)
        return quality, "*" not in media_range

    best = max(ANSWERS, key=preference)
    return best if preference(best)[0] > 0 else None
