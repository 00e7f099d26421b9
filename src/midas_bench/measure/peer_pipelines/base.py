"""What a peer's pipeline gives, and what several of them do alike, as MiDaS and OpenCV's samples do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from midas_bench.errors import UserError

GRAPH = "onnx-plain"
"""The kind of artifact that peers load which read ONNX: the network as it was trained."""


@dataclass(frozen=True)
class PeerResult:
    """What a peer makes of one photo.

    Attributes:
        heatmap: uint8 RGB (H, W, 3), of the photo's size.
        depth: float32, inverse relative depth at the size in which the peer coloured it.
    """

    heatmap: NDArray[np.uint8]
    depth: NDArray[np.float32]


PeerPipeline = Callable[[bytes], PeerResult]
"""A photo's encoded bytes to its heat map."""


def decoded_bgr(photo: bytes) -> NDArray[np.uint8]:
    """Decode to uint8 BGR (H, W, 3) as `cv2.imread` does, whole and upright.

    Raises:
        UserError: OpenCV cannot read it.
    """
    pixels = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise UserError("the photo", "cannot be decoded by OpenCV", "leave it out")
    return np.asarray(pixels, np.uint8)


def stretched(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return depth stretched to its own range, 0 to 255, with fractions cut off: uint8 of the same shape."""
    low, high = depth.min(), depth.max()
    return np.asarray(255 * (depth - low) / (high - low), np.uint8)


def coloured(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 (H, W) in the colours of our heat maps, as RGB (H, W, 3).

    Peers write BGR to a file, or show it. RGB is a view of theirs here, and so costs them nothing.
    """
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), np.uint8)[..., ::-1]
