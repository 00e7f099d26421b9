"""The article's own recipe, station by station: the reference that every claim and speed-up is measured against.

Pillow decodes, torchvision resizes and normalises, OpenCV colours. It imports torch, so it has a module of its own.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Transpose

from midas_bench.depth.formats import iso_media
from midas_bench.depth.heatmap import grey
from midas_bench.depth.photo import CheckedPhoto, checked, decoding
from midas_bench.depth.preprocess import INPUT_SIZE, MEAN, STD
from midas_bench.depth.torchvision_compat import transforms

_TRANSFORM = transforms.Compose(
    [
        transforms.Resize((INPUT_SIZE, INPUT_SIZE)),
        transforms.ToTensor(),
        transforms.Normalize(MEAN.tolist(), STD.tolist()),
    ]
)

_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    # Pillow turns anticlockwise
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""By EXIF's orientation, as `ImageOps.exif_transpose` has it, which stumbles over damaged EXIF."""


def decode(photo: bytes | CheckedPhoto, name: str = "photo") -> Image.Image:
    """Decode with Pillow to an upright RGB image.

    Raises:
        PhotoError: as `photo.decode`.
    """
    photo = checked(photo, name)
    orientation = photo.info.orientation
    pillow_name = iso_media.PILLOW_NAMES.get(photo.info.format, photo.info.format)
    with decoding(photo.name), warnings.catch_warnings():
        # Pillow warns of size, for which the check has a limit of its own, and of lost transparency
        warnings.simplefilter("ignore")
        image: Image.Image = Image.open(io.BytesIO(photo.plain), formats=[pillow_name])
        if orientation in _UPRIGHT:
            image = image.transpose(_UPRIGHT[orientation])
        # Pillow would clip 16 bits to 255, not scale them
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        return image.convert("RGB")


def wrap(pixels: NDArray[np.uint8]) -> Image.Image:
    """Take uint8 RGB (H, W, 3) as a decoded photo."""
    return Image.fromarray(pixels)


def preprocess(photos: Sequence[Image.Image]) -> NDArray[np.float32]:
    """Resize, scale and normalise RGB images of any size to float32 (N, 3, 256, 256)."""
    batch: NDArray[np.float32] = torch.stack([_TRANSFORM(photo) for photo in photos]).numpy()
    return batch


def heatmap(depth: NDArray[np.float32], width: int, height: int) -> NDArray[np.uint8]:
    """Do as `heatmap.heatmap` does, but through OpenCV's BGR colours and a copy that swaps them."""
    coloured = cv2.applyColorMap(grey(depth, width, height), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)
