"""RGB -> the network's input."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

INPUT_SIZE = 256
"""Height and width of the network's input in pixels. The original keeps the aspect ratio; the article this suite
follows resizes to a square, which is what makes batches possible."""

LEAST_SIDE = 5 * INPUT_SIZE // 4
"""What decoding to a fraction must leave of a photo's shorter side. Down to here the input is as near the article's as
that of the photo decoded whole: an eighth of 4000x3000 is 0.017 of a standard deviation away on average, all of it
0.031. Seven photos, scaled so that 300 to 426 pixels remained: 0.014 to 0.028; so that 256 remained: 0.028 to 0.066."""

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
"""ImageNet's mean and standard deviation of RGB in 0..1, which the encoder was trained with (timm and torchvision
state the same figures)."""


def preprocess(photos: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Resize uint8 RGB photos of any size, each (H, W, 3), to normalised float32 (N, 3, 256, 256)."""
    scale = 1 / (255 * STD)
    offset = -MEAN / STD
    batch = np.empty((len(photos), 3, INPUT_SIZE, INPUT_SIZE), np.float32)
    for row, photo in zip(batch, photos, strict=True):
        shrinks = min(photo.shape[:2]) > INPUT_SIZE
        # averaging over the covered area keeps fine texture from turning into noise when shrinking
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = cv2.resize(photo, (INPUT_SIZE, INPUT_SIZE), interpolation=interpolation)
        for channel, plane in enumerate(cv2.split(resized)):
            np.multiply(plane, scale[channel], out=row[channel])
            row[channel] += offset[channel]
    return batch
