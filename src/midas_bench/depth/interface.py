"""What a network takes and what its numbers mean: MiDaS_small's own interface, and that of a user's model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Batch = NDArray[Any]
"""Photos as a network takes them, in the shape and type of its interface."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in 0..1, which the encoder was trained with (timm and torchvision state the same figures)."""

NEAREST = 1e-3
"""The smallest depth that is told from 0, as a share of the photo's largest: its inverse would be without bounds."""


@dataclass(frozen=True)
class NetworkInterface:
    """The input and the output of a network; the defaults are those of MiDaS_small.

    Attributes:
        height: of the input, in pixels.
        width: of the input, in pixels.
        layout: of the input, `NCHW` or `NHWC`.
        dtype: of the input: `float32`, `float16` or `uint8`.
        mean: of RGB, taken from pixels that are divided by `scale`.
        std: of RGB, which the difference is divided by.
        scale: what pixels of 0 to 255 are divided by.
        output: the name of the output that holds depth; empty where there is only one.
        meaning: of the output: `inverse` depth grows towards the camera, `depth` away from it.
    """

    height: int = 256
    width: int = 256
    layout: str = "NCHW"
    dtype: str = "float32"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    scale: float = 255.0
    output: str = ""
    meaning: str = "inverse"

    def __post_init__(self) -> None:
        """Take the lists of JSON."""
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))

    @property
    def size(self) -> str:
        """Height x width, such as `252x336`, as `--size` takes it."""
        return f"{self.height}x{self.width}"

    def shape(self, photos: int) -> tuple[int, int, int, int]:
        """Return the input's shape for so many photos."""
        if self.layout == "NHWC":
            return photos, self.height, self.width, 3
        return photos, 3, self.height, self.width

    def noise(self) -> Batch:
        """Return one input of random numbers, always the same: what two runtimes are compared on."""
        random = np.random.default_rng(0)
        drawn = random.integers(256, size=self.shape(1)) if self.dtype == "uint8" else random.random(self.shape(1))
        return drawn.astype(self.dtype)

    def inverse_depth(self, output: NDArray[Any]) -> NDArray[np.float32]:
        """Turn the network's output into inverse depth, float32 (N, H, W); this alone reads `meaning`.

        Depth becomes 1 / depth, which is what MiDaS estimates but for scale and shift, so all that follows may stay. A
        depth below `NEAREST` of the photo's largest counts as that. Negating depth would keep the order alone.

        Raises:
            ValueError: the output has another shape.
        """
        if output.ndim == 4 and 1 in (output.shape[1], output.shape[3]):
            output = output.squeeze(1 if output.shape[1] == 1 else 3)
        if output.ndim != 3:
            raise ValueError(f"the network gives {output.shape} in place of (N, H, W), (N, 1, H, W) or (N, H, W, 1)")
        maps: NDArray[np.float32] = output.astype(np.float32, copy=False)
        if self.meaning == "inverse":
            return maps
        largest = maps.max(axis=(1, 2), keepdims=True)
        # where nothing is in front of the camera, the map is constant
        nearest = np.where(largest > 0, largest * np.float32(NEAREST), np.float32(1))
        return np.asarray(1 / np.maximum(maps, nearest), np.float32)


MIDAS = NetworkInterface()
MIDAS_MULTIPLE = 32
"""Sides of MiDaS_small's input are multiples of it: the encoder halves them five times."""
