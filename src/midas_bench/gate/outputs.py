"""Compare both sides' heat maps of the same photos, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VISIBLE_LEVELS = 8
"""Out of 255, in any channel. Two neighbouring colours of Inferno are up to 5 apart, so rounding stays below."""
TOLERATED_SHARE = 0.001
"""Of the pixels: a steep edge may move a little where sums are taken in another order."""


@dataclass(frozen=True)
class Difference:
    """How far two sides' heat maps of one call are apart.

    Attributes:
        name: of the output.
        largest: difference of any channel of any pixel, in levels of 255; None where shapes or types differ.
        visible_share: of the pixels that differ by more than `VISIBLE_LEVELS`.
    """

    name: str
    largest: int | None
    visible_share: float

    @property
    def changed(self) -> bool:
        """Whether it is more than rounding."""
        return self.largest is None or self.visible_share > TOLERATED_SHARE

    @property
    def text(self) -> str:
        """Describe it in words."""
        if self.largest is None:
            return "heat maps of another shape or type"
        if self.largest == 0:
            return "identical heat maps"
        levels = f"up to {self.largest} of 255 levels"
        return f"heat maps differ by {levels}, visibly in {self.visible_share:.2%} of the pixels"


@dataclass(frozen=True)
class Saved:
    """uint8 arrays on disk, one behind the other, and their shapes."""

    path: Path
    shapes: Sequence[tuple[int, ...]]

    def read(self) -> NDArray[np.uint8]:
        """Return all pixels, (pixels, 3); byte by byte, (bytes, 1), where they cannot be pixels."""
        values = np.fromfile(self.path, np.uint8)
        return values.reshape(-1, 1 if values.size % 3 else 3)


def compare(name: str, base: Saved, head: Saved) -> Difference:
    """Compare what both sides' calls returned."""
    if list(base.shapes) != list(head.shapes) or base.path.stat().st_size != head.path.stat().st_size:
        return Difference(name, None, 1.0)
    apart = np.abs(base.read().astype(np.int16) - head.read().astype(np.int16)).max(axis=1, initial=0)
    return Difference(name, int(apart.max(initial=0)), float((apart > VISIBLE_LEVELS).mean()) if len(apart) else 0.0)
