"""The stages of the pipeline, composed once for whoever runs or times them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.interface import Batch
from midas_bench.depth.recipe import DecodedPhoto, Given, Recipe

STAGES = ("decode", "preprocess", "inference", "heatmap")


@dataclass
class StagedBatch:
    """One batch on its way from photos to heat maps.

    Each of `STAGES` is a method: it works on what the stage before left here, keeps its own result, and returns it. So
    a stage can be called again and again on the same input.

    Attributes:
        recipe: the stages before and after the network.
        infer: the network, from its input to float32 (N, H, W).
        photos: as `Recipe.picture` takes them.
        inference_slot: held while the network is called; waiting for it counts in no stage.
        decoded: the photos decoded; given in place of `photos` where someone else decoded them.
        palette: whether heat maps are indices of `heatmap.INFERNO_RGB` in place of RGB.
        batch: the network's input, by default float32 (N, 3, 256, 256).
        depth: float32 (N, H, W), inverse relative depth, by default 256x256.
        heatmaps: uint8 RGB (H, W, 3) or indices (H, W), each in its photo's size.
        stage_s: seconds that each stage took which ran in `timed`.
    """

    recipe: Recipe
    infer: Callable[[Batch], NDArray[np.float32]]
    photos: Sequence[Given] = ()
    inference_slot: AbstractContextManager[object] = field(default_factory=nullcontext)
    decoded: Sequence[DecodedPhoto] = ()
    palette: bool = False
    batch: Batch = field(init=False)
    depth: NDArray[np.float32] = field(init=False)
    heatmaps: list[NDArray[np.uint8]] = field(init=False)
    stage_s: dict[str, float] = field(default_factory=dict)

    def decode(self) -> Sequence[DecodedPhoto]:
        """Read and decode the photos.

        Raises:
            UserError: one cannot be read or decoded.
            TypeError: one is no photo.
        """
        self.decoded = [self.recipe.picture(photo) for photo in self.photos]
        return self.decoded

    def preprocess(self) -> Batch:
        """Resize and normalise the decoded photos."""
        self.batch = self.recipe.preprocess(self.decoded)
        return self.batch

    def inference(self) -> NDArray[np.float32]:
        """Call the network; raises what it raises."""
        self.depth = self.infer(self.batch)
        return self.depth

    def heatmap(self) -> list[NDArray[np.uint8]]:
        """Colour the depth of each photo in the photo's size."""
        draw = self.recipe.palette_map if self.palette else self.recipe.heatmap
        pairs = zip(self.depth, self.decoded, strict=True)
        self.heatmaps = [draw(depth, photo.width, photo.height) for depth, photo in pairs]
        return self.heatmaps

    def timed(self, *stages: str) -> StagedBatch:
        """Run these stages, all of them by default, and note what each takes."""
        for stage in stages or STAGES:
            with self.inference_slot if stage == "inference" else nullcontext():
                start_s = time.perf_counter()
                getattr(self, stage)()
                self.stage_s[stage] = time.perf_counter() - start_s
        return self
