"""OpenVINO's notebook for MiDaS_small: vision-monodepth.ipynb.

It follows notebooks/vision-monodepth/vision-monodepth.ipynb of https://github.com/openvinotoolkit/openvino_notebooks:
the photo is resized by `cv2.resize`, and the depth coloured at the network's size and enlarged in colours. As in the
notebook's model, mean, deviation and order of the channels are part of the graph. The colours are ours: the notebook
takes matplotlib's viridis.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino
from openvino.preprocess import ColorFormat

from midas_bench.depth.preprocess import INPUT_SIZE
from midas_bench.depth.process_threads import use_threads
from midas_bench.depth.weights import Weights
from midas_bench.measure.peer_pipelines.base import PeerPipeline, PeerResult, coloured, decoded_bgr, stretched
from midas_bench.measure.peer_pipelines.openvino_model import MEAN, SCALE, compiled


def load(weights: Weights, threads: int, cache_dir: Path) -> PeerPipeline:
    """Compile the network."""
    use_threads(threads)
    infer = compiled(weights, threads, cache_dir, normalise)

    def pipeline(photo: bytes) -> PeerResult:
        image = decoded_bgr(photo)
        small = cv2.resize(image, (INPUT_SIZE, INPUT_SIZE))
        depth = infer(np.asarray(small.transpose(2, 0, 1)[np.newaxis], np.uint8))
        height, width = image.shape[:2]
        heatmap = cv2.resize(coloured(stretched(depth)), (width, height))
        return PeerResult(np.asarray(heatmap, np.uint8), depth)

    return pipeline


def normalise(given: Any) -> None:
    """Take uint8 BGR (1, 3, 256, 256), as the notebook's graph does."""
    given.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NCHW"))
    given.tensor().set_color_format(ColorFormat.BGR)
    given.preprocess().convert_element_type(openvino.Type.f32).convert_color(ColorFormat.RGB).mean(MEAN).scale(SCALE)
