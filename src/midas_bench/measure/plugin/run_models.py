"""The networks of a run: MiDaS_small, or the user's models, each with a name that ids, results and reports share."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from midas_bench.depth.config import RECIPES, PipelineConfig, Resolved, resolve
from midas_bench.depth.weights import Weights
from midas_bench.errors import printable
from midas_bench.files import expanded
from midas_bench.measure.reference import Reference
from midas_bench.measure.teacher import can_be_followed
from midas_bench.scene_photos import Photo

UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
"""What -k cannot be asked for, or pytest would escape in ids."""


class RunModel:
    """A network that cells run.

    Attributes:
        name: what tells it from the others; None where a run has one network.
    """

    def __init__(self, name: str | None, asked: PipelineConfig) -> None:
        self.name = name
        self._asked = asked

    @cached_property
    def config(self) -> Resolved:
        """Threads, weights and cache, resolved; `auto` may ask the network here, and nowhere else.

        Raises:
            UserError: the weights, the model or the number of threads is not usable.
        """
        return resolve(self._asked, os.environ)

    @property
    def weights(self) -> Weights:
        """The weights of every backend that runs it."""
        return self.config.weights

    @cached_property
    def references(self) -> dict[str, Reference]:
        """The depth to check outputs against, by recipe."""
        return {recipe: Reference(replace(self.config, recipe=recipe)) for recipe in RECIPES}

    def photos_without_depth(self, photos: Sequence[Photo]) -> list[str]:
        """Return the files whose depth is flat or not finite in float32, so that no other can be compared with it."""
        depths = self.references["fast"].depth(photos)
        return [photo.file for photo, depth in zip(photos, depths, strict=True) if not can_be_followed(depth)]

    def __str__(self) -> str:
        """Name it with its file and the digits that its hash begins with."""
        return f"{self.name} ({printable(self._asked.model)}, {self.weights.sha256[:8]})"


def model_names(files: Sequence[str]) -> list[str]:
    """Name each file by its stem, with as many folders before it as tell all of them apart."""
    paths = [expanded(file).absolute() for file in files]
    for parts in range(1, max((len(path.parts) for path in paths), default=0)):
        names = [_plain(".".join([*path.parts[-parts:-1], path.stem])) for path in paths]
        if len(set(names)) == len(names):
            return names
    # such as files that differ in their suffix alone, or in letters that are not of ASCII
    return [f"{_plain(path.stem)}.{number}" for number, path in enumerate(paths, start=1)]


def _plain(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return UNFIT.sub("_", ascii_text).strip("_") or "model"
