"""A recipe: the stages before and after the network, which are decoding, preprocessing and colouring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth import heatmap, photo, preprocess
from midas_bench.depth.interface import MIDAS, Batch, NetworkInterface
from midas_bench.errors import UserError


class DecodedPhoto(Protocol):
    """A decoded photo, in whatever form its recipe gives it.

    `width` and `height` are those of the photo itself, upright, however small it was decoded.
    """

    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def height(self) -> int: ...  # noqa: D102


ENCODED = bytes | bytearray | memoryview
Given = ENCODED | photo.CheckedPhoto | str | Path | NDArray[np.uint8]
"""A photo as it comes: encoded, encoded and checked already, the path of its file, or its RGB pixels (H, W, 3), such as
the frame of a video."""


def require_sequence(photos: object) -> None:
    """Refuse one photo where several are expected: Python would take it apart.

    Raises:
        TypeError: that is so.
    """
    one = photos.ndim != 4 if isinstance(photos, np.ndarray) else isinstance(photos, ENCODED | str | Path)
    if one:
        raise TypeError(f"photos come as a list or another iterable, and this is one {type(photos).__name__}: [photo]")


@dataclass(frozen=True)
class Recipe:
    """The stages of one recipe.

    `decode` takes a photo, its bytes or checked already, and the name that errors call it by. What it returns goes into
    `preprocess` as it is, as does what `wrap` makes of pixels that are decoded already. `heatmap` takes depth, width
    and height and gives RGB, `palette_map` indices of `heatmap.INFERNO_RGB`.
    """

    decode: Callable[..., DecodedPhoto]
    wrap: Callable[[NDArray[np.uint8]], DecodedPhoto]
    preprocess: Callable[[Sequence[Any]], Batch]
    heatmap: Callable[[NDArray[np.float32], int, int], NDArray[np.uint8]]
    palette_map: Callable[[NDArray[np.float32], int, int], NDArray[np.uint8]]

    def picture(self, given: Given) -> DecodedPhoto:
        """Return a photo decoded, read first where it is a path; pixels are taken as they are.

        Raises:
            UserError: it cannot be read or decoded.
            TypeError: it is no photo.
        """
        if isinstance(given, photo.CheckedPhoto):
            return self.decode(given)
        if isinstance(given, ENCODED):
            return self.decode(bytes(given))
        if isinstance(given, str | Path):
            return self.decode(photo.read(Path(given)), str(given))
        if isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.shape[2:] == (3,) and given.size:
            return self.wrap(np.ascontiguousarray(given))
        what = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
        raise TypeError(f"a photo is JPEG, PNG or WebP bytes, a path, or uint8 (H, W, 3) RGB pixels; this is {what}")


def find_recipe(name: str, interface: NetworkInterface = MIDAS) -> Recipe:
    """Return a recipe by its name, "fast" or "article", for a network; the article's imports torch and torchvision.

    Raises:
        UserError: the article's recipe is asked for with another input than MiDaS_small's square.
    """
    if name == "article":
        if interface != MIDAS:
            raise UserError("recipe article", "makes MiDaS_small's input of 256x256 alone", "choose the recipe fast")
        from midas_bench.depth import baseline_recipe

        article = baseline_recipe
        return Recipe(article.decode, article.wrap, article.preprocess, article.heatmap, heatmap.grey)
    decode, preprocess_all = partial(_decode, interface), partial(_preprocess, interface)
    return Recipe(decode, _wrap, preprocess_all, heatmap.heatmap, heatmap.palette_map)


def _decode(interface: NetworkInterface, data: bytes | photo.CheckedPhoto, name: str = "photo") -> photo.Decoded:
    return photo.decode_reduced(data, preprocess.least_side(interface), name)


def _wrap(pixels: NDArray[np.uint8]) -> photo.Decoded:
    height, width, _ = pixels.shape
    return photo.Decoded(pixels, width, height)


def _preprocess(interface: NetworkInterface, photos: Sequence[photo.Decoded]) -> Batch:
    return preprocess.preprocess([one.pixels for one in photos], interface)
