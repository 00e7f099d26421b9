import sys
from pathlib import Path

import pytest

from midas_bench.measure import peers
from midas_bench.processes import ProcessDiedError

SAID = """[Step 11/11] Dumping statistics report
[ INFO ] Count:            75 iterations
[ INFO ] Latency:
[ INFO ]    Median:        26.70 ms
[ INFO ]    Average:       27.10 ms
"""


@pytest.fixture
def command(tmp_path):
    """Make a stand-in for the command that runs a line of Python; `arguments` and `settings` are there for it."""

    def make_command(line):
        script = tmp_path / "benchmark_app.py"
        script.write_text(
            "import json, sys, time\narguments = sys.argv[1:]\n"
            "settings = json.load(open(arguments[arguments.index('-load_config') + 1]))\n" + line
        )
        path = tmp_path / "benchmark_app"
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')  # a path there may hold a space
        path.chmod(0o755)
        return str(path)

    return make_command


def test_the_median_of_benchmark_app_is_read_in_seconds():
    assert peers.median_s(SAID) == pytest.approx(0.0267)


def test_benchmark_app_output_without_a_median_raises():
    with pytest.raises(ProcessDiedError, match=r"reported no median: \[ INFO \]    Average"):
        peers.median_s(SAID.replace("Median", "Percentile"))


@pytest.mark.parametrize("precision", ["f32", None])
def test_benchmark_app_gets_one_image_the_threads_and_the_precision(command, tmp_path, precision):
    fake = command(f"open({str(tmp_path / 'seen')!r}, 'w').write(repr((arguments, settings)))\nprint({SAID!r})")
    assert peers.benchmark_app(fake, Path("net.onnx"), 3, precision, seconds=2) == pytest.approx(0.0267)
    arguments, settings = eval((tmp_path / "seen").read_text())
    hint = {"INFERENCE_PRECISION_HINT": "f32"} if precision else {}
    assert settings == {"CPU": {"INFERENCE_NUM_THREADS": "3"} | hint}
    pairs = dict(zip(arguments[::2], arguments[1::2], strict=True))
    asked = {"-m": "net.onnx", "-d": "CPU", "-hint": "latency", "-t": "2", "-shape": "[1,3,256,256]"}
    assert pairs.items() >= asked.items()
    assert not Path(pairs["-load_config"]).exists()


def test_a_failing_benchmark_app_is_reported_with_its_last_words(command):
    with pytest.raises(ProcessDiedError, match="benchmark_app: exit code 1: no such device"):
        peers.benchmark_app(command("sys.exit('no such device')"), Path("net.onnx"), 1, None)


def test_a_benchmark_app_that_hangs_is_given_up(command, monkeypatch):
    monkeypatch.setattr(peers, "TIMEOUT_S", 0.2)
    with pytest.raises(ProcessDiedError, match="benchmark_app: no answer within"):
        peers.benchmark_app(command("time.sleep(60)"), Path("net.onnx"), 1, None)


def test_benchmark_app_is_searched_beside_this_python_first(monkeypatch, command, tmp_path):
    path = command("pass")
    monkeypatch.setattr(peers.sys, "executable", str(tmp_path / "python"))
    assert peers.find_benchmark_app() == path
    monkeypatch.setattr(peers.sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert peers.find_benchmark_app() == path
    monkeypatch.setenv("PATH", "/nowhere")
    assert peers.find_benchmark_app() is None


@pytest.mark.slow
def test_openvinos_own_command_still_reports_a_median(graphs):
    pytest.importorskip("openvino")
    from midas_bench.depth.artifacts import artifact
    from midas_bench.depth.weights import seeded

    model = artifact("onnx", seeded(), graphs).path
    assert 1e-4 < peers.benchmark_app(peers.find_benchmark_app(), model, 1, "f32", seconds=1) < 60
