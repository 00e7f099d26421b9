"""The server that benchmarks start reads the network that they measure, from whatever folder it is started in."""

import pytest
from onnx import TensorProto, helper

from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.measure.service import server_process
from midas_bench.measure.service.server_process import serving


class StartedError(Exception):
    """Ends the call once its command is known."""


@pytest.fixture
def command(monkeypatch):
    """Give the command that is started for a configuration, without starting it."""

    def popen(command, **_):
        raise StartedError(command)

    def started(config, folder):
        with pytest.raises(StartedError) as caught, serving(config, folder):
            pass
        return caught.value.args[0]

    monkeypatch.setattr(server_process.subprocess, "Popen", popen)
    return started


def test_a_model_with_a_relative_name_is_found_from_another_folder(command, tmp_path, monkeypatch):
    describe = helper.make_tensor_value_info
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=0)
    given = describe("x", TensorProto.FLOAT, ("n", 3, "h", "w"))
    graph = helper.make_graph([node], "own", [given], [describe("y", TensorProto.FLOAT, ("n", "h", "w"))])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "own.onnx").write_bytes(made.SerializeToString())
    monkeypatch.chdir(tmp_path)
    config = resolve(PipelineConfig("onnx", 1, model="own.onnx", model_settings={"size": "64x96", "mean": "0.5"}))
    words = command(config, tmp_path.parent)
    assert words[words.index("--model") + 1] == str(tmp_path / "own.onnx")
    assert {"--size=64x96", "--mean=0.5"} <= set(words)
    assert "--weights" not in words


def test_seeded_weights_are_named_as_weights(command, tmp_path):
    words = command(resolve(PipelineConfig("onnx", 1, "seeded")), tmp_path)
    assert words[words.index("--weights") + 1] == "seeded"
    assert "--model" not in words
