import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from midas_bench import bundle
from midas_bench.cli import tune as command
from midas_bench.cli.main import main
from midas_bench.depth.backends import registry
from midas_bench.errors import UserError
from midas_bench.measure import tune_output
from midas_bench.measure.tune import Tuning
from midas_bench.results import units
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import Trial
from midas_bench.scene_photos import from_manifest

MIB = 1 << 20
TRIALS = (
    Trial(Setup("onnx-int8", 1, 1), False, (0.025, 0.0251, 0.0249) * 3, 200 * MIB, True),
    Trial(Setup("onnx", 1, 1), True, (0.05, 0.0501, 0.0499) * 3, 300 * MIB, True),
    Trial(Setup("onnx", 4, 1), True, (0.22, 0.221, 0.219) * 3, 400 * MIB, True),
    Trial(Setup("eager", 1, 1), True, (0.1,) * 6, 700 * MIB),
)
STREAM = Trial(Setup("onnx", 1, 1, stream_photos=12), True, (0.24, 0.241, 0.239) * 3, 350 * MIB, True)


@pytest.fixture
def tuned(monkeypatch, project, tmp_path):
    """Stand in for the search; give the plans that it was asked for."""
    plans = []

    def tune(plan, step):
        plans.append(plan)
        step("onnx: opening it, and its memory", 12.3)
        return Tuning(TRIALS, {"jit": "no answer within 40 s"}, 95.5)

    monkeypatch.chdir(project)
    monkeypatch.setattr(command, "tune", tune)
    return SimpleNamespace(plans=plans, trials=TRIALS, output=tmp_path / "out")


def run(tuned, *flags):
    return main(["tune", "--weights", "seeded", "--threads", "1", "-o", str(tuned.output), *flags])


def test_tune_prints_the_best_set_ups_and_the_python_that_opens_them(tuned, capsys):
    assert run(tuned) == 0
    said = capsys.readouterr()
    assert "4 set-ups measured in 96 s on " in said.out
    assert "timing only" in said.out
    assert "lowest latency: onnx-int8 (threads 1, batch 1), 25.0 ms (24.9 to 25.1), reduced precision" in said.out
    assert f"  exact: onnx (threads 1, batch 1), 50.0 ms (49.9 to 50.1), 2.00{units.TIMES} (" in said.out
    assert "highest throughput: onnx-int8 (threads 1, batch 1), 40.0 images/s" in said.out
    assert "least memory: onnx-int8 (threads 1, batch 1), 200 MiB, reduced precision" in said.out
    assert said.out.count("DepthPipeline.open(") == 1
    assert said.out.count("    opened as above") == 2
    assert f"1.50{units.TIMES} the memory" in said.out
    front = said.out.partition("Pareto front")[2].partition("left out:")[0].strip().splitlines()[1:]
    assert [line.split()[0] for line in front] == ["onnx-int8"]
    assert "  jit: no answer within 40 s" in said.out
    assert said.err == "midas-bench: onnx: opening it, and its memory (12 s left)\n"


def test_json_and_chart_stand_in_the_folder(tuned, capsys):
    assert run(tuned, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((tuned.output / "tuning.json").read_text())
    assert document["weights"]["source"] == "seeded"
    assert document["answers"]["latency"]["backend"] == "onnx-int8"
    assert document["answers"]["latency"]["exact_alternative"]["backend"] == "onnx"
    assert [trial["pareto"] for trial in document["trials"]] == [True, False, False, False]
    assert document["left_out"]["jit"] == "no answer within 40 s"
    with Image.open(tuned.output / "tuning.png") as image:
        assert image.format == "PNG"
    svg = (tuned.output / "tuning.svg").read_text()
    assert "onnx-int8, reduced" in svg
    assert "t1 b1" in svg


def test_a_stream_with_the_highest_throughput_comes_with_its_own_python(tuned, monkeypatch, capsys):
    monkeypatch.setattr(command, "tune", lambda plan, step: Tuning((*TRIALS, STREAM), {}, 1.0))  # noqa: ARG005
    assert run(tuned) == 0
    out = capsys.readouterr().out
    assert "lowest latency: onnx-int8 (threads 1, batch 1), 25.0 ms" in out
    assert "highest throughput: onnx (threads 1, stream), 50.0 images/s (49.8 to 50.2)\n" in out
    front = out.partition("Pareto front")[2].strip().splitlines()[1:3]
    assert [line.split(")")[0] for line in front] == ["  onnx-int8 (threads 1, batch 1", "  onnx (threads 1, stream"]
    assert [" per call" in line for line in front] == [True, False]
    assert len({len(line.partition(" images/s")[0]) for line in front}) == 1
    throughput = json.loads((tuned.output / "tuning.json").read_text())["answers"]["throughput"]
    assert (throughput["stream_photos"], throughput["images_per_second"]) == (12, 50)
    assert throughput["python"] == [
        "from midas_bench import DepthPipeline",
        "with DepthPipeline.open('onnx', threads=1, weights='seeded') as pipeline:",
        "    for heatmap in pipeline.map(photos): ...",
    ]


def test_exact_tries_float32_alone_and_says_so(tuned):
    assert run(tuned, "--exact", "--backend", "onnx,onnx-int8") == 0
    assert tuned.plans[0].backends == ("onnx",)
    document = json.loads((tuned.output / "tuning.json").read_text())
    assert document["left_out"]["onnx-int8"] == "its precision is reduced, and --exact is given"


def test_by_default_every_backend_that_can_run_is_tried_but_the_one_that_compiles(tuned, project):
    assert run(tuned) == 0
    [plan] = tuned.plans
    assert set(plan.backends) == set(registry.select(["all"])) - {"compile"}
    assert plan.backends.index("onnx-int8") < plan.backends.index("eager")  # those that open soon come first
    assert plan.threads == (1,)
    photos = [photo for group in from_manifest(project / "fixtures/images/manifest.toml").values() for photo in group]
    assert set(plan.config.calibration) == {str(photo.path) for photo in photos}
    left_out = json.loads((tuned.output / "tuning.json").read_text())["left_out"]
    assert set(left_out) == (set(registry.REGISTRY) - set(plan.backends)) | {"jit"}
    assert left_out["compile"]


def test_tune_lists_missing_backends_with_the_reason(tuned, monkeypatch):
    monkeypatch.setattr(registry.cpu, "flags", lambda: frozenset())
    assert run(tuned) == 0
    left_out = json.loads((tuned.output / "tuning.json").read_text())["left_out"]
    assert left_out["eager-bf16"] == "needs a CPU with amx_bf16 or avx512_bf16; leave the backend out"


def test_thread_counts_are_all_cores_half_and_one(monkeypatch):
    for most, counts in ((1, (1,)), (2, (2, 1)), (3, (3, 1)), (8, (8, 4, 1))):
        monkeypatch.setattr(command, "default_threads", lambda most=most: most)
        assert command.default_thread_counts() == counts


def test_where_nothing_was_measured_the_exit_code_is_3(tuned, monkeypatch, capsys):
    monkeypatch.setattr(command, "tune", lambda plan, step: Tuning((), {"onnx": "no room"}, 1.0))  # noqa: ARG005
    assert run(tuned, "--backend", "onnx") == 3
    assert "  onnx: no room" in capsys.readouterr().out
    assert [path.name for path in tuned.output.iterdir()] == ["tuning.json"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--backend", "tpu"], "backend 'tpu': is unknown"),
        (["--threads", "0"], "--threads 0: this process may use"),
        (["--budget", "3"], "--budget 3: is too short or too long; give 20 to 86400 seconds"),
        (["--budget", "25h"], "--budget 25h: is too short or too long"),
        (["--budget", "nan"], "--budget nan: is not a time; give one as 90s, 5min or 1h"),
        (["--exact", "--backend", "onnx-int8"], "--exact: leaves none of onnx-int8"),
        (["--weights", "nosuchfile"], "nosuchfile: no such weights file"),
        (["-o", "pyproject.toml"], "pyproject.toml: is a file and not a folder"),
        (["-o", "pyproject.toml/out"], "pyproject.toml/out/tuning.json: cannot be written (Not a directory)"),
    ],
)
def test_tune_reports_bad_input_in_one_line_with_exit_code_2(tuned, capsys, flags, said):
    assert run(tuned, *flags) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert tuned.plans == []


def test_tune_prints_its_results_even_if_they_cannot_be_written(tuned, capsys, monkeypatch):
    def full(folder, *_):
        raise UserError(folder, "cannot be written (No space left on device)", "free some space")

    monkeypatch.setattr(command, "write", full)
    assert run(tuned) == 2
    said = capsys.readouterr()
    assert "lowest latency: onnx-int8" in said.out
    assert "No space left on device" in said.err


def test_tune_works_in_any_folder_with_the_suites_photos(tuned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(tuned) == 0


def test_an_installation_without_photos_is_one_line(tuned, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bundle, "CHECKOUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run(tuned) == 2
    assert "manifest.toml: cannot be read (No such file or directory)" in capsys.readouterr().err


@pytest.mark.parametrize("backend", registry.REGISTRY)
def test_the_printed_python_asks_for_nothing_that_the_project_knows(backend):
    opening = tune_output.python_lines(Setup(backend, 1, 2), "auto")[1]
    assert opening == f"pipeline = DepthPipeline.open({backend!r}, threads=2)"


@pytest.mark.parametrize("name", ["é 'a' \"b\"", "😀", "caf\udce9"])
def test_any_name_becomes_python_that_reads_it(tmp_path, name):
    path = str(tmp_path / name / "w.pt")
    opening = tune_output.python_lines(Setup("onnx", 1, 1), path)[1]
    assert eval(opening.partition("weights=")[2].rstrip(")")) == path


@pytest.mark.slow
@pytest.mark.parametrize("stream_photos", [0, 12])
@pytest.mark.parametrize("backend", ["onnx", "onnx-int8"])
def test_the_three_lines_open_that_pipeline_in_any_folder(tuned, graphs, tmp_path, backend, photos, stream_photos):
    """They use the graph that tuning used, so that nothing is made anew."""
    assert run(tuned) == 0
    config = tuned.plans[0].config
    registry.prepare(backend, config.weights, Path(config.cache_dir), config.calibration)
    before = sorted(Path(graphs).glob("artifacts/*"))
    lines = tune_output.python_lines(Setup(backend, 1, 1, stream_photos=stream_photos), "seeded")
    assert len(lines) == 3
    result = "heatmap" if stream_photos else "heatmaps[0]"
    check = f"print(pipeline.config.backend, pipeline.config.threads, {result}.ndim)"
    script = "\n".join([f"photos = [{str(photos['pet'].path)!r}]", *lines, check])
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == (f"{backend} 1 3\n", "")
    assert sorted(Path(graphs).glob("artifacts/*")) == before


@pytest.mark.slow
@pytest.mark.alone
def test_tune_measures_this_machine(graphs, project, tmp_path, monkeypatch, capsys):
    del graphs
    monkeypatch.chdir(project)
    flags = ["--weights", "seeded", "--backend", "onnx", "--threads", "1", "--budget", "600", "-o", str(tmp_path)]
    assert main(["tune", *flags]) == 0
    said = capsys.readouterr()
    assert "lowest latency: onnx (threads 1, batch 1), " in said.out
    assert "least memory: onnx (threads 1, batch 1), " in said.out
    assert "round 3 of 3: " in said.err
    document = json.loads((tmp_path / "tuning.json").read_text())
    assert {(t["batch_size"], t["stream_photos"] is None) for t in document["trials"]} == {
        (1, True), (4, True), (1, False),
    }  # fmt: skip
    assert all(t["peak_rss_bytes"] > 50 * MIB for t in document["trials"] if t["finalist"])
