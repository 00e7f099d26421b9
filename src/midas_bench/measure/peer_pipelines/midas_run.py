"""MiDaS's own program in PyTorch: run.py of https://github.com/isl-org/MiDaS, with `midas_v21_small_256`.

It follows `process` and `run` in run.py, the transform of `midas_v21_small_256` in midas/model_loader.py, and
`write_depth` in utils.py. The input keeps the photo's aspect ratio there: the longer side has 256 pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate

from midas_bench.depth.interface import MIDAS
from midas_bench.depth.network import load_network
from midas_bench.depth.preprocess import size_of_original
from midas_bench.depth.process_threads import use_threads
from midas_bench.depth.weights import Weights
from midas_bench.measure.peer_pipelines import midas_transforms
from midas_bench.measure.peer_pipelines.base import PeerPipeline, PeerResult, coloured, stretched


def load(weights: Weights, threads: int, cache_dir: Path) -> PeerPipeline:  # noqa: ARG001
    """Load the network as it was trained."""
    network = load_network(weights).eval()
    use_threads(threads)

    def pipeline(photo: bytes) -> PeerResult:
        image = midas_transforms.read_image(photo)
        height, width = image.shape[:2]
        small = midas_transforms.resized(image, *size_of_original(width, height))
        sample = midas_transforms.prepared((small - MIDAS.mean) / MIDAS.std)
        with torch.no_grad():
            prediction = network(torch.from_numpy(sample).unsqueeze(0))
            large = interpolate(prediction.unsqueeze(1), size=(height, width), mode="bicubic", align_corners=False)
        depth = np.asarray(large.squeeze().cpu().numpy(), np.float32)
        if not np.isfinite(depth).all():
            depth = np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)
        return PeerResult(coloured(stretched(depth)), depth)

    return pipeline
