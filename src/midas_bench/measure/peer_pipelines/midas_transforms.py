"""MiDaS's preparation of a photo, for its scripts: read, resized, and laid out.

It follows `read_image` in utils.py and `Resize` in midas/transforms.py of https://github.com/isl-org/MiDaS, commit
454597711a. Pixels are float64 there from the division by 255 on, and so they are here.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.preprocess import INPUT_SIZE
from midas_bench.measure.peer_pipelines.base import decoded_bgr


def read_image(photo: bytes) -> NDArray[np.float64]:
    """Return RGB from 0 to 1, float64 (H, W, 3), as `read_image` does of a file."""
    return np.asarray(cv2.cvtColor(decoded_bgr(photo), cv2.COLOR_BGR2RGB) / 255.0)


def resized(image: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Resize by bicubic interpolation, as `Resize` does for this network."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC))


def square(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Resize to 256x256, as `keep_aspect_ratio=False` does."""
    return resized(image, INPUT_SIZE, INPUT_SIZE)


def prepared(image: NDArray[np.float64]) -> NDArray[np.float32]:
    """Put the channels first and take float32, as `PrepareForNet` does: (3, h, w)."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32)
