"""RGB -> the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.interface import MIDAS, MIDAS_MULTIPLE, Batch, NetworkInterface

INPUT_SIZE = MIDAS.height
"""Height and width of MiDaS_small's input in pixels, unless a size is asked for. The original keeps the aspect ratio;
the article this suite follows resizes to a square, which is what makes batches of any photos possible."""

MEAN, STD = np.array(MIDAS.mean, np.float32), np.array(MIDAS.std, np.float32)


def size_of_original(width: int, height: int) -> tuple[int, int]:
    """Return height and width of the input that the original makes of a photo of this width and height.

    The longer side becomes 256, and the other one the nearest multiple of 32, but not 0 as there. Source:
    https://github.com/isl-org/MiDaS, `small_transform` in hubconf.py: `Resize` with the method `upper_bound`.
    """
    scale = INPUT_SIZE / max(width, height)
    # two multiples can be equally near, as for 16:9: Python then takes the even one, as NumPy does there
    sides = [max(1, round(scale * side / MIDAS_MULTIPLE)) * MIDAS_MULTIPLE for side in (height, width)]
    return sides[0], sides[1]


def least_side(interface: NetworkInterface) -> int:
    """Return what decoding to a fraction must leave of a photo's shorter side.

    Down to here MiDaS_small's input is as near the article's as that of the photo decoded whole: an eighth of 4000x3000
    is 0.017 of a standard deviation away on average, all of it 0.031. Seven photos, scaled so that 300 to 426 pixels
    remained: 0.014 to 0.028; so that 256 remained: 0.028 to 0.066.
    """
    return 5 * max(interface.height, interface.width) // 4


@cache
def _factors(interface: NetworkInterface) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what pixels of each channel are multiplied by, and what is added then, float32 (3,) each."""
    mean, std = np.array(interface.mean, np.float32), np.array(interface.std, np.float32)
    return np.asarray(1 / (interface.scale * std), np.float32), -mean / std


def preprocess(photos: Sequence[NDArray[np.uint8]], interface: NetworkInterface = MIDAS) -> Batch:
    """Resize uint8 RGB photos of any size, each (H, W, 3), and normalise them to the input of a network."""
    scale, offset = _factors(interface)
    height, width = interface.height, interface.width
    whole = interface.dtype == "uint8"
    batch = np.empty(interface.shape(len(photos)), np.uint8 if whole else np.float32)
    # a view whose second axis is the channel, whatever the layout
    planes = batch if interface.layout == "NCHW" else batch.transpose(0, 3, 1, 2)
    for row, photo in zip(planes, photos, strict=True):
        shrinks = photo.shape[0] > height and photo.shape[1] > width
        # averaging over the covered area keeps fine texture from turning into noise when shrinking
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = cv2.resize(photo, (width, height), interpolation=interpolation)
        if whole:
            row[...] = resized.transpose(2, 0, 1)
            continue
        for channel, plane in enumerate(cv2.split(resized)):
            np.multiply(plane, scale[channel], out=row[channel])
            row[channel] += offset[channel]
    return batch.astype(np.float16) if interface.dtype == "float16" else batch
