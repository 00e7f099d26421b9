import shutil

import onnx
import pytest
from onnx import TensorProto, helper


@pytest.fixture
def own_model(tmp_path):
    """Save a model of free sizes that takes brightness for depth, and return its path."""
    describe = helper.make_tensor_value_info
    node = helper.make_node("ReduceMean", ["picture"], ["depth"], axes=[1], keepdims=0)
    given = describe("picture", TensorProto.FLOAT, ("n", 3, "h", "w"))
    graph = helper.make_graph([node], "own", [given], [describe("depth", TensorProto.FLOAT, ("n", "h", "w"))])
    path = tmp_path / "own.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture
def own_photos(project, tmp_path):
    """Make a folder of two scenes with one photo each, and return it."""
    for scene, name in (("pet", "chelsea.jpg"), ("indoor", "coffee.jpg")):
        folder = tmp_path / "photos" / scene
        folder.mkdir(parents=True)
        shutil.copy(project / "fixtures/images" / name, folder)
    return tmp_path / "photos"
