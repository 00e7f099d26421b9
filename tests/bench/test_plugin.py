"""The benchmarks as their user runs them: pytest in a process of its own, on a copy of the project's bench/."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.bench.conftest import CLEAN

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.backends import registry
from midas_bench.depth.flop import DEPLOYED_FLOP
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.weights import seeded
from midas_bench.files import CACHE_VARIABLE, sha256_of

pytestmark = pytest.mark.slow  # each starts pytest once or more
# two passes, for more would settle only what the cells cost
FEW_ROUNDS = ("--budget=1s", "--benchmark-min-rounds=2", "--benchmark-max-time=0.01", "--benchmark-json=out.json")


@pytest.fixture
def tree(tmp_path, project, photos):
    """Copy what the README's command works with, but one photo a scene: fewer references are to be computed."""
    shutil.copytree(project / "bench", tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pytest.ini"):
        shutil.copy(project / name, tmp_path / name)
    images = tmp_path / "fixtures/images"
    images.mkdir(parents=True)
    rows = (project / "fixtures/images/manifest.toml").read_text(encoding="utf-8").split("[[photo]]")[1:]
    kept = [row for row in rows if any(f'"{photo.file}"' in row for photo in photos.values())]
    (images / "manifest.toml").write_text("".join("[[photo]]" + row for row in kept), encoding="utf-8")
    for photo in photos.values():
        shutil.copy(photo.path, images)
        if photo.depth:
            (images / "depth").mkdir(exist_ok=True)
            shutil.copy(photo.depth, images / "depth")
    return tmp_path


@pytest.fixture
def bench(tree):
    """Run pytest in the copy, on `bench/test_pipeline.py` unless paths are given."""

    def run(*flags, paths=("bench/test_pipeline.py",)):
        command = [sys.executable, "-m", "pytest", *paths, *CLEAN, "--weights=seeded", *map(str, flags)]
        return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)

    return run


def own_photos(tree, scene, *files):
    folder = tree / "Meine Fotos, été"
    (folder / scene).mkdir(parents=True)
    for name, data in files:
        (folder / scene / name).write_bytes(data)
    return folder


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--backend=tpu"], "backend 'tpu': is unknown; choose from eager, jit, onnx"),
        (["--threads=0"], "--threads 0: this process may use 1 to"),
        (["--threads=999"], "--threads 999: this process may use 1 to"),
        (["--weights=nosuchfile"], "nosuchfile: no such weights file; give auto, official, seeded or the path"),
        (["--weights=official"], "the official weights cannot be fetched"),
        (["--photos=nowhere"], "nowhere: no such folder; put photos into it, or one folder per scene"),
    ],
)
def test_a_bad_flag_is_a_usage_error_in_one_line(bench, flags, message):
    one_error(bench(*flags), message)


@pytest.mark.usefixtures("graphs")
def test_a_photo_that_is_not_what_the_manifest_says_is_a_usage_error(bench, tree, photos):
    photo = tree / "fixtures/images" / photos["street"].file
    photo.write_bytes(photo.read_bytes() + b"\0")
    one_error(bench(), f"{photo.name}: has SHA-256")


@pytest.mark.usefixtures("graphs")
def test_a_folder_of_an_unknown_scene_is_a_usage_error(bench, tree, encode):
    photo = encode(np.zeros((8, 8, 3), np.uint8), "PNG")
    one_error(bench("--photos", own_photos(tree, "beach", ("a.png", photo))), "unknown scene 'beach'")


def test_a_cache_that_cannot_be_written_is_a_usage_error(bench, tree, monkeypatch):
    (tree / "file").write_text("")
    monkeypatch.setenv("MIDAS_BENCH_CACHE", str(tree / "file/cache"))
    one_error(bench("-k", "onnx and b1 and street"), "set MIDAS_BENCH_CACHE for the cache")


def test_photos_are_looked_at_before_graphs_are(bench, tree, monkeypatch):
    (tree / "file").write_text("")
    monkeypatch.setenv("MIDAS_BENCH_CACHE", str(tree / "file/cache"))
    one_error(bench("--photos=nowhere"), "nowhere: no such folder")


def one_error(ran, message):
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in (ran.stdout + ran.stderr).splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.mark.usefixtures("graphs")
def test_a_cell_is_timed_and_described(bench, tree):
    ran = bench("-k", "onnx and street and b2", *FEW_ROUNDS)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "timing only" in ran.stdout
    table = re.search(r"-+ benchmark .*?-+\n(.*?)\n\n", ran.stdout, re.DOTALL)[0].splitlines()
    assert max(map(len, table)) <= 120
    [one] = json.loads((tree / "out.json").read_text())["benchmarks"]
    assert len(one["stats"]["data"]) >= 2
    described(one["extra_info"], "onnx")


def described(info, backend):
    assert (info["kind"], info["scene"], info["backend"], info["batch_size"]) == ("latency", "street", backend, 2)
    assert info["input_shape"] == [2, 3, 256, 256]
    assert info["threads"] >= 1
    assert info["images_per_second"] == pytest.approx(2 / info["latency_s"]["p50"])
    assert info["latency_s"].keys() == {"p50", "p90", "p95", "p99"}
    assert info["load_s"] > 0
    assert info["first_inference_s"] > 0
    assert info["weights"]["source"] == "seeded"
    assert re.fullmatch("[0-9a-f]{64}", info["weights"]["sha256"])
    assert 0 <= info["max_relative_error"] <= 1e-3
    assert len(info["photos"]) == 2
    for photo in info["photos"]:
        assert photo.keys() >= {"file", "width", "height", "bytes", "sha256"}
    assert info["photos_repeated"]
    assert info["photos"][0] == info["photos"][1]


@pytest.mark.usefixtures("graphs")
def test_without_timing_the_cells_run_as_tests_on_ones_own_photos(bench, tree, encode):
    pixels = np.random.default_rng(4).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    folder = own_photos(tree, "pet", ("Füße von oben.jpg", encode(pixels, "JPEG")), ("b.png", encode(pixels, "PNG")))
    ran = bench("--photos", folder, "--benchmark-disable", "-k", "onnx")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search("4 passed", ran.stdout)


GARBAGE = """
import numpy as np
from midas_bench.depth.backends import registry

class Garbage:
    def __init__(self, threads):
        self.threads = threads
    def __call__(self, batch):
        return np.random.default_rng(1).random((len(batch), 256, 256), np.float32)
    def close(self):
        pass

def load(build):
    return Garbage(build.threads)

registry.REGISTRY["garbage"] = registry.Row("garbage", "garbage_backend", "fp32", ("numpy",))
"""


@pytest.mark.usefixtures("graphs")
def test_a_backend_that_computes_something_else_fails_and_is_not_saved(bench, tree, monkeypatch):
    (tree / "garbage_backend.py").write_text(GARBAGE)
    monkeypatch.setenv("PYTHONPATH", str(tree))
    ran = bench("-p", "garbage_backend", "--backend=garbage,onnx", "-k", "street and b1", *FEW_ROUNDS)
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
    assert re.search("garbage differs from eager by .* of the depth range.*; nothing was timed", ran.stdout)
    saved = json.loads(Path(tree / "out.json").read_text())["benchmarks"]
    assert [one["params"]["backend"] for one in saved] == ["onnx"]


def results(tree):
    return {cell["name"]: cell["extra_info"] for cell in json.loads((tree / "out.json").read_text())["benchmarks"]}


@pytest.mark.usefixtures("graphs")
def test_the_network_alone_has_a_share_of_the_peak_and_peers_beside_it(bench, tree):
    ran = bench("--backend=onnx", "-k", "b1 or f32 or backbone", *FEW_ROUNDS,
                paths=["bench/test_inference.py", "bench/test_peers.py"])  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    infos = results(tree)
    network = infos.pop("test_inference[onnx-b1]")
    assert network["share_of_peak"] == pytest.approx(
        network["flop"] / network["peak_flop_per_s"] / network["latency_s"]["p50"]
    )
    assert 0.01 < network["share_of_peak"] < 1.5
    assert {info["kind"] for info in infos.values()} == {"peer"}
    assert infos["test_backbone"]["latency_s"]["p50"] > 0
    app = infos.get("test_benchmark_app[f32]")
    assert app["peer_median_s"] > 0 if app else "needs benchmark_app" in ran.stdout


@pytest.mark.usefixtures("graphs")
def test_a_peer_that_is_not_installed_is_skipped_with_the_reason(bench, tree, monkeypatch):
    (tree / "absent.py").write_text("from midas_bench.measure import peers\npeers.BENCHMARK_APP = 'no_such_command'\n")
    monkeypatch.setenv("PYTHONPATH", str(tree))
    ran = bench("-p", "absent", "-k", "f32", "--backend=onnx", *FEW_ROUNDS, paths=["bench/test_peers.py"])
    assert "1 skipped" in ran.stdout
    assert "needs benchmark_app, which OpenVINO brings; pip install 'midas-bench[peers]'" in ran.stdout


@pytest.mark.usefixtures("graphs")
def test_the_server_is_not_measured_without_its_extra(bench, tree, monkeypatch):
    (tree / "absent.py").write_text(
        "from midas_bench.serve import serve_config\nserve_config.LIBRARIES = ('no_such_library',)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tree))
    ran = bench("-p", "absent", "-m", "extended", "--backend=onnx", paths=["bench/test_service.py"])
    assert "5 skipped" in ran.stdout
    assert "needs no_such_library, which is not installed; pip install 'midas-bench[web]'" in ran.stdout


def test_a_model_of_ones_own_is_measured_against_onnx_runtime(bench, tree, graphs):
    model = artifact("onnx", seeded(), graphs).path
    ran = bench(f"--model={model}", "--weights=auto", "-k", "street and b1", *FEW_ROUNDS)
    assert ran.returncode == 0, ran.stdout
    [(name, info)] = results(tree).items()
    assert name == "test_pipeline[onnx-b1-street]"
    known = {"source": "model", "sha256": sha256_of(model), "file": model.name}
    assert info["weights"] == {**known, "interface": json.loads(json.dumps(asdict(MIDAS)))}
    assert info["max_relative_error"] <= 1e-6


@pytest.fixture
def two_models(tree):
    """Save two networks of one convolution that take and give other sizes; return the flags that name them."""

    def saved(name, side, kernel):
        weights = np.random.default_rng(kernel).normal(size=(1, 3, kernel, kernel)).astype(np.float32)
        nodes = [
            helper.make_node("Conv", ["picture", "w"], ["v"], pads=[kernel // 2] * 4),
            helper.make_node("Sigmoid", ["v"], ["depth"]),
        ]
        given, returned = (
            helper.make_tensor_value_info(value, TensorProto.FLOAT, ["n", channels, side, side])
            for value, channels in (("picture", 3), ("depth", 1))
        )
        graph = helper.make_graph(nodes, name, [given], [returned], [numpy_helper.from_array(weights, "w")])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(made, tree / f"{name}.onnx")
        return f"--model={name}.onnx"

    return saved("large", 256, 31), saved("small", 64, 3), "--weights=auto"


def test_several_models_are_cells_of_one_run(bench, tree, two_models):
    ran = bench(*two_models, "-k", "street and (b1 or decode)", *FEW_ROUNDS,
                paths=["bench/test_pipeline.py", "bench/test_stages.py"])  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    hashes = {name: sha256_of(tree / f"{name}.onnx") for name in ("large", "small")}
    line = ", ".join(f"{name} ({name}.onnx, {sha256[:8]})" for name, sha256 in hashes.items())
    assert f"models: {line}; depth is compared with that of large, the first" in ran.stdout
    infos = results(tree)
    assert infos.keys() == {f"{cell}[{name}-{rest}]" for name in hashes for cell, rest in
                            (("test_pipeline", "onnx-b1-street"), ("test_decode", "street-fast"))}  # fmt: skip
    for cell, info in infos.items():
        assert info["model"] == cell.partition("[")[2].partition("-")[0]
        assert (info["weights"]["source"], info["weights"]["sha256"]) == ("model", hashes[info["model"]])
    large, small = (infos[f"test_pipeline[{name}-onnx-b1-street]"] for name in hashes)
    assert (large["input_shape"], small["input_shape"]) == ([1, 3, 256, 256], [1, 3, 64, 64])
    assert max(large["max_relative_error"], small["max_relative_error"]) <= 1e-6
    assert (large["teacher"], large["teacher_rank_correlation"], large["teacher_pairs_kept"]) == ("large", 1, 1)
    assert small["teacher"] == "large"
    assert -1 < small["teacher_rank_correlation"] < 0.999
    assert 0 < small["teacher_pairs_kept"] < 0.999
    assert not set(large["depth_maps"]) & set(small["depth_maps"])
    ours = json.loads((tree / "out.json").read_text())["midas_bench"]
    assert ours["models"] == {name: infos[f"test_pipeline[{name}-onnx-b1-street]"]["weights"] for name in hashes}


def test_a_model_that_cannot_be_run_is_named_and_nothing_is_measured(bench, two_models):
    one_error(bench(*two_models, "--size=64x64"), "large.onnx: has an input of float (N, 3, 256, 256)")
    one_error(bench(*two_models, "--model=none.onnx"), "none.onnx: cannot be read")


def test_the_article_is_skipped_for_a_model_of_ones_own(bench, graphs):
    model = artifact("onnx", seeded(), graphs).path
    ran = bench(f"--model={model}", "--weights=auto", "-k", "street", *FEW_ROUNDS, paths=["bench/test_article.py"])
    assert "1 skipped" in ran.stdout
    assert "not for this model: the article's recipe runs MiDaS_small" in ran.stdout


@pytest.mark.usefixtures("graphs")
def test_a_run_of_another_size_has_its_own_reference_and_work_and_no_article(bench, tree):
    names = ("pipeline", "inference", "article", "stages")
    ran = bench("--size=160x256", "--backend=onnx", "-k", "(b1 or article) and (street or inference)", *FEW_ROUNDS,
                paths=[f"bench/test_{name}.py" for name in names])  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "left out: the article's recipe resizes to 256x256, not to --size 160x256" in ran.stdout
    assert "4 skipped" in ran.stdout
    infos = results(tree)
    assert infos.keys() == {"test_pipeline[onnx-b1-street]", "test_inference[onnx-b1]"}
    for info in infos.values():
        assert info["input_shape"] == [1, 3, 160, 256]
        assert (info["weights"]["interface"]["height"], info["weights"]["interface"]["width"]) == (160, 256)
        assert info["max_relative_error"] <= registry.MAX_RELATIVE_ERROR
    assert infos["test_inference[onnx-b1]"]["flop"] == DEPLOYED_FLOP * 160 / 256


@pytest.mark.usefixtures("graphs")
def test_a_size_that_the_network_does_not_take_is_a_usage_error_in_one_line(bench):
    one_error(bench("--size=200x256"), "--size 200x256: has sides that are no multiples of 32, as MiDaS_small's are")


@pytest.mark.usefixtures("graphs")
def test_the_own_aspect_ratio_is_measured_beside_the_square(bench, tree):
    ratios = (tree / "bench/test_ratios.py").read_text()
    (tree / "bench/test_ratios.py").write_text(re.sub(r"^(BLOCKS|ROUNDS) = .*", r"\1 = 2", ratios, flags=re.MULTILINE))
    chosen = ("-m", "extended", "-k", "test_ratios and own and not closely", "--benchmark-json=out.json")
    ran = bench("--backend=onnx", *chosen, paths=["bench/test_ratios.py"])
    assert ran.returncode == 0, ran.stdout
    [info] = results(tree).values()
    assert (info["ratio"], info["input_shape"]) == ("own aspect ratio/square onnx", [1, 3, 160, 256])
    assert len(info["block_log_ratios"]) == 2
    ran = bench("--backend=onnx", "--size=160x256", *chosen, paths=["bench/test_ratios.py"])
    assert "needs onnx-own-aspect, which --backend, --model or --size leaves out" in ran.stdout


def test_reduced_precision_is_measured_on_seeded_weights_and_not_judged(bench, tree, graphs, monkeypatch):
    cache = tree / "cache"  # of its own: other tests may have made the int8 graph
    shutil.copytree(graphs, cache, ignore=shutil.ignore_patterns("*int8*"))
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    ran = bench("--backend=onnx-int8", "-k", "b1 and (street or pet)", *FEW_ROUNDS)
    assert ran.returncode == 0, ran.stdout
    assert "making the graph for onnx-int8" in ran.stdout
    for info in results(tree).values():
        assert 0 < info["mean_relative_error"] < info["max_relative_error"]
        assert 0.5 < info["rank_correlation"] < 1
        assert 0 < info["flipped_pairs"] < 0.5


@pytest.mark.usefixtures("graphs")
def test_all_says_what_it_leaves_out_why_and_what_to_do(bench, monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/g++")
    ran = bench("--backend=all", "-k", "onnx-b1-street", *FEW_ROUNDS)
    assert ran.returncode == 0, ran.stdout
    assert "left out: backend compile: needs a C++ compiler, and none is found; install g++, or name" in ran.stdout


@pytest.mark.usefixtures("graphs")
def test_all_takes_the_backends_that_are_present(bench):
    ran = bench("--backend=all", "--collect-only", "-q", "-k", "street and b1")
    names = set(re.findall(r"test_pipeline\[([\w-]+)-b1-street\]", ran.stdout))
    assert names == set(registry.select(["all"]))
