from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midas_bench.measure.worker_client import WorkerSpec


@pytest.fixture
def package(package_with_calls, tmp_path):
    """Put a package named like ours, with nothing but calls of small networks, where a worker finds it first."""
    return package_with_calls(tmp_path / "tree", Path(__file__).parent / "fake_calls.py")


@pytest.fixture
def spec(package, tmp_path):
    """Make a worker of one pipeline of the stand-in: `spec("onnx_runtime", times=2)`."""
    model = tmp_path / "small.onnx"
    model.write_bytes(small_model().SerializeToString())

    def make_spec(runtime, photos=(), **config):
        how = {"photos": list(photos), "config": {"runtime": runtime, "model": str(model), **config}}
        return WorkerSpec("a", {"one": how}, {"PYTHONPATH": str(package)}, tree=str(package))

    return make_spec


def small_model():
    """Return a 3x3 convolution of stride 2 to 4 channels, a rectifier and a 1x1 convolution."""
    weights = {"w1": np.ones((4, 3, 3, 3), np.float32), "w2": np.ones((4, 4, 1, 1), np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 4, 4])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return model
