import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image

from midas_bench.cli import profile as command
from midas_bench.cli.main import main
from midas_bench.depth.backends import registry
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.flop import DEPLOYED_FLOP, PLAIN_FLOP
from midas_bench.processes import ProcessDiedError
from midas_bench.profile.operators import Event, Operator, Profile
from midas_bench.results import units

CONV = Operator("c_nchwc", "Conv", (0.004, 0.005, 0.006), "conv2d_7", ((1, 3, 8, 8), (4, 3, 3, 3)), (), 1, 10**9, "f32")
RESIZE = Operator("up", "Resize", (0.001, 0.001, 0.001), "interpolate")
ADD = Operator("add", "Add", (0.0005, 0.0005, 0.0005))
EVENTS = ((Event(0, 0.0001, 0.005), Event(1, 0.0052, 0.001)),) * 3
MADE = Profile((RESIZE, CONV, ADD), (0.009, 0.010, 0.011), (0.0095, 0.0100, 0.0105), EVENTS)


@pytest.fixture
def run(capsys):
    """Run the command and return its exit code, stdout and stderr."""

    def ran(*line):
        code = main(["profile", "--weights", "seeded", *map(str, line)])
        return code, *capsys.readouterr()

    return ran


@pytest.fixture
def stand_in(monkeypatch):
    """Stand in for graphs, peak and profile; give what the profile was asked for."""
    asked = []

    def profile_in_turns(specs, pipeline, call, rounds, *, plain, progress):
        asked.append((specs, pipeline, call, rounds, plain))
        progress(rounds)
        return [MADE]

    monkeypatch.setattr(command, "make_graph", lambda *_: None)
    monkeypatch.setattr(command, "machine_peaks", lambda _: {"f32": 400e9})
    monkeypatch.setattr(command, "profile_in_turns", profile_in_turns)
    return asked


@pytest.mark.usefixtures("stand_in")
def test_operators_are_printed_longest_first_with_their_share_and_the_peaks(run):
    code, out, err = run("--threads", 1, "--rounds", 3)
    assert (code, err) == (0, "midas-bench: profiling onnx\n")
    lines = [" ".join(line.split()) for line in out.splitlines() if line.strip()]
    assert lines[0].startswith("onnx, 1 thread, batch 1, 3 rounds, ")
    assert lines[3:7] == [
        "conv2d_7 Conv 5.00 ms 50.0 % 1 1000 50.0 %",
        f"interpolate Resize 1.00 ms 10.0 % 1 {units.NOTHING} {units.NOTHING}",
        f"add Add 500 µs 5.00 % 1 {units.NOTHING} {units.NOTHING}",
        "outside of the operators 3.50 ms 35.0 %",
    ]
    assert lines[7:] == [
        "A call takes 10.0 ms with the profiler and 10.0 ms without it (+0.0 %, within the spread of the rounds); "
        "the table leaves out decoding, preprocessing and the heat map."
    ]


@pytest.mark.usefixtures("stand_in")
def test_top_leaves_the_others_in_one_row(run):
    code, out, _ = run("--top", 1)
    assert code == 0
    assert "interpolate" not in out
    assert "2 others 1.50 ms 15.0 %" in " ".join(out.split())


def test_what_is_asked_for_reaches_the_worker(run, stand_in, project):
    photo = project / "fixtures/images/china.jpg"
    assert run("--photo", photo, "--batch-size", 3, "--rounds", 4, "--threads", 1)[0] == 0
    [([spec], pipeline, call, rounds, plain)] = stand_in
    assert (call, rounds, plain) == ("inference", 4, True)
    assert spec.pipelines[pipeline]["photos"] == [str(photo)] * 3
    config = json.loads(json.dumps(spec.pipelines[pipeline]["config"]))
    assert (config["backend"], config["threads"], config["weights"]["source"]) == ("onnx", 1, "seeded")


def test_of_ones_own_photos_the_first_is_profiled_and_int8_is_calibrated_on_all(run, stand_in, own_photos):
    assert run("--photos", own_photos, "--backend", "onnx-int8")[0] == 0
    [([spec], pipeline, *_)] = stand_in
    pipeline = spec.pipelines[pipeline]
    assert [Path(photo).name for photo in pipeline["photos"]] == ["coffee.jpg"]
    assert [Path(photo).name for photo in pipeline["config"]["calibration"]] == ["coffee.jpg", "chelsea.jpg"]


@pytest.mark.usefixtures("stand_in")
def test_steps_stand_beside_their_limits_in_a_table_of_their_own_and_in_the_file(run, monkeypatch, tmp_path):
    asked = {}
    steps = [{"step": "decode", "median_s": 0.002, "least_s": 0.001}, {"step": "write", "median_s": 0.004}]
    monkeypatch.setattr(command, "ask", lambda _, request, __: asked.update(request) or {"steps": steps})
    code, out, _ = run("--steps", "--rounds", 7, "--json", tmp_path / "a.json")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert "decode 2.00 ms 1.00 ms 50.0 %" in lines
    assert f"the photo 6.00 ms {units.NOTHING} {units.NOTHING}" in lines
    assert (asked["task"], asked["rounds"], asked["peak"]) == ("floor", 7, 400e9)
    assert json.loads((tmp_path / "a.json").read_text())["steps"] == steps


def test_steps_whose_process_died_are_one_line(run, stand_in, monkeypatch):
    def dies(*_):
        raise ProcessDiedError("killed by SIGKILL")

    monkeypatch.setattr(command, "ask", dies)
    code, out, err = run("--steps")
    assert (code, out, len(stand_in)) == (2, "", 1)
    assert "--steps: failed (killed by SIGKILL); see what `midas-bench doctor` finds, or leave --steps out" in err


@pytest.mark.usefixtures("stand_in")
def test_files_hold_every_operator_and_a_trace(run, tmp_path):
    figures, trace = tmp_path / "new" / "profile.json", tmp_path / "trace.json"
    code, out, _ = run("--top", 1, "--json", figures, "--trace", trace)
    assert (code, out.splitlines()[-1]) == (0, f"{figures}, {trace}")
    document = json.loads(figures.read_text())
    assert [row["output"] for row in document["operators"]] == ["interpolate", "conv2d_7", ""]
    assert (document["backend"], document["call_s"], document["plain_call_s"]) == ("onnx", 0.010, 0.010)
    conv = document["operators"][1]
    assert (conv["median_s"], conv["share"], conv["share_of_peak"]) == pytest.approx((0.005, 0.5, 0.5))
    assert sum(event["ph"] == "X" for event in json.loads(trace.read_text())["traceEvents"]) == 9


@pytest.mark.usefixtures("stand_in")
def test_without_pytorch_the_peak_is_not_known(run, monkeypatch):
    monkeypatch.setattr(command, "machine_peaks", lambda _: {})
    code, out, _ = run()
    assert code == 0
    assert out.endswith("The machine's peak is not known: install PyTorch, which measures it.\n")


def test_a_precision_that_is_slower_than_float32_has_no_peak(monkeypatch):
    monkeypatch.setattr(command, "ask", lambda *_: {"f32": 100e9, "int8": 2e9, "bf16": 200e9})
    assert command.machine_peaks(resolve(PipelineConfig("onnx-int8", 1, "seeded"))) == {"f32": 100e9, "bf16": 200e9}


def test_a_process_that_died_is_one_line(run, stand_in, monkeypatch):
    del stand_in

    def dies(*_, **__):
        raise ProcessDiedError("arm onnx: killed by SIGKILL (out of memory?): it printed nothing")

    monkeypatch.setattr(command, "profile_in_turns", dies)
    code, out, err = run()
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        "midas-bench: profiling onnx: failed (arm onnx: killed by SIGKILL (out of memory?): it printed nothing); "
        "see what `midas-bench doctor` finds, or choose another backend"
    )


def refused(run, *line):
    code, out, err = run(*line)
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("--rounds", 0), "--rounds 0: is too few; give 1 or more"),
        (("--batch-size", -1), "--batch-size -1: is too few; give 1 or more"),
        (("--top", 0), "--top 0: is too few; give 1 or more"),
        (("--backend", "onyx"), "backend 'onyx': is unknown; choose from "),
        (("--backend", "all"), "backend 'all': is unknown; choose from "),
        (
            ("--backend", "opencv"),
            "backend opencv: does not tell what its operators take; choose from eager, jit, onnx, ",
        ),
        (("--backend", "onnx,eager"), "--backend onnx,eager: names several; name one"),
        (("--threads", "0"), "--threads 0: this process may use 1 to "),
        (("--photo", "nowhere.jpg"), "nowhere.jpg: cannot be read (No such file or directory); check the path"),
        (("--backend", "eager", "--model", "own.onnx"), "--weights seeded: has no use beside --model"),
    ],
)
def test_bad_input_is_one_line_with_the_next_step(run, line, words):
    assert f"midas-bench: {words}" in refused(run, *line)


def test_a_photo_that_is_none_is_refused(run, tmp_path):
    photo = tmp_path / "text.jpg"
    photo.write_text("hello")
    assert "text.jpg: is not a JPEG, PNG or WebP" in refused(run, "--photo", photo)


def test_a_backend_whose_library_is_not_installed_names_the_extra(run, monkeypatch):
    installed = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else installed(name))
    assert "pip install 'midas-bench[openvino]'" in refused(run, "--backend", "openvino")


def test_files_that_cannot_be_written_are_refused_before_anything_is_measured(run, tmp_path):
    (tmp_path / "file").touch()
    for flag in ("--json", "--trace"):
        assert f"name another place with {flag}" in refused(run, flag, tmp_path / "file" / "x.json")
        assert "it is a folder" in refused(run, flag, tmp_path)
    same = tmp_path / "both.json"
    assert "names the same file as --json" in refused(run, "--json", same, "--trace", same)


def test_a_model_that_is_no_such_network_is_refused(capsys, tmp_path):
    (tmp_path / "text.onnx").write_text("hello, this is text")
    assert main(["profile", "--model", str(tmp_path / "text.onnx")]) == 2
    assert "text.onnx: is damaged or not an ONNX model; copy or export it again" in capsys.readouterr().err


BACKENDS = [
    pytest.param(name, flop, marks=pytest.mark.slow)
    for name, flop in (
        ("onnx", DEPLOYED_FLOP), ("onnx-int8", DEPLOYED_FLOP), ("openvino", DEPLOYED_FLOP), ("eager", PLAIN_FLOP),
        ("jit", PLAIN_FLOP), ("jit-frozen", PLAIN_FLOP),
    )
]  # fmt: skip


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize(("backend", "flop"), BACKENDS)
def test_a_real_backends_operations_are_those_of_its_network(run, tmp_path, monkeypatch, backend, flop):
    if registry.missing(registry.find(backend)):
        pytest.skip(str(registry.missing(registry.find(backend))))
    if backend != "onnx":
        # the machine's peak is the same behind all of them, and takes as long as the rest
        monkeypatch.setattr(command, "machine_peaks", lambda _: {})
    photo, figures = tmp_path / "grey.png", tmp_path / "profile.json"
    Image.new("RGB", (64, 48), (90, 90, 90)).save(photo)
    code, out, _ = run("--backend", backend, "--photo", photo, "--rounds", 2, "--batch-size", 2, "--json", figures)
    assert code == 0, out
    document = json.loads(figures.read_text())
    assert sum(row["flop"] or 0 for row in document["operators"]) == 2 * flop
    for number, call_s in enumerate(document["calls_s"]):
        # counters of whole microseconds, each of them up to a dozen off
        assert 0 < sum(row["rounds_s"][number] for row in document["operators"]) < 1.02 * call_s
    precisions = {row["precision"] for row in document["operators"] if row["flop"]}
    assert precisions == {registry.find(backend).precision}
