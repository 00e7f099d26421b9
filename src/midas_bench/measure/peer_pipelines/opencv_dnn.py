"""OpenCV alone: its samples for networks whose output is a map.

It follows samples/dnn/segmentation.py and samples/dnn/classification.py of https://github.com/opencv/opencv: a blob is
made of the frame, divided by the deviation, run through the network, and the output resized to the frame. The engine is
OpenCV 5's new one.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.preprocess import INPUT_SIZE, STD
from midas_bench.depth.process_threads import use_threads
from midas_bench.depth.weights import Weights
from midas_bench.measure.peer_pipelines.base import GRAPH, PeerPipeline, PeerResult, coloured, decoded_bgr, stretched

MEAN = tuple(255 * value for value in MIDAS.mean)


def load(weights: Weights, threads: int, cache_dir: Path) -> PeerPipeline:
    """Read the network."""
    use_threads(threads)
    graph = artifact(GRAPH, weights, cache_dir).path
    network = cv2.dnn.readNetFromONNX(np.frombuffer(graph.read_bytes(), np.uint8), cv2.dnn.ENGINE_NEW)

    def pipeline(photo: bytes) -> PeerResult:
        frame = decoded_bgr(photo)
        blob = cv2.dnn.blobFromImage(frame, 1 / 255, (INPUT_SIZE, INPUT_SIZE), MEAN, swapRB=True, crop=False)
        np.divide(blob, STD.reshape(1, 3, 1, 1), out=blob)
        network.setInput(blob)
        height, width = frame.shape[:2]
        depth = np.asarray(cv2.resize(network.forward()[0], (width, height)), np.float32)
        return PeerResult(coloured(stretched(depth)), depth)

    return pipeline
