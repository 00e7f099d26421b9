from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from midas_bench.cli import loadgen as command
from midas_bench.cli.main import main
from midas_bench.depth.backends import registry
from midas_bench.measure.loadgen.scenarios import Look
from midas_bench.processes import ProcessDiedError
from midas_bench.results.load_records import Load
from midas_bench.results.run_files import read

FIGURES = {"p50": 0.05, "p90": 0.06, "p99": 0.07}


@pytest.fixture
def driven(monkeypatch, project, tmp_path):
    """Stand in for LoadGen; `died` names scenarios whose process dies, `off` is added to the depth."""
    state = SimpleNamespace(
        died=(), off=0.0, valid=True, asked=[], plans=[], json=tmp_path / "load.json", logs=tmp_path / "logs"
    )

    def measure(plan, backend, scenarios, timeout_s):
        state.asked.append((backend, *scenarios))
        state.plans.append(plan)
        assert timeout_s > 300
        if scenarios[0] in state.died:
            raise ProcessDiedError("killed by SIGKILL")
        full = plan.rules.full
        load = Load(
            scenario=scenarios[0], rules=plan.rules.name, valid=state.valid and full, queries=64,
            images_per_second=17.5, latency_bound_s=plan.bound_s,
            query_latency_s={} if scenarios[0] == "offline" else FIGURES,
            invalid_reason=None if state.valid else "fewer queries than the minimum",
        )  # fmt: skip
        return {scenarios[0]: load}

    def depth(photos):
        return np.stack([np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4) for _ in photos])

    monkeypatch.chdir(project)
    monkeypatch.setattr(command.loadgen, "check_installed", lambda: None)
    monkeypatch.setattr(command.loadgen, "look", lambda *_: Look(0.06, 1))
    monkeypatch.setattr(command.loadgen, "measure", measure)
    monkeypatch.setattr(command.loadgen, "logged_depth", lambda plan, _: depth(plan.photos) + state.off)
    monkeypatch.setattr(command.Reference, "depth", lambda _, photos: depth(photos))
    monkeypatch.setattr(registry, "is_prepared", lambda *_: True)
    return state


def run(driven, *flags):
    return main(["loadgen", "--weights", "seeded", "--logs", str(driven.logs), "--json", str(driven.json), *flags])


def test_all_scenarios_in_order_each_in_a_process_of_its_own(driven, capsys):
    assert run(driven, "--backend", "onnx", "--latency-bound", "200") == 0
    assert driven.asked == [("onnx", s) for s in ("single-stream", "multi-stream", "offline", "server")]
    said = capsys.readouterr()
    assert "onnx, single-stream: p90 60.0 ms (p50 50.0 ms, 17.5 images/s), 64 queries; short run, not valid" in said.out
    assert "onnx, offline: 17.5 images/s; short run, not valid" in said.out
    assert "onnx, server: no rate that was tried has a p99 within 200 ms" in said.out
    assert f"LoadGen's logs: {driven.logs}" in said.out
    records = read(driven.json).records
    assert [r.info.judged for r in records] == ["short run"] * 4
    assert read(driven.json).status == "complete"


def test_full_rules_say_how_long_they_take_and_fail_when_the_run_is_invalid(driven, capsys):
    assert run(driven, "--scenario", "single-stream,offline", "--rules", "full") == 0
    said = capsys.readouterr()
    assert "onnx, single-stream: about 10 min 00 s, 34 min 35 s for the rest of onnx" in said.err
    assert "64 queries; valid" in said.out
    driven.valid = False
    assert run(driven, "--scenario", "offline", "--rules", "full") == 1
    assert "NOT VALID: fewer queries than the minimum" in capsys.readouterr().out


def test_accuracy_is_printed_and_stands_in_the_record(driven, capsys):
    assert run(driven, "--scenario", "offline", "--accuracy") == 0
    assert "against eager: largest error 0, mean 0 of the depth range" in capsys.readouterr().out
    assert read(driven.json).records[0].info.max_relative_error == 0


def test_an_exact_backend_that_is_off_fails_and_nothing_is_timed(driven, capsys):
    driven.off = 0.01
    assert run(driven, "--scenario", "offline", "--accuracy") == 1
    assert "onnx differs from eager by 0.01 of the depth range, more than 0.001" in capsys.readouterr().out
    assert driven.asked == []
    assert not driven.json.exists()


def test_a_scenario_whose_process_died_is_reported_and_the_others_run(driven, capsys):
    driven.died = ("multi-stream",)
    assert run(driven) == 1
    assert "onnx, multi-stream: failed: killed by SIGKILL" in capsys.readouterr().out
    found = read(driven.json)
    assert len(found.records) == 3
    assert found.status == "partial"
    assert [skip.reason for skip in found.failed] == ["killed by SIGKILL"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--scenario", "sever"], "--scenario sever: is unknown; choose from single-stream"),
        (["--latency-bound", "nan"], "--latency-bound nan: is no positive time"),
        (
            ["--scenario", "offline", "--latency-bound", "200"],
            "--latency-bound: is for the scenario server, which is not chosen",
        ),
        (["--backend", "nonesuch"], "nonesuch"),
    ],
)
def test_loadgen_reports_bad_input_in_one_line(driven, capsys, flags, said):
    assert run(driven, *flags) == 2
    lines = capsys.readouterr().err.splitlines()
    assert said in lines[-1]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        ("x86_64", "is needed for this and is not installed; pip install 'midas-bench[load]'"),
        (
            "aarch64",
            "is needed for this and is not installed, and has no wheel for aarch64; install g++ and python3-dev, and "
            "build it with pip install mlcommons-loadgen",
        ),
    ],
)
def test_loadgen_without_its_extra_says_what_to_install(monkeypatch, capsys, machine, why):
    monkeypatch.setattr(command.loadgen.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(command.loadgen.platform, "machine", lambda: machine)
    monkeypatch.setattr(command.loadgen.sys, "platform", "linux")
    assert main(["loadgen"]) == 2
    assert capsys.readouterr().err.strip() == f"midas-bench: MLCommons LoadGen: {why}"


def test_a_model_of_ones_own_is_driven_on_ones_own_photos_and_stands_in_the_results(
    driven, own_model, own_photos, capsys
):
    flags = ["--model", str(own_model), "--size", "64x96", "--preset", "unit", "--photos", str(own_photos)]
    files = ["--logs", str(driven.logs), "--json", str(driven.json)]
    assert main(["loadgen", *flags, *files, "--accuracy", "--scenario", "offline"]) == 0
    assert "accuracy of 2 photos against onnx: " in capsys.readouterr().out
    [plan] = driven.plans
    assert [photo.file for photo in plan.photos] == ["coffee.jpg", "chelsea.jpg"]
    assert plan.config.weights.interface.shape(1) == (1, 3, 64, 96)
    [record] = read(driven.json).records
    assert record.info.weights.text.endswith(", 64x96, mean 0,0,0, std 1,1,1")
    assert record.info.weights.file == "own.onnx"


def test_each_backend_is_checked_before_the_first_is_driven(driven, own_model, capsys):
    flags = ["--model", str(own_model), "--backend", "onnx,eager", "--logs", str(driven.logs)]
    assert main(["loadgen", *flags]) == 2
    assert "backend eager: cannot run an ONNX model; choose from onnx, " in capsys.readouterr().err
    assert driven.asked == []


@pytest.mark.slow
@pytest.mark.usefixtures("graphs")
def test_onnx_is_driven_for_real(project, own_photos, monkeypatch, tmp_path, capsys):
    pytest.importorskip("mlperf_loadgen", reason="needs midas-bench[load]")
    monkeypatch.chdir(project)
    # queries enough to see that they are counted; CI's short benchmark run lasts as long as the rules say
    monkeypatch.setitem(command.RULES, "short", replace(command.RULES["short"], duration_s=0.5))
    flags = ["--backend", "onnx", "--weights", "seeded", "--accuracy", "--scenario", "single-stream,offline"]
    flags += ["--photos", str(own_photos)]
    assert main(["loadgen", *flags, "--logs", str(tmp_path / "logs"), "--json", str(tmp_path / "load.json")]) == 0
    assert "good enough" in capsys.readouterr().out
    single, offline = read(tmp_path / "load.json").records
    assert single.info.queries >= 10
    assert offline.images_per_second > 0
    assert single.info.max_relative_error < 1e-3
    for name in ("accuracy", "single-stream", "offline"):
        assert (tmp_path / "logs/onnx" / name / "mlperf_log_detail.txt").is_file()
