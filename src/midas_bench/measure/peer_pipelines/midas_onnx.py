"""MiDaS's ONNX script: tf/run_onnx.py of https://github.com/isl-org/MiDaS, with `model_type` small.

As the file that tf/make_onnx_model.py makes, the graph normalises by itself. The script writes grey pictures; the
colours are those of `write_depth` in utils.py, which its run.py uses.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.process_threads import use_threads
from midas_bench.depth.weights import Weights
from midas_bench.measure.peer_pipelines import midas_transforms
from midas_bench.measure.peer_pipelines.base import GRAPH, PeerPipeline, PeerResult, coloured, stretched


def load(weights: Weights, threads: int, cache_dir: Path) -> PeerPipeline:
    """Open a session as the script does, but for the number of threads."""
    use_threads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    graph = normalising(onnx.load(artifact(GRAPH, weights, cache_dir).path)).SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    given, returned = session.get_inputs()[0].name, session.get_outputs()[0].name

    def pipeline(photo: bytes) -> PeerResult:
        image = midas_transforms.read_image(photo)
        sample = midas_transforms.prepared(midas_transforms.square(image))
        [output] = session.run([returned], {given: sample[np.newaxis]})
        height, width = image.shape[:2]
        depth = np.asarray(cv2.resize(output[0], (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
        return PeerResult(coloured(stretched(depth)), depth)

    return pipeline


def normalising(model: onnx.ModelProto) -> onnx.ModelProto:
    """Have a graph take RGB from 0 to 1: it then subtracts the mean and divides by the deviation itself."""
    graph = model.graph
    given, plain = graph.input[0].name, "rgb"
    graph.input[0].name = plain
    for name, values in (("mean", MIDAS.mean), ("std", MIDAS.std)):
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.float32).reshape(1, 3, 1, 1), name))
    graph.node.insert(0, helper.make_node("Sub", [plain, "mean"], ["centred"]))
    graph.node.insert(1, helper.make_node("Div", ["centred", "std"], [given]))
    return model
