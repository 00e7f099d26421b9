import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midas_bench.cli.main import main

SHAPE = ("n", 3, "h", "w")


def network(given=SHAPE, kind=TensorProto.FLOAT, outputs=(("depth", ("n", 1, "h", "w")),), opset=17):
    """Make one convolution of 3x3 from three channels to one: 27 weights and one bias."""
    weights = [numpy_helper.from_array(np.full(shape, 0.1, np.float32), name) for name, shape in WEIGHTS.items()]
    nodes = [helper.make_node("Conv", ["picture", *WEIGHTS], ["v"], pads=[1, 1, 1, 1])]
    nodes += [helper.make_node("Relu", ["v"], [name]) for name, _ in outputs]
    describe = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "own",
        [describe("picture", kind, given)],
        [describe(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


WEIGHTS = {"weight": (1, 3, 3, 3), "bias": (1,)}


@pytest.fixture
def saved(tmp_path):
    def save(made):
        path = tmp_path / "own.onnx"
        path.write_bytes(made.SerializeToString())
        return str(path)

    return save


def test_it_tells_what_was_found_what_is_assumed_and_how_to_correct_it(saved, capsys):
    assert main(["model", saved(network()), "--size", "64x100", "--mean", "0.5"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("own.onnx: opset 17, ")
    # 2 operations for each of 27 products of each of 6400 pixels
    assert lines[1:] == [
        "parameters 28",
        "operations 0.000346 GFLOP for one photo",
        "input picture: float (N, 3, free, free), NCHW",
        "output depth: float (N, 1, free, free), a map of 64x100",
        "size 64x100 (--size)",
        "mean 0.5,0.5,0.5 (--mean)",
        "std 0.229,0.224,0.225 (assumed)",
        "scale 255 (assumed)",
        "meaning inverse (assumed)",
        "assumed: std, scale, meaning; correct this line where the model was made otherwise, and give it:",
        "--std 0.229,0.224,0.225 --scale 255 --meaning inverse",
        'or keep it in own.toml, a line for each: std = "0.229,0.224,0.225"; scale = "255"; meaning = "inverse"',
    ]


def test_the_lines_that_it_advises_are_taken(saved, tmp_path, capsys):
    path = saved(network())
    main(["model", path])
    *_, flags, kept = capsys.readouterr().out.splitlines()
    assert main(["model", path, *flags.split()]) == 0
    assert "assumed" not in capsys.readouterr().out
    (tmp_path / "own.toml").write_text(kept.partition("each: ")[2].replace("; ", "\n"))
    assert main(["model", path]) == 0
    out = capsys.readouterr().out
    assert "assumed" not in out
    assert "(own.toml, size)" in out


def test_weights_in_further_files_are_counted(tmp_path, capsys):
    made, path = network(), tmp_path / "own.onnx"
    onnx.save(made, path, save_as_external_data=True, location="own.data", size_threshold=0)
    assert main(["model", str(path)]) == 0
    out = capsys.readouterr().out
    assert "MB in 2 files" in out
    assert "parameters  28\n" in out


COMMANDS = {
    "model": ["model"],
    "depth": ["depth", "china.jpg", "-o", "heat.png", "--model"],
    "profile": ["profile", "--model"],
    "tune": ["tune", "-o", "tuned", "--model"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("made", "flags", "said"),
    [
        (network(("n", 4, 64, 64)), [], "has an input of float (N, 4, 64, 64); export it from float32, float16 or"),
        (network(outputs=(("logits", ("n", 1000)),)), [], "has an output of float (N, 1000); export it to depth of"),
        (
            network(outputs=[(name, SHAPE) for name in "abc"]),
            [],
            "has 3 outputs: a of float (N, 3, free, free), b of float (N, 3, free, free), c of float",
        ),
        (network(given=None), [], "has an input of float of any rank; export it from"),
        (network(("n", 3, 64, 64)), ["--size", "32"], "and --size says 32x32; leave the size out"),
        (network(), ["--preset", "own"], "--preset own: is unknown; choose from midas"),
    ],
    ids=["four channels", "classifier", "three outputs", "any rank", "other size", "unknown preset"],
)
def test_a_model_of_another_meaning_gets_one_line(
    saved, project, tmp_path, monkeypatch, capsys, command, made, flags, said
):
    shutil.copy(project / "fixtures/images/china.jpg", tmp_path)
    monkeypatch.chdir(tmp_path)
    before = {*tmp_path.iterdir(), tmp_path / "own.onnx"}
    assert main([*COMMANDS[command], saved(made), *flags]) == 2
    streams = capsys.readouterr()
    assert said in streams.err
    assert (streams.out, streams.err.count("\n")) == ("", 1)
    assert set(tmp_path.iterdir()) == before


def test_a_model_that_cannot_be_run_gets_one_line(saved, capfd):
    assert main(["model", saved(network(opset=99))]) == 2
    out, err = capfd.readouterr()
    assert "cannot be run (" in err
    assert (out, err.count("\n")) == ("", 1)
