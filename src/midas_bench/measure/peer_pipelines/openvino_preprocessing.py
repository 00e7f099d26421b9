"""OpenVINO's recommended way: the photo goes into the model whole, and a PrePostProcessor prepares it there.

It follows "Optimize Preprocessing" in OpenVINO's documentation, the steps of which are in
docs/articles_en/assets/snippets/ov_preprocessing.py, and samples/python/hello_classification, both of
https://github.com/openvinotoolkit/openvino. They end with the network's output; what follows is as in the notebook
that `openvino_notebook.py` names.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino
from openvino.preprocess import ColorFormat, ResizeAlgorithm

from midas_bench.depth.process_threads import use_threads
from midas_bench.depth.weights import Weights
from midas_bench.measure.peer_pipelines.base import PeerPipeline, PeerResult, coloured, decoded_bgr, stretched
from midas_bench.measure.peer_pipelines.openvino_model import MEAN, SCALE, compiled


def load(weights: Weights, threads: int, cache_dir: Path) -> PeerPipeline:
    """Compile the network for each size of photo, when the first of it comes."""
    use_threads(threads)

    @cache
    def network(height: int, width: int) -> Any:
        return compiled(weights, threads, cache_dir, partial(prepare, height, width))

    def pipeline(photo: bytes) -> PeerResult:
        image = decoded_bgr(photo)
        height, width = image.shape[:2]
        depth = network(height, width)(image[np.newaxis])
        heatmap = cv2.resize(coloured(stretched(depth)), (width, height))
        return PeerResult(np.asarray(heatmap, np.uint8), depth)

    return pipeline


def prepare(height: int, width: int, given: Any) -> None:
    """Take uint8 BGR (1, height, width, 3), and add the documentation's steps."""
    tensor = given.tensor().set_element_type(openvino.Type.u8).set_shape([1, height, width, 3])
    tensor.set_layout(openvino.Layout("NHWC")).set_color_format(ColorFormat.BGR)
    steps = given.preprocess().convert_element_type(openvino.Type.f32).convert_color(ColorFormat.RGB)
    steps.resize(ResizeAlgorithm.RESIZE_LINEAR).mean(MEAN).scale(SCALE)
