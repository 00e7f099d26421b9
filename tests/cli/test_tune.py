import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from midas_bench import bundle
from midas_bench.cli import tune as command
from midas_bench.cli.main import main
from midas_bench.depth.backends import registry
from midas_bench.errors import UserError
from midas_bench.measure import tune as search
from midas_bench.measure import tune_output
from midas_bench.measure.tune import Tuning
from midas_bench.results import units
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import Closeness, Trial, Visit
from midas_bench.scene_photos import from_manifest

MIB = 1 << 20
REASON = ("other processes used 90% of a core",)


def visits(*seconds, disturbed=()):
    return tuple(Visit(n, (s,), REASON if n in disturbed else ()) for n, s in enumerate(seconds, start=1))


CLOSE = Closeness("eager", 0.99871, 0.0042, 0.031, 0.012)
INT8 = Trial(Setup("onnx-int8", 1, 1), False, visits(*(0.025, 0.0251, 0.0249) * 3), 200 * MIB, True, (), CLOSE)
TRIALS = (
    INT8,
    Trial(Setup("onnx", 1, 1), True, visits(*(0.05, 0.0501, 0.0499) * 3), 300 * MIB, True),
    Trial(Setup("onnx", 4, 1), True, visits(*(0.22, 0.221, 0.219) * 3), 400 * MIB, True),
    Trial(Setup("eager", 1, 1), True, visits(*(0.1,) * 6), 700 * MIB),
)
STREAM = Trial(Setup("onnx", 1, 1, stream_photos=12), True, visits(*(0.24, 0.241, 0.239) * 3), 350 * MIB, True)


@pytest.fixture
def tuned(monkeypatch, project, tmp_path):
    """Stand in for the search; give the plans that it was asked for."""
    plans = []

    def tune(plan, step):
        plans.append(plan)
        step("onnx: opening it, and its memory", 12.3)
        return Tuning(TRIALS, {"jit": "no answer within 40 s"}, 95.5, passes=9, opening_s=24)

    monkeypatch.chdir(project)
    monkeypatch.setattr(command, "tune", tune)
    return SimpleNamespace(plans=plans, trials=TRIALS, output=tmp_path / "out")


def run(tuned, *flags):
    return main(["tune", "--weights", "seeded", "--threads", "1", "-o", str(tuned.output), *flags])


def test_tune_prints_the_best_set_ups_and_the_python_that_opens_them(tuned, capsys):
    assert run(tuned) == 0
    said = capsys.readouterr()
    assert "4 set-ups measured in 96 s on " in said.out
    assert "\n9 passes; opening took 24 s (25%)\n" in said.out
    assert "timing only" in said.out
    precision = "reduced precision (rank correlation 0.9987 with eager, mean error 0.420 %)"
    best = f"onnx-int8 (threads 1, batch 1), 25.0 ms (24.9 to 25.1), {precision}, disturbed in 0 of 9 passes"
    assert f"lowest latency: {best}\n" in said.out
    exact = "onnx (threads 1, batch 1), 50.0 ms (49.9 to 50.1), disturbed in 0 of 9 passes"
    assert f"  exact: {exact}, 2.00{units.TIMES} (2.00 to 2.00) the time per photo\n" in said.out
    assert "highest throughput: onnx-int8 (threads 1, batch 1), 40.0 images/s" in said.out
    assert f"least memory: onnx-int8 (threads 1, batch 1), 200 MiB, {precision}\n" in said.out
    assert said.out.count("DepthPipeline.open(") == 1
    assert said.out.count("    opened as above") == 2
    assert f"1.50{units.TIMES} the memory" in said.out
    front = said.out.partition("Pareto front")[2].partition("left out:")[0].strip().splitlines()[1:]
    assert [line.split()[0] for line in front] == ["onnx-int8"]
    assert front[0].endswith(f"200 MiB  {precision}")
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
    winner = "onnx (threads 1, stream), 50.0 images/s (49.8 to 50.2), disturbed in 0 of 9 passes"
    assert f"highest throughput: {winner}\n" in out
    front = out.partition("Pareto front")[2].strip().splitlines()[1:3]
    assert [line.split(")")[0] for line in front] == ["  onnx-int8 (threads 1, batch 1", "  onnx (threads 1, stream"]
    assert [" per call" in line for line in front] == [True, False]
    assert len({len(line.partition(" images/s")[0]) for line in front}) == 1
    throughput = json.loads((tuned.output / "tuning.json").read_text())["answers"]["throughput"]
    assert (throughput["stream_photos"], throughput["images_per_second"]) == (12, 50)
    assert throughput["python"] == [
        "from midas_bench import DepthPipeline",
        'photos = ["photo.jpg"]  # your own, as many as you like: paths, bytes or pixels',
        "with DepthPipeline.open('onnx', threads=1, weights='seeded') as pipeline:",
        "    for heatmap in pipeline.map(photos): ...",
    ]


def answer(tuned, monkeypatch, capsys, *trials, left_out=None, **how):
    found = Tuning(trials, left_out or {}, 10.0, passes=9, opening_s=2.5, **how)
    monkeypatch.setattr(command, "tune", lambda plan, step: found)  # noqa: ARG005
    code = run(tuned)
    return code, capsys.readouterr().out, json.loads((tuned.output / "tuning.json").read_text())


def test_set_ups_that_the_passes_do_not_tell_apart_are_too_close_to_call(tuned, monkeypatch, capsys):
    close = replace(INT8, setup=Setup("openvino-int8", 1, 1), visits=visits(*(0.0251, 0.025, 0.0249) * 3))
    _, out, document = answer(tuned, monkeypatch, capsys, INT8, close)
    assert "  too close to call: onnx-int8 (threads 1, batch 1) and openvino-int8 (threads 1, batch 1)\n" in out
    assert document["answers"]["latency"]["too_close_to_call"] == ["openvino-int8 (threads 1, batch 1)"]


def test_a_machine_that_was_disturbed_has_no_bare_winner(tuned, monkeypatch, capsys):
    noisy = replace(INT8, visits=visits(*(0.07, 0.06, 0.08) * 3, disturbed=range(1, 7)))
    _, out, document = answer(tuned, monkeypatch, capsys, noisy)
    [line] = [line for line in out.splitlines() if line.startswith("lowest latency: ")]
    assert line.startswith(
        "lowest latency: the machine was too disturbed to say; the best of it was "
        "onnx-int8 (threads 1, batch 1), 70.0 ms (60.0 to 80.0), reduced precision ("
    )
    assert line.endswith(
        "disturbed in 6 of 9 passes; run again when it is idle (midas-bench doctor names what is busy)"
    )
    assert "least memory: onnx-int8" in out
    assert document["answers"]["latency"]["too_disturbed_to_say"] is True
    assert document["answers"]["memory"]["too_disturbed_to_say"] is False
    assert document["trials"][0]["disturbed_passes"] == 6


def test_depth_that_is_not_close_enough_or_not_compared_is_said(tuned, monkeypatch, capsys):
    said = "onnx-int8 has a rank correlation of 0.9800 with eager, less than 0.99"
    far = replace(INT8, closeness=replace(CLOSE, rank_correlation=0.98, problem=said))
    assert f"\n  {said}\n" in answer(tuned, monkeypatch, capsys, far)[1]
    unknown = answer(tuned, monkeypatch, capsys, replace(INT8, closeness=None))
    assert ", reduced precision (depth not compared), disturbed in 0 of 9 passes\n" in unknown[1]
    assert unknown[2]["trials"][0]["fidelity"] is None


def test_what_is_left_out_for_the_same_reason_is_said_once(tuned, monkeypatch, capsys):
    late = "the budget ended before its turn; a larger --budget includes it"
    _, out, document = answer(tuned, monkeypatch, capsys, INT8, left_out={"jit": late, "eager": late})
    assert out.count(late) == 1
    assert f"  jit, eager: {late}\n" in out
    assert document["left_out"]["eager"] == late


def test_ctrl_c_prints_what_is_known_so_far_with_exit_code_130(tuned, monkeypatch, capsys):
    code, out, document = answer(tuned, monkeypatch, capsys, INT8, interrupted=True, graphs_s=4.0)
    assert code == 130
    assert (
        "interrupted: this is what was known by then; 9 passes; opening took 2 s (25%); making graphs, once, 4 s (40%)"
        in out
    )
    assert "lowest latency: onnx-int8" in out
    assert (document["interrupted"], document["opening_s"], document["graphs_s"]) == (True, 2.5, 4.0)


def test_exact_tries_float32_alone_and_says_so(tuned):
    assert run(tuned, "--exact", "--backend", "onnx,onnx-int8") == 0
    assert tuned.plans[0].backends == ("onnx",)
    document = json.loads((tuned.output / "tuning.json").read_text())
    assert document["left_out"]["onnx-int8"] == "its precision is reduced, and --exact is given"


def test_by_default_every_backend_that_can_run_is_tried_but_the_one_that_compiles(tuned, project):
    assert run(tuned) == 0
    [plan] = tuned.plans
    assert set(plan.backends) == set(registry.select(["all"])) - {"compile"}
    promising = tuple(name for name in ("onnx-int8", "openvino-int8") if name in plan.backends)
    assert promising
    assert plan.backends[: len(promising)] == promising
    assert plan.backends[-1] == "eager"
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
    opening = tune_output.python_lines(Setup(backend, 1, 2), "auto")[2]
    assert opening == f"with DepthPipeline.open({backend!r}, threads=2) as pipeline:"


@pytest.mark.parametrize("name", ["é 'a' \"b\"", "😀", "caf\udce9"])
def test_any_name_becomes_python_that_reads_it(tmp_path, name):
    path = str(tmp_path / name / "w.pt")
    opening = tune_output.python_lines(Setup("onnx", 1, 1), path)[2]
    assert eval(opening.partition("weights=")[2].removesuffix(") as pipeline:")) == path


def test_weights_of_the_users_own_are_named_for_any_folder(tuned, tmp_path, monkeypatch, capsys):
    (tmp_path / "own.pt").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    assert main(["tune", "--weights", "own.pt", "--threads", "1", "-o", str(tuned.output)]) == 0
    assert f"weights={str(tmp_path / 'own.pt')!r}" in capsys.readouterr().out


def test_a_model_of_the_users_own_is_tuned_on_what_reads_it(tuned, own_model, capsys):
    line = ["tune", "--model", str(own_model), "--size", "64x96", "--threads", "1", "-o", str(tuned.output)]
    assert main(line) == 0
    [plan] = tuned.plans
    assert all(registry.find(name).reads_onnx for name in plan.backends)
    assert (plan.config.weights.interface.height, plan.config.weights.interface.width) == (64, 96)
    said = capsys.readouterr().out
    opened = f"DepthPipeline.open('onnx-int8', threads=1, model={str(own_model)!r}, model_settings={{'size': '64x96'}})"
    assert opened in said
    assert json.loads((tuned.output / "tuning.json").read_text())["left_out"]["eager"] == "it cannot run an ONNX model"


def test_a_model_and_no_backend_that_reads_it_is_one_line(tuned, own_model, capsys):
    assert main(["tune", "--model", str(own_model), "--backend", "eager,jit", "-o", str(tuned.output)]) == 2
    assert "--model: leaves none of eager, jit; leave it out, or name another backend" in capsys.readouterr().err
    assert tuned.plans == []


@pytest.mark.slow
@pytest.mark.parametrize("setup", [(1, 0), (4, 0), (1, 12)])
@pytest.mark.parametrize("backend", ["onnx", "onnx-int8"])
def test_the_printed_python_runs_as_it_is_in_a_folder_with_nothing_but_a_photo(
    tuned, prepared, tmp_path, backend, photos, setup
):
    """It uses the graph that tuning used, so that nothing is made anew."""
    batch_size, stream_photos = setup
    assert run(tuned) == 0
    config = tuned.plans[0].config
    graphs = prepared(backend)
    assert registry.is_prepared(backend, config.weights, Path(config.cache_dir), config.calibration)
    before = sorted(Path(graphs).glob("artifacts/*"))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(photos["pet"].path, folder / "photo.jpg")
    lines = tune_output.python_lines(Setup(backend, batch_size, 1, stream_photos=stream_photos), "seeded")
    result = "1, heatmap" if stream_photos else "len(heatmaps), heatmaps[0]"
    check = f"print(pipeline.config.backend, pipeline.config.threads, {result}.ndim)"
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, check])], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == (f"{backend} 1 {batch_size} 3\n", "")
    assert sorted(Path(graphs).glob("artifacts/*")) == before


@pytest.mark.slow
def test_tune_measures_this_machine(prepared, project, tmp_path, monkeypatch, capsys):
    """Whether each process really makes its calls; that the passes add up is tested with scripted ones.

    Each backend stays to the end, however disturbed: the best two of each precision do.
    """
    prepared("onnx-int8")
    monkeypatch.chdir(project)
    # however slow the machine, there is time for all of them
    monkeypatch.setattr(search, "MOST_PASSES", 3)
    flags = ["--weights", "seeded", "--backend", "onnx,onnx-int8", "--threads", "1", "--budget", "20min"]
    assert main(["tune", *flags, "-o", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "lowest latency: " in said.out
    assert "least memory: onnx-int8 (threads 1, " in said.out
    assert " passes; opening took " in said.out
    assert "midas-bench: pass 4: " in said.err
    document = json.loads((tmp_path / "tuning.json").read_text())
    trials = document["trials"]
    kinds = {(1, True), (4, True), (1, False)}
    for backend in ("onnx", "onnx-int8"):
        assert {(t["batch_size"], t["stream_photos"] is None) for t in trials if t["backend"] == backend} == kinds
    assert all(t["peak_rss_bytes"] > 50 * MIB for t in trials)
    assert all(len(t["passes"]) >= 3 for t in trials)
    reduced = [t for t in trials if not t["exact"]]
    assert all(0.5 < t["fidelity"]["rank_correlation"] <= 1 for t in reduced)
    assert len({t["fidelity"]["rank_correlation"] for t in reduced}) == 1


def test_a_price_per_hour_gives_the_price_of_a_million_photos(tuned, capsys):
    # 40 photos per second take 25,000 s
    assert run(tuned, "--price-per-hour", "0.36") == 0
    out = capsys.readouterr().out
    [line] = [line for line in out.splitlines() if "per million photos" in line]
    assert line == "  price: 2.50 (2.49 to 2.51) per million photos, at 0.36 per hour, always busy"
    assert out.index("highest throughput") < out.index(line) < out.index("least memory")
    answers = json.loads((tuned.output / "tuning.json").read_text())["answers"]
    price = answers["throughput"]["price_per_million_photos"]
    assert price["estimate"] == pytest.approx(2.5)
    assert price["low"] < 2.5 < price["high"]
    assert "price_per_million_photos" not in answers["latency"]


def test_without_a_price_there_is_none(tuned, capsys):
    assert run(tuned) == 0
    assert "per million" not in capsys.readouterr().out
    assert "price" not in (tuned.output / "tuning.json").read_text()


@pytest.mark.parametrize(
    ("price", "said"),
    [("free", "--price-per-hour free: is not a price above 0"), ("Pentium=1", "means none of the machines here: ")],
)
def test_a_wrong_price_is_said_before_the_budget_is_spent(tuned, capsys, price, said):
    assert run(tuned, "--price-per-hour", price) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert tuned.plans == []


def test_tuning_on_ones_own_photos_takes_their_first_scene_and_calibrates_on_all(tuned, own_photos):
    assert run(tuned, "--photos", str(own_photos)) == 0
    [plan] = tuned.plans
    assert [photo.file for photo in plan.photos] == ["coffee.jpg"]
    assert [Path(path).name for path in plan.config.calibration] == ["coffee.jpg", "chelsea.jpg"]
