"""Models of real architectures, and of every kind of input and output, go through every command."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from tests.depth.own_networks import plain_call
from tests.models.conftest import HALF, NAMES

from midas_bench.cli import loadgen, profile
from midas_bench.cli.main import main
from midas_bench.depth.backends import registry
from midas_bench.depth.custom_model import own_model
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.measure import tune

pytestmark = pytest.mark.slow

WAIT_S = 120
QUICK = tuple(name for name in NAMES if name != "depth_anything_518")
"""Without the size whose inference takes a second: it is the architecture of depth_anything_252 again."""

EXACT = ("onnx", "openvino")
INT8 = ("onnx-int8", "openvino-int8")
quick = pytest.mark.parametrize("model", QUICK, indirect=True)


@pytest.fixture
def photo(small_photos):
    return small_photos / "street/china.jpg"


def needs(*backends):
    for backend in backends:
        if reason := registry.missing(registry.find(backend)):
            pytest.skip(str(reason))


@pytest.mark.parametrize("backend", EXACT)
def test_maps_are_those_of_a_plain_call(model, photo, backend, request):
    needs(backend)
    # one thread leaves room for several calls at a time, and each stream of OpenVINO's is a network of its own
    with DepthPipeline.open(backend, model=model.path, threads=1) as pipeline:
        depth = pipeline.run([photo.read_bytes()]).depth
        batch = pipeline.recipe.preprocess([pipeline.recipe.picture(photo)])
    expected = plain_call(model.path, batch, model.settings)
    assert depth.shape == expected.reshape(depth.shape).shape
    assert np.ptp(expected) > 0.01 * np.abs(expected).max()
    # OpenVINO computes half precision in float32, ONNX Runtime rounds after each operator
    tolerance = 1e-3 if backend == "openvino" and HALF in request.node.name else 1e-4
    np.testing.assert_allclose(depth, expected.reshape(depth.shape), rtol=0, atol=tolerance * np.ptp(expected))


def test_model_tells_of_it_and_assumes_nothing_that_was_said(model, capsys):
    assert main(["model", model.path]) == 0
    out = capsys.readouterr().out
    interface = own_model(model.path).interface
    assert f"size        {interface.height}x{interface.width}" in out
    assert "unknown shape" not in out
    assumed = out.partition("assumed: ")[2].partition(";")[0].split(", ")
    assert not set(assumed) & set(model.settings)


@pytest.mark.parametrize("backend", EXACT)
def test_depth_writes_a_heat_map_of_a_file_and_of_standard_input(model, photo, tmp_path, monkeypatch, backend):
    needs(backend)
    given = photo
    # each backend by one of both ways, for opening takes longest
    if backend == "openvino":
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(photo.read_bytes())))
        given = "-"
    output = tmp_path / "heat.png"
    assert main(["depth", str(given), "-o", str(output), "--model", model.path, "--backend", backend]) == 0
    with Image.open(output) as image:
        assert image.size == (320, 214)
        assert len(np.unique(np.asarray(image))) > 5


def test_serve_answers_a_request(model, photo, project):
    command = [sys.executable, "-m", "midas_bench.cli.main", "serve", "--port", "0", "--model", model.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=project) as server:
        watchdog = threading.Timer(WAIT_S, server.kill)
        watchdog.start()
        try:
            url = next(filter(None, (re.match(r"(http://\S+) is ready", line) for line in server.stdout)))[1]
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=WAIT_S)
            connection.request("POST", "/api/depth", photo.read_bytes())
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            server.send_signal(signal.SIGTERM)
            assert server.wait(WAIT_S) == 0
        finally:
            watchdog.cancel()
            server.kill()
    assert answer.status == 200
    with Image.open(io.BytesIO(body)) as image:
        assert image.size == (320, 214)


def test_the_benchmarks_and_the_report_take_it(model, small_photos, project, tmp_path, request):
    backends = EXACT
    if "depth_anything_518" in request.node.name:
        backends = ("onnx",)
    elif "glpn" in request.node.name:
        # the transformer that is calibrated in seconds
        backends = (*EXACT, *INT8)
    needs(*backends)
    saved = tmp_path / "run.json"
    command = [
        sys.executable, "-m", "pytest", "bench/test_pipeline.py", "-p", "no:cacheprovider", "-p", "no:schemathesis",
        "--quick", "-k", "b1", "--budget", "1s", "--model", model.path, "--backend", ",".join(backends),
        "--threads", "1", "--photos", str(small_photos), "--benchmark-min-rounds=1", "--benchmark-max-time=0.01",
        f"--benchmark-json={saved}",
    ]  # fmt: skip
    ran = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    cells = json.loads(saved.read_text())["benchmarks"]
    assert [cell["params"]["backend"] for cell in cells] == list(backends)
    for cell in cells:
        exact = registry.find(cell["params"]["backend"]).exact
        assert cell["extra_info"]["max_relative_error"] < (1e-3 if exact else 0.5)
        assert cell["extra_info"]["weights"]["sha256"] == own_model(model.path).sha256
    assert main(["report", str(saved), "-o", str(tmp_path / "report")]) == 0
    assert "openvino" in (tmp_path / "report/report.md").read_text() or backends == ("onnx",)


@quick
def test_tune_advises(model, small_photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tune, "LOOK_PASSES", 1)
    monkeypatch.setattr(tune, "MOST_PASSES", 1)
    monkeypatch.setattr(tune, "further_looks", lambda *_: [])
    flags = ["--backend", "onnx", "--threads", "1", "--photos", str(small_photos), "--budget", "60s"]
    assert main(["tune", "--model", model.path, *flags, "-o", str(tmp_path)]) == 0
    assert f"model={model.path!r}" in capsys.readouterr().out


@quick
def test_profile_names_its_operators(model, photo, monkeypatch, capsys):
    monkeypatch.setattr(profile, "machine_peaks", lambda _: {})
    assert main(["profile", "--model", model.path, "--photo", str(photo), "--rounds", "1", "--threads", "1"]) == 0
    assert "Conv" in capsys.readouterr().out


@quick
def test_gate_compares_it_between_backends(model, small_photos, tmp_path, monkeypatch, request):
    needs("openvino")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDAS_BENCH_CACHE", str(tmp_path / "cache"))
    code = main([
        "gate", "run", "--model", model.path, "--head-backend", "openvino", "--cell", "inference", "--budget", "1s",
        "--photos", str(small_photos), "--no-control", "--no-why", "--inconclusive", "pass", "--json", "gate.json",
    ])  # fmt: skip
    assert code == 0
    [change] = json.loads((tmp_path / "gate.json").read_text())["depth"]
    assert change["largest_error"] < (1e-3 if HALF in request.node.name else 1e-4)
    assert change["rank_correlation"] > 0.999


@quick
def test_loadgen_measures_it(model, small_photos, tmp_path, monkeypatch):
    pytest.importorskip("mlperf_loadgen", reason="needs the extra [load]")
    few = replace(loadgen.RULES["short"], duration_s=0.1, least=dict.fromkeys(loadgen.SCENARIOS, 2))
    monkeypatch.setitem(loadgen.RULES, "short", few)
    flags = ["--backend", "onnx", "--threads", "1", "--scenario", "single-stream", "--logs", str(tmp_path / "logs")]
    output = tmp_path / "load.json"
    flags += ["--photos", str(small_photos), "--json", str(output)]
    assert main(["loadgen", "--model", model.path, *flags]) == 0
    assert len(json.loads(output.read_text())["benchmarks"]) == 1


def test_accuracy_judges_all_of_them_in_one_table(models, capsys):
    given = [word for name in QUICK for word in ("--model", models[name].path)]
    assert main(["accuracy", *given, "--backend", "onnx", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len({row["model"] for row in rows}) == len(QUICK)
    assert all(np.isfinite(row["spearman"]) for row in rows)
