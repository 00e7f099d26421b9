"""A size that a model refuses is answered with one that it takes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midas_bench.cli.main import main
from midas_bench.depth import artifacts
from midas_bench.depth.backends import registry
from midas_bench.depth.custom_model import own_model
from midas_bench.depth.fitting_size import advice_on_size
from midas_bench.errors import UserError
from midas_bench.processes import ProcessDiedError


def patches(side, given=("n", 3, "h", "w")):
    """Make a network whose patches have to cover the picture: what they give is enlarged, and added to it."""
    last = given[3] == 3
    constants = {
        "weights": np.full((1, 3, side, side), 0.01, np.float32),
        "scales": np.array([1, 1, side, side], np.float32),
    }
    nodes = [
        helper.make_node("Transpose", ["picture"], ["x"], perm=[0, 3, 1, 2] if last else [0, 1, 2, 3]),
        helper.make_node("Conv", ["x", "weights"], ["patches"], strides=[side, side]),
        helper.make_node("Resize", ["patches", "", "scales"], ["enlarged"], mode="nearest"),
        helper.make_node("ReduceMean", ["x"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Add", ["enlarged", "grey"], ["depth"]),
    ]
    describe = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "own",
        [describe("picture", TensorProto.FLOAT, given)],
        [describe("depth", TensorProto.FLOAT, ("n", 1, "p", "q"))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def saved(tmp_path):
    def save(made):
        path = tmp_path / "own.onnx"
        onnx.save(made, path)
        return str(path)

    return save


CASES = [
    (patches(14), "250x340", "252x336", 14),
    (patches(32), "100x100", "96x96", 32),
    (patches(16), "5x1000", "16x992", 16),
    (patches(14, ("n", "h", "w", 3)), "250x340", "252x336", 14),
    (patches(32, (1, 3, "h", 96)), "100x96", "96x96", 32),
]


@pytest.mark.parametrize("name", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("made", "asked", "fits", "multiple"), CASES)
def test_the_nearest_size_that_runs_is_named(saved, tmp_path, capfd, name, made, asked, fits, multiple):
    if registry.missing(registry.find(name)):
        pytest.skip(str(registry.missing(registry.find(name))))
    path = saved(made)
    advice = rf"give --size {fits}, for it runs with multiples of {multiple}$"
    with pytest.raises(UserError, match=rf"own\.onnx: cannot be run \(.*\); {advice}") as caught:
        registry.load(name, own_model(path, [("size", asked)]), 1, tmp_path)
    assert "\n" not in str(caught.value)
    registry.load(name, own_model(path, [("size", fits)]), 1, tmp_path).close()
    # the runtime's own lines would stand above ours
    assert capfd.readouterr().err == ""


def test_an_int8_graph_that_cannot_be_made_for_a_size_names_one_too(saved, tmp_path, calibration, monkeypatch):
    def dies(*_):
        raise ProcessDiedError("exit code 1: Fail: node Add")

    monkeypatch.setattr(artifacts, "ask", dies)
    path = saved(patches(14))
    said = r"cannot be made into onnx-int8 \(exit code 1: Fail: node Add\); give --size 252x252, for it runs with"
    with pytest.raises(UserError, match=said):
        registry.prepare("onnx-int8", own_model(path, [("size", "250")]), tmp_path, calibration)
    with pytest.raises(UserError, match="choose a backend that runs it as it is, such as onnx"):
        registry.prepare("onnx-int8", own_model(path, [("size", "252")]), tmp_path, calibration)


@pytest.mark.parametrize(
    ("made", "size"),
    [(patches(14), "280"), (patches(14, (1, 3, 100, 100)), None), (patches(97), "90")],
    ids=["a size that runs", "a fixed size", "no multiple that is tried"],
)
def test_there_is_no_advice_where_the_size_is_not_to_blame_or_nothing_is_found(saved, made, size):
    assert advice_on_size(own_model(saved(made), [("size", size)] if size else [])) is None


@pytest.mark.parametrize("line", [["model"], ["depth", "fixtures/images/china.jpg", "-o", "{}", "--model"]])
def test_commands_say_it_in_one_line(saved, tmp_path, project, monkeypatch, capfd, line):
    monkeypatch.chdir(project)
    output = str(tmp_path / "out.png")
    assert main([*(word.format(output) for word in line), saved(patches(14)), "--size", "250"]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.endswith("give --size 252x252, for it runs with multiples of 14\n")
