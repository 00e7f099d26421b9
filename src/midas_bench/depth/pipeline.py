"""Photos in, heat maps out: the stations composed, and timed one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from midas_bench.depth import heatmap, photo, preprocess
from midas_bench.depth.backends import registry
from midas_bench.depth.backends.registry import Backend
from midas_bench.depth.config import PipelineConfig, Resolved, resolve

STAGES = ("decode", "preprocess", "inference", "heatmap")


@dataclass(frozen=True)
class Stations:
    """One recipe's way through decoding, preprocessing and colouring.

    What `decode` returns goes into `preprocess` as it is; `size` reads (width, height) from it.
    """

    decode: Callable[[bytes], Any]
    size: Callable[[Any], tuple[int, int]]
    preprocess: Callable[[Sequence[Any]], NDArray[np.float32]]
    heatmap: Callable[[NDArray[np.float32], int, int], NDArray[np.uint8]]


def stations(recipe: str) -> Stations:
    """Return a recipe's stations; the article's import torch and torchvision."""
    if recipe == "article":
        from midas_bench.depth import article

        return Stations(article.decode, lambda image: image.size, article.preprocess, article.heatmap)
    return Stations(photo.decode, lambda rgb: rgb.shape[1::-1], preprocess.preprocess, heatmap.heatmap)


@dataclass(frozen=True)
class Prediction:
    """What one call gives.

    Attributes:
        heatmaps: uint8 RGB (H, W, 3), each in its photo's size.
        depth: float32 (N, 256, 256), inverse relative depth.
        stage_s: seconds spent in each of `STAGES`.
    """

    heatmaps: list[NDArray[np.uint8]]
    depth: NDArray[np.float32]
    stage_s: dict[str, float]


class DepthPipeline:
    """MiDaS_small from encoded photos to heat maps; closing it frees the session.

    Example:
        >>> with DepthPipeline.open("onnx") as pipeline:
        ...     [heatmap] = pipeline([Path("street.jpg").read_bytes()])
    """

    def __init__(self, config: Resolved, backend: Backend) -> None:
        self.config = config
        self.backend = backend
        self.stations = stations(config.recipe)

    @classmethod
    def open(cls, backend: str = "onnx", *, config: PipelineConfig | None = None, **fields: Any) -> Self:
        """Load a backend; `fields` are those of `PipelineConfig`.

        Raises:
            UserError: a name, the weights or the cache is not usable.
            TypeError: a field is unknown.
        """
        resolved = resolve(config or PipelineConfig(backend=backend, **fields))
        cv2.setNumThreads(resolved.threads)
        loaded = registry.load(resolved.backend, resolved.weights, resolved.threads, Path(resolved.cache_dir))
        return cls(resolved, loaded)

    def __call__(self, photos: Sequence[bytes]) -> list[NDArray[np.uint8]]:
        """Return one uint8 RGB heat map a photo, in its size.

        Raises:
            UserError: a photo cannot be decoded.
            ValueError: there is no photo, or the depth is not finite.
        """
        return self.run(photos).heatmaps

    def run(self, photos: Sequence[bytes]) -> Prediction:
        """Return heat maps, depth and stage times for JPEG, PNG or WebP photos of any sizes.

        Raises:
            UserError, ValueError: as `__call__`.
        """
        if not photos:
            raise ValueError("a batch needs at least one photo")
        clock = time.perf_counter
        at = self.stations
        marks_s = [clock()]
        decoded = [at.decode(data) for data in photos]
        marks_s.append(clock())
        batch = at.preprocess(decoded)
        marks_s.append(clock())
        depth = self.backend(batch)
        marks_s.append(clock())
        heatmaps = [at.heatmap(one, *at.size(image)) for one, image in zip(depth, decoded, strict=True)]
        marks_s.append(clock())
        spans_s = (later - sooner for sooner, later in pairwise(marks_s))
        return Prediction(heatmaps, depth, dict(zip(STAGES, spans_s, strict=True)))

    def close(self) -> None:
        """Free the backend; a second call does nothing."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
