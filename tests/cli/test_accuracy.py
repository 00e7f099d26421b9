"""`midas-bench accuracy` on models of the user's own, which are a convolution each."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midas_bench.cli.main import main


def network(weights, size=64, smaller=1):
    """Make a model of (N, 3, size, size) whose depth is the weighted sum of R, G and B, at a part of the size."""
    kernel = np.asarray(weights, np.float32).reshape(1, 3, 1, 1)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["v"], strides=[smaller, smaller]),
        helper.make_node("Squeeze", ["v", "axes"], ["depth"]),
    ]
    held = [numpy_helper.from_array(kernel, "w"), numpy_helper.from_array(np.array([1]), "axes")]
    describe = helper.make_tensor_value_info
    given = describe("x", TensorProto.FLOAT, ("n", 3, size, size))
    returned = describe("depth", TensorProto.FLOAT, ("n", size // smaller, size // smaller))
    graph = helper.make_graph(nodes, "own", [given], [returned], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def saved(tmp_path):
    def save(name, *weights, **how):
        path = tmp_path / name
        onnx.save(network(weights, **how), path)
        return str(path)

    return save


def rows(capsys, *flags):
    code = main(["accuracy", "--json", "--backend", "onnx", *flags])
    return code, json.loads(capsys.readouterr().out)


def test_a_model_of_the_users_own_is_judged(saved, capsys):
    code, document = rows(capsys, "--model", saved("grey.onnx", 1, 1, 1))
    assert (code, document["judged"]) == (0, True)
    assert {(row["model"], row["backend"]) for row in document["rows"]} == {("grey.onnx", "onnx")}
    assert all(-1 <= row["spearman"] <= 1 for row in document["rows"])


def test_settings_of_a_model_decide_what_it_is_given_and_what_it_gives(saved, capsys):
    path = saved("grey.onnx", 1, 1, 1)
    found = [
        rows(capsys, "--model", path, "--preset", "unit", *flags)[1]["rows"][0]["spearman"]
        for flags in ([], ["--meaning", "depth"])
    ]
    # pixels are above 0, so the order of depth is that of its inverse the other way round
    assert found[1] == pytest.approx(-found[0], abs=0.02)


def test_several_models_are_rows_of_one_table(saved, capsys, tmp_path):
    red, blue = saved("red.onnx", 1, 0, 0), saved("blue.onnx", 0, 0, 1)
    (tmp_path / "other").mkdir()
    again = saved("other/red.onnx", 2, 1, 0)
    flags = [word for path in (red, blue, again, red) for word in ("--model", path)]
    assert main(["accuracy", "--backend", "onnx", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "backend", "photo", "AbsRel", "d<1.25", "Spearman"]
    assert len({len(line) for line in lines[: lines.index("")]}) == 1
    assert list(dict.fromkeys(line.split()[0] for line in lines[1 : lines.index("")])) == [
        "red.onnx",
        "blue.onnx",
        again,
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model", "gone.onnx"], "gone.onnx: cannot be read (No such file or directory)"),
        (["--model", "{model}", "--backend", "onnx,eager"], "backend eager: cannot run an ONNX model"),
        (["--model", "{model}", "--size", "32"], "and --size says 32x32; leave the size out"),
        (["--model", "{model}", "--weights", "seeded"], "--weights seeded: has no use beside --model"),
        (["--size", "64"], "--size: is for a model of your own; name the model by --model"),
        (["--model", "{model}", "--threads", "1,2"], "--threads 1,2: names several; name one"),
    ],
)
def test_what_cannot_be_compared_is_one_line(saved, capsys, flags, said):
    model = saved("grey.onnx", 1, 1, 1)
    assert main(["accuracy", *(flag.format(model=model) for flag in flags)]) == 2
    streams = capsys.readouterr()
    assert said in streams.err
    assert (streams.out, streams.err.count("\n")) == ("", 1)
