"""Depth -> an Inferno heat map in the photo's size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

INFERNO_RGB: NDArray[np.uint8] = np.ascontiguousarray(
    cv2.applyColorMap(np.arange(256, dtype=np.uint8).reshape(256, 1), cv2.COLORMAP_INFERNO)[..., ::-1]
)
"""OpenCV's Inferno as (256, 1, 3) RGB: mapping with it needs no swap of channels afterwards."""


def heatmap(depth: NDArray[np.float32], width: int, height: int) -> NDArray[np.uint8]:
    """Enlarge float32 depth (h, w) to the photo's size and colour it: uint8 RGB (height, width, 3).

    The nearest point becomes the brightest colour and the farthest black. A constant depth map becomes black.

    Raises:
        ValueError: the depth holds NaN or infinity.
    """
    return np.asarray(cv2.applyColorMap(grey(depth, width, height), INFERNO_RGB), np.uint8)


def grey(depth: NDArray[np.float32], width: int, height: int) -> NDArray[np.uint8]:
    """Enlarge float32 depth (h, w) by bicubic interpolation and stretch its range to 0..255: uint8 (height, width).

    Raises:
        ValueError: the depth holds NaN or infinity.
    """
    if not np.isfinite(depth).all():
        raise ValueError("the depth map holds NaN or infinity: the weights or the input are broken")
    if depth.min() == depth.max():  # enlarging would add rounding errors, and the stretch would show them
        return np.zeros((height, width), np.uint8)
    large = cv2.resize(depth, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high, _, _ = cv2.minMaxLoc(large)
    if high <= low:
        return np.zeros((height, width), np.uint8)
    factor = 255 / (high - low)
    return np.asarray(cv2.convertScaleAbs(large, alpha=factor, beta=-low * factor), np.uint8)
