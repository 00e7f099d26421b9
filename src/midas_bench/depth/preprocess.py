"""RGB -> the network's input."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

INPUT_SIZE = 256
"""Height and width of the network's input in pixels. The original keeps the aspect ratio; the article this suite
follows resizes to a square, which is what makes batches possible."""

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
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = cv2.resize(photo, (INPUT_SIZE, INPUT_SIZE), interpolation=how)
        for channel in range(3):
            np.multiply(resized[..., channel], scale[channel], out=row[channel])
            row[channel] += offset[channel]
    return batch
