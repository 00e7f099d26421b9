"""Photos in, heat maps out."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from midas_bench.cpu import calls_side_by_side
from midas_bench.depth.backends import registry
from midas_bench.depth.backends.base import Backend
from midas_bench.depth.backends.validation import non_finite_depth
from midas_bench.depth.config import PipelineConfig, Resolved, resolve
from midas_bench.depth.interface import Batch
from midas_bench.depth.recipe import DecodedPhoto, Given, find_recipe, require_sequence
from midas_bench.depth.stages import StagedBatch
from midas_bench.depth.stream import ordered_map
from midas_bench.errors import UserError

USERS_OWN = ("model", "file")
"""Sources of weights that a user brings, so that a user can be told what is wrong with them."""


@dataclass(frozen=True)
class Prediction:
    """What one call gives.

    Attributes:
        heatmaps: uint8 RGB (H, W, 3), or indices of a palette (H, W), each in its photo's size.
        depth: float32 (N, 256, 256), inverse relative depth; a model of the user's own may have another size.
        stage_s: seconds spent in each of `STAGES`.
    """

    heatmaps: list[NDArray[np.uint8]]
    depth: NDArray[np.float32]
    stage_s: dict[str, float]


class DepthPipeline:
    """MiDaS_small from encoded photos to heat maps; closing it frees the session.

    Attributes:
        config: what it was opened with.
        backend: the network.
        recipe: the stages before and after the network.
        max_concurrent: how many calls of the backend the cores have room for at a time.
        inference_slots: a semaphore of so many places; a thread that runs the stages holds one during inference.

    Example:
        >>> with DepthPipeline.open("onnx") as pipeline:
        ...     [heatmap] = pipeline([Path("street.jpg").read_bytes()])
    """

    def __init__(self, config: Resolved, backend: Backend, cores: int | None = None) -> None:
        self.config = config
        self.backend = backend
        self.recipe = find_recipe(config.recipe, config.weights.interface)
        self.max_concurrent = calls_side_by_side(config.threads, cores)
        self.inference_slots = threading.BoundedSemaphore(self.max_concurrent)

    @classmethod
    def open(
        cls, backend: str = "onnx", *, config: PipelineConfig | None = None, cores: int | None = None, **fields: Any
    ) -> Self:
        """Load a backend; `fields` are those of `PipelineConfig`.

        `cores` may be fewer than this process may use, where others use the rest.

        Raises:
            UserError: a name, the weights or the cache is not usable.
            TypeError: a field is unknown.
        """
        resolved = resolve(config or PipelineConfig(backend=backend, **fields))
        cv2.setNumThreads(resolved.threads)
        cache_dir = Path(resolved.cache_dir)
        loaded = registry.load(resolved.backend, resolved.weights, resolved.threads, cache_dir, resolved.calibration)
        return cls(resolved, loaded, cores)

    def __call__(self, photos: Sequence[Given]) -> list[NDArray[np.uint8]]:
        """Return one uint8 RGB heat map per photo, in its size.

        Raises:
            UserError: a photo cannot be read or decoded, or see `infer`.
            ValueError: there is no photo, or the depth is not finite.
            TypeError: something is no photo.
        """
        return self.run(photos).heatmaps

    def run(self, photos: Sequence[Given], *, palette: bool = False) -> Prediction:
        """Return heat maps, depth and stage times for photos of any sizes.

        Any number of threads may call it; at most `max_concurrent` of them are in inference at a time.

        Args:
            photos: JPEG, PNG or WebP bytes, paths of such files, or uint8 (H, W, 3) RGB pixels.
            palette: give heat maps as indices of `heatmap.INFERNO_RGB`, which `heatmap_png.encode` takes.

        Raises:
            UserError, ValueError, TypeError: as `__call__`.
        """
        require_sequence(photos)
        if not len(photos):
            raise ValueError("a batch needs at least one photo")
        ran = self.staged(photos, palette=palette).timed()
        return Prediction(ran.heatmaps, ran.depth, ran.stage_s)

    def staged(
        self, photos: Sequence[Given] = (), *, decoded: Sequence[DecodedPhoto] = (), palette: bool = False
    ) -> StagedBatch:
        """Return a batch that has not begun: of photos, or of photos that are decoded already."""
        return StagedBatch(self.recipe, self.infer, photos, self.inference_slots, decoded, palette)

    @overload
    def map(
        self,
        photos: Iterable[Given],
        *,
        errors: Literal["raise"] = "raise",
        ahead: int | None = None,
        palette: bool = False,
    ) -> Generator[NDArray[np.uint8], None, None]: ...

    @overload
    def map(
        self,
        photos: Iterable[Given],
        *,
        errors: Literal["return"],
        ahead: int | None = None,
        palette: bool = False,
    ) -> Generator[NDArray[np.uint8] | UserError, None, None]: ...

    def map(
        self,
        photos: Iterable[Given],
        *,
        errors: Literal["raise", "return"] = "raise",
        ahead: int | None = None,
        palette: bool = False,
    ) -> Generator[NDArray[np.uint8] | UserError, None, None]:
        """Yield the heat map of each photo of a stream, in order, while threads are at the next ones already.

        One photo is decoded or coloured while the network has another, and as many are inferred at a time as the
        pipeline's threads leave cores for. Open the pipeline with `threads=1` for most photos per second: photos side
        by side share nothing, whereas the threads of one inference wait for each other. The input is read in the
        caller's thread, no faster than the heat maps are taken. Close the iterator before the pipeline if you leave it
        early.

        Args:
            photos: as `run` takes them; any iterable, endless ones included. Pixels must stay as they are until their
                heat map is taken.
            errors: what becomes of a photo that cannot be read or decoded: `raise` ends the stream with the error at
                its place, `return` yields the error there and goes on.
            ahead: photos that are in work or wait for being taken, which bounds the memory; by default a few.
            palette: as `run` takes it.

        Raises:
            UserError: with `raise`, see `errors`.
            ValueError: the depth is not finite.
            TypeError: something is no photo.
        """
        require_sequence(photos)
        workers = max(2, self.max_concurrent)
        results = ordered_map(partial(self._heatmap, palette), photos, workers, workers + 1 if ahead is None else ahead)
        with closing(results):
            for finished in results:
                try:
                    yield finished.result()
                except UserError as error:
                    if errors == "raise":
                        raise
                    yield error

    def _heatmap(self, palette: bool, photo: Given) -> NDArray[np.uint8]:
        [heatmap] = self.staged([photo], palette=palette).timed().heatmaps
        return heatmap

    def infer(self, batch: Batch) -> NDArray[np.float32]:
        """Return the depth of a preprocessed batch, float32 (N, H, W): what the backend gives, if that is finite.

        Raises:
            UserError: a model or checkpoint of the user's own gives NaN or infinity.
            ValueError: other weights do.
        """
        depth = self.backend(batch)
        if np.isfinite(depth).all():
            return depth
        if self.config.weights.source in USERS_OWN:
            raise non_finite_depth(self.config.weights.path or "")
        raise ValueError("the network gives NaN or infinity in place of depth")

    def close(self) -> None:
        """Free the backend; a second call does nothing."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
