"""The network compiled by OpenVINO for its peers, with preparation steps inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.weights import Weights
from midas_bench.measure.peer_pipelines.base import GRAPH

MEAN = [255 * value for value in MIDAS.mean]
SCALE = [255 * value for value in MIDAS.std]
"""Of RGB from 0 to 255, as OpenVINO's documentation gives them."""


def compiled(
    weights: Weights, threads: int, cache_dir: Path, steps: Callable[[Any], None]
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return the compiled network, from uint8 pixels in the layout that `steps` declares to depth (256, 256).

    Args:
        weights: of the network.
        threads: for inference.
        cache_dir: where the graph is.
        steps: declares the input and adds the steps to a PrePostProcessor.
    """
    core = openvino.Core()
    processor = PrePostProcessor(core.read_model(str(artifact(GRAPH, weights, cache_dir).path)))
    processor.input().model().set_layout(openvino.Layout("NCHW"))
    steps(processor.input())
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = core.compile_model(processor.build(), "CPU", settings)

    def infer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(model([pixels])[model.output(0)][0], np.float32)

    return infer
