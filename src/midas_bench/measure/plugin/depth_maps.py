"""Small depth maps beside the JSON, for reports: they only read, and never run a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from midas_bench.scene_photos import Photo


def save(
    folder: Path, prefix: str, photos: Sequence[Photo], depth: NDArray[np.float32], reference: NDArray[np.float32]
) -> list[str]:
    """Store depth (N, H, W) as 8-bit PNG, one per photo, and return their names, which begin with the prefix.

    Grey is 0 to 255 over the range of eager's depth for that photo, so that backends can be compared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for photo, estimate, eager in zip(photos, depth, reference, strict=True):
        name = f"{prefix}-{photo.sha256[:12]}.png"
        names.append(name)
        if not (folder / name).exists():
            low, high = float(eager.min()), float(eager.max())
            scaled = (estimate - low) / max(high - low, np.finfo(np.float32).tiny) * 255
            # a path that is not UTF-8 ends OpenCV with a segmentation fault
            _, png = cv2.imencode(".png", np.clip(np.rint(scaled), 0, 255).astype(np.uint8))
            (folder / name).write_bytes(png.tobytes())
    return list(dict.fromkeys(names))
