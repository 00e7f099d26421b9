"""`midas-bench accuracy` on models of the user's own, which are a convolution each."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midas_bench.cli import accuracy_teacher
from midas_bench.cli.accuracy_inputs import weights_name
from midas_bench.cli.main import main
from midas_bench.depth.calibration import project_photos
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.weights import Weights
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import Trial, Visit


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
        (["--preset", "unit"], "--preset: is for a model of your own; name the model by --model"),
        (["--model", "{model}", "--threads", "1,2"], "--threads 1,2: names several; name one"),
    ],
)
def test_what_cannot_be_compared_is_one_line(saved, capsys, flags, said):
    model = saved("grey.onnx", 1, 1, 1)
    assert main(["accuracy", *(flag.format(model=model) for flag in flags)]) == 2
    streams = capsys.readouterr()
    assert said in streams.err
    assert (streams.out, streams.err.count("\n")) == ("", 1)


@pytest.fixture
def beside(saved, tmp_path, photos, capsys):
    """Compare models with a teacher on two photos of one's own; return exit code and JSON."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for scene in ("street", "pet"):
        shutil.copy(photos[scene].path, folder)

    def compare(*flags, teacher="teacher.onnx", timing=("--no-timing",)):
        where = ("--photos", str(folder), "-o", str(tmp_path / "report"))
        code = main(
            ["accuracy", "--json", "--teacher", str(tmp_path / teacher), "--backend", "onnx", *where, *timing, *flags]
        )
        return code, json.loads(capsys.readouterr().out)

    saved("teacher.onnx", 1, 1, 1)
    return compare


def test_students_are_compared_with_the_teacher_on_own_photos(beside, saved, tmp_path, photos):
    code, document = beside("--model", saved("red.onnx", 1, 0, 0, smaller=2), "--model", saved("not.onnx", -1, -1, -1))
    assert (code, document["judged"], document["teacher"]["model"]) == (0, True, "teacher.onnx")
    teacher, red, inverted = document["students"]
    assert (teacher["is_teacher"], teacher["rank_correlation"], teacher["aligned_error"]) == (True, 1, 0)
    assert 0.5 < red["rank_correlation"] < 0.999
    assert 0 < red["aligned_error"] < 0.2
    assert inverted["ordered_pairs_kept"] < 0.01
    assert red["abs_rel"] is None
    assert red["parameters"] == 3
    assert red["file_bytes"] == (tmp_path / "red.onnx").stat().st_size
    assert red["photo_s"] is None
    of_photos = [row for row in document["rows"] if row["model"] == "red.onnx"]
    assert {row["file"] for row in of_photos} == {photos["street"].path.name, photos["pet"].path.name}
    assert red["rank_correlation"] == pytest.approx(np.mean([row["rank_correlation"] for row in of_photos]))
    assert "`red.onnx`" in (tmp_path / "report/report.md").read_text()


def test_a_student_that_is_the_teacher_agrees_and_stands_there_once(beside, tmp_path):
    code, document = beside("--model", str(tmp_path / "teacher.onnx"))
    [student] = document["students"]
    assert code == 0
    assert (student["rank_correlation"], student["ordered_pairs_kept"], student["is_teacher"]) == (1, 1, False)


def test_known_depth_of_the_suites_photos_is_a_column_too(saved, tmp_path, capsys):
    long = "a-model-with-a-long-name" * 5 + ".onnx"
    flags = ["--teacher", saved("teacher.onnx", 1, 1, 1), "--model", saved(long, 1, 0, 0), "--backend", "onnx"]
    assert main(["accuracy", *flags, "--no-timing", "-o", str(tmp_path / "report")]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if "rank corr." in line)
    assert head.split()[-4:] == ["AbsRel", "d<1.25", "file", "parameters"]
    rows = [line.split() for line in lines if ".onnx" in line and " onnx " in line]
    assert {row[0] for row in rows} == {"teacher.onnx", long}
    assert not any("\N{HORIZONTAL ELLIPSIS}" in line for line in lines)
    assert lines[-1].endswith("report.html")


def test_settings_of_the_teacher_are_those_beside_it(beside, saved, tmp_path):
    path = saved("student.onnx", 1, 1, 1)
    (tmp_path / "teacher.toml").write_text('preset = "unit"\nmeaning = "depth"\n')
    _, document = beside("--model", path, "--preset", "unit")
    [student] = [row for row in document["students"] if not row["is_teacher"]]
    # the order of depth is that of its inverse the other way round
    assert student["rank_correlation"] < -0.99


def test_a_student_that_gives_one_depth_has_no_correlation(beside, saved):
    _, document = beside("--model", saved("flat.onnx", 0, 0, 0))
    flat = next(row for row in document["students"] if row["model"] == "flat.onnx")
    assert (flat["rank_correlation"], flat["ordered_pairs_kept"]) == (0, 0)
    assert 0 < flat["aligned_error"] < 1


def test_photos_that_the_teacher_tells_nothing_of_are_left_out(beside, saved, tmp_path, encode):
    sky = np.full((90, 120, 3), (90, 160, 240), np.uint8)
    (tmp_path / "photos/sky.png").write_bytes(encode(sky, "PNG"))
    _, document = beside("--model", saved("red.onnx", 1, 0, 0))
    assert document["left_out"] == {"sky.png": "the teacher's depth is constant there"}
    assert "sky.png" not in {row["file"] for row in document["rows"]}


def test_seeded_weights_are_compared_without_a_verdict(beside, saved, monkeypatch, tmp_path):
    real = accuracy_teacher._teacher

    def random(arguments, calibration):
        entry = real(arguments, calibration)
        return replace(entry, config=replace(entry.config, weights=replace(entry.config.weights, source="seeded")))

    class SameDepth(accuracy_teacher.Teacher):
        def __init__(self, config):
            super().__init__(replace(config, weights=replace(config.weights, source="model")))

    monkeypatch.setattr(accuracy_teacher, "_teacher", random)
    monkeypatch.setattr(accuracy_teacher, "Teacher", SameDepth)
    monkeypatch.setattr(accuracy_teacher, "file_bytes", lambda _: None)
    monkeypatch.setattr(accuracy_teacher, "_parameters", lambda _: None)
    code, document = beside("--model", saved("red.onnx", 1, 0, 0))
    assert (code, document["judged"]) == (3, False)
    assert "these figures tell how closely depth is repeated" in (tmp_path / "report/report.md").read_text()


def test_times_stand_beside_fidelity(beside, saved, monkeypatch, tmp_path):
    given = {}

    def timed(configs, photo, budget):
        given.update(configs=configs, photo=photo, budget_s=budget.total_s)
        visits = tuple(Visit(n, (0.02 + n / 1e4,)) for n in range(1, 7))
        trial = Trial(Setup("onnx", 1, 1), True, visits, 5 << 20)
        return {name: trial for name in configs if "red" not in name}, {"red.onnx on onnx": "killed by SIGKILL"}

    monkeypatch.setattr(accuracy_teacher, "timed", timed)
    flags = [word for name in ("red", "blue") for word in ("--model", saved(f"{name}.onnx", name == "red", 0, 1))]
    _, document = beside(*flags, timing=("--budget", "1min"))
    assert list(given["configs"]) == ["the teacher teacher.onnx on onnx", "red.onnx on onnx", "blue.onnx on onnx"]
    assert (given["photo"].path.parent, given["budget_s"]) == (tmp_path / "photos", 60)
    # int8 graphs are those that are deployed, whatever photos are compared on
    assert {config.calibration for config in given["configs"].values()} == {project_photos()}
    times = {row["model"]: (row["photo_s"], row["peak_rss_bytes"], row["passes"]) for row in document["students"]}
    assert times["blue.onnx"] == (pytest.approx(0.02035), 5 << 20, 6)
    assert times["red.onnx"] == (None, None, 0)
    assert document["left_out"] == {"time of red.onnx on onnx": "killed by SIGKILL"}
    assert (tmp_path / "report/charts/speed-against-fidelity.svg").is_file()


def test_a_backend_that_was_not_named_may_fail_alone(beside, saved, monkeypatch):
    monkeypatch.setattr(accuracy_teacher, "chosen_backends", lambda _: ("onnx",))
    models = [
        word for path in (saved("broken.onnx", 1, np.nan, 0), saved("good.onnx", 1, 0, 1)) for word in ("--model", path)
    ]
    code, document = beside("--backend", "all", *models)
    assert code == 0
    assert {row["model"] for row in document["students"]} == {"teacher.onnx", "good.onnx"}
    [(name, why)] = document["left_out"].items()
    assert (name, "gives NaN or infinity" in why) == ("broken.onnx on onnx", True)


def test_weights_are_named_by_where_they_are_from_and_by_a_size_of_their_own(tmp_path):
    official, other = (Weights(source, "0" * 64, str(tmp_path / "own.pt")) for source in ("official", "file"))
    assert [weights_name(weights) for weights in (official, other)] == ["MiDaS_small official", "own.pt"]
    wide = replace(MIDAS, width=384)
    names = [weights_name(replace(weights, interface=wide)) for weights in (official, other)]
    assert names == ["MiDaS_small official 256x384", "own.pt 256x384"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--photos", "x"], "--photos: are photos without true depth, which a teacher's depth stands for; name the"),
        (["--budget", "9s"], "--budget: is for a comparison with a teacher; name the teacher by --teacher"),
        (["--no-timing"], "--no-timing: is for a comparison with a teacher"),
        (["-o", "x"], "--output: is for a comparison with a teacher"),
        (["--teacher", "gone.onnx"], "gone.onnx: cannot be read (No such file or directory)"),
        (["--teacher", "gone.pt"], "gone.pt: no such weights file; give auto, official, seeded or the path"),
        (["--teacher", "official"], "or use --teacher seeded for timing only"),
        (["--teacher", ""], "--teacher: no such weights file"),
        (["--teacher", "{garbage}", "--no-timing"], "is damaged or not a PyTorch checkpoint; give a MiDaS v2.1 small"),
        (["--teacher", "{model}", "--budget", "2"], "--budget 2: is too short or too long; give 5 to 86400 seconds"),
        (["--teacher", "{model}", "--budget", "x"], "--budget x: is not a time"),
        (["--teacher", "{model}", "--budget", "9", "--no-timing"], "--budget 9: has no use beside --no-timing"),
        (["--teacher", "{model}", "--photos", "gone"], "gone: no such folder"),
        (["--teacher", "{model}", "--photos", "x", "--manifest", "y"], "--photos x: has no use beside --manifest"),
        (["--teacher", "{model}", "-o", "{model}"], "is a file and not a folder; choose another one with -o"),
        (["--teacher", "{flat}", "--no-timing"], "--teacher flat.onnx: gives constant depth for all photos"),
        (["--teacher", "{broken}", "--no-timing"], "broken.onnx: gives NaN or infinity"),
        (["--teacher", "{model}", "--model", "{broken}", "--no-timing"], "broken.onnx: gives NaN or infinity"),
    ],
)
def test_what_cannot_be_compared_with_a_teacher_is_one_line(saved, tmp_path, capsys, monkeypatch, flags, said):
    monkeypatch.chdir(tmp_path)
    names = {"model": saved("grey.onnx", 1, 1, 1), "flat": saved("flat.onnx", 0, 0, 0)}
    names["broken"] = saved("broken.onnx", 1, np.nan, 0)
    names["garbage"] = str(tmp_path / "garbage.pt")
    (tmp_path / "garbage.pt").write_text("garbage")
    line = [flag.format(**names) for flag in flags]
    student = [] if "--model" in line else ["--model", names["model"]]
    assert main(["accuracy", "--backend", "onnx", *student, *line]) == 2
    streams = capsys.readouterr()
    errors = [
        line for line in streams.err.splitlines() if "the depth of the teacher" not in line and " on onnx" not in line
    ]
    assert [said in error for error in errors] == [True], streams.err
    assert streams.out == ""
