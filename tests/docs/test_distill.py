"""The recipe of docs/distill.md is run as it stands there: its loss falls, and its student runs everywhere."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from midas_bench.cli.main import main
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.measure import students, tune

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs/distill.md"
MOST_LINES = 100
STEPS = 12
read = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("pages.py"))))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Save the page's only Python as the page says."""
    [code] = read.code_blocks(PAGE, "python")
    path = tmp_path_factory.mktemp("distil") / "distill.py"
    path.write_text(code)
    return path


@pytest.fixture(scope="module")
def printed(recipe, graphs):
    """Distil the seeded MiDaS_small on the project's photos for a few steps, and return what that printed."""
    del graphs
    command = [sys.executable, "-m", "distill", "seeded", str(PROJECT / "fixtures/images"), "student.onnx", str(STEPS)]
    ran = subprocess.run(command, cwd=recipe.parent, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def student(recipe, printed):
    del printed
    return str(recipe.parent / "student.onnx")


def test_the_recipe_is_short(recipe):
    assert len(recipe.read_text().splitlines()) < MOST_LINES


@pytest.mark.slow
def test_the_loss_falls(printed):
    losses = [float(value) for value in re.findall(r"loss (\d+\.\d+)", printed)]
    assert len(losses) == STEPS
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


@pytest.mark.slow
def test_the_student_says_itself_how_it_is_fed(student, capsys):
    assert {entry.key: entry.value for entry in onnx.load(student).metadata_props}["midas_bench.preset"] == "midas"
    assert main(["model", student]) == 0
    out = capsys.readouterr().out
    assert "assumed" not in out
    assert "a map of 256x256" in out


@pytest.mark.slow
def test_the_student_gives_a_map_for_each_photo_of_a_batch(student, photos):
    with DepthPipeline.open("onnx", model=student) as pipeline:
        both = pipeline.run([photos["pet"].data, photos["street"].data]).depth
        alone = pipeline.run([photos["street"].data]).depth[0]
    assert both.shape == (2, 256, 256)
    np.testing.assert_allclose(both[1], alone, atol=1e-4 * np.ptp(alone))


@pytest.mark.slow
def test_the_student_runs_in_the_commands(student, photos, tmp_path, monkeypatch, capsys):
    # how many passes there are, scripted ones test
    monkeypatch.setattr(students, "MOST_PASSES", 1)
    monkeypatch.setattr(tune, "LOOK_PASSES", 1)
    monkeypatch.setattr(tune, "MOST_PASSES", 1)
    heatmap = tmp_path / "heatmap.png"
    assert main(["depth", str(photos["pet"].path), "-o", str(heatmap), "--model", student]) == 0
    assert heatmap.is_file()
    capsys.readouterr()
    flags = ["--model", student, "--teacher", "seeded", "--backend", "onnx", "--budget", "30s", "--threads", "1"]
    assert main(["accuracy", *flags, "--json", "-o", str(tmp_path / "accuracy")]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["judged"] is False
    by_model = {row["model"]: row for row in document["students"]}
    teacher, ours = by_model["MiDaS_small seeded"], by_model["student.onnx"]
    assert ours["rank_correlation"] < teacher["rank_correlation"] == 1
    assert ours["parameters"] < teacher["parameters"] / 5
    assert ours["file_bytes"] < teacher["file_bytes"] / 5
    assert min(row["peak_rss_bytes"] for row in by_model.values()) > 50 << 20
    assert min(row["passes"] for row in by_model.values()) >= 1
    assert (tmp_path / "accuracy/charts/speed-against-fidelity.svg").is_file()
    flags = ["--model", student, "--backend", "onnx", "--threads", "1", "--budget", "30s", "-o", str(tmp_path / "tune")]
    assert main(["tune", *flags]) == 0
    # which of its set-ups is the fastest, a disturbed machine cannot say
    assert "least memory: onnx " in capsys.readouterr().out


@pytest.mark.slow
def test_the_student_runs_in_the_benchmarks(student):
    command = [sys.executable, "-m", "pytest", "bench/", "--quick", "--model", student, "--backend", "onnx", "-q"]
    # two passes over the cells, for more would settle only what they cost
    ran = subprocess.run(
        [*command, "--budget", "1s", "-p", "no:cacheprovider"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "pipeline[onnx-b1-street]" in ran.stdout
