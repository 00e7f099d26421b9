"""Which photos a calibrated backend is fitted on where nobody names any: the project's, from any folder."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from midas_bench import bundle
from midas_bench.bundle import MANIFEST
from midas_bench.depth.artifacts import key
from midas_bench.depth.backends import registry
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.weights import seeded
from midas_bench.errors import UserError
from midas_bench.scene_photos import all_photos, from_manifest, paths

CALIBRATED = [row.name for row in registry.ROWS if row.calibrated]
DAMAGED_MANIFESTS = {
    "no TOML": "photo = [",
    "no rows": "# nothing",
    "row without file": "[[photo]]\nsha256 = '00'\n",
    "row without hash": "[[photo]]\nfile = 'a.jpg'\n",
    "photo that has gone": "[[photo]]\nfile = 'gone.jpg'\nsha256 = '00'\n",
    "another photo of that name": "[[photo]]\nfile = 'a.jpg'\nsha256 = '00'\n",
}

DOORS = """
import json, sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from midas_bench.depth.backends import registry
from midas_bench.depth.calls import calls
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.pipeline import DepthPipeline

opened = []

def load(name, weights, threads, cache_dir, calibration=()):
    opened.append(calibration)
    raise InterruptedError

registry.load = load
name, *own = sys.argv[1:]
seeded = PipelineConfig(weights="seeded", calibration=tuple(map(Path, own)))
doors = [
    lambda: DepthPipeline.open(name, weights="seeded", calibration=own),
    lambda: DepthPipeline.open(config=replace(seeded, backend=name)),
    lambda: DepthPipeline.open(config=replace(resolve(seeded), backend=name)),
    lambda: calls([], backend=name, weights="seeded", calibration=own).__enter__(),
]
for door in doors:
    with suppress(InterruptedError):
        door()
print(json.dumps(opened))
"""


def opened_with(folder, *arguments):
    """Return the photos that each door of Python gives the backend, in a fresh process in that folder."""
    command = [sys.executable, "-c", DOORS, *arguments]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    doors = json.loads(ran.stdout)
    assert len(doors) == 4
    return [set(photos) for photos in doors]


@pytest.fixture
def checkout(tmp_path, encode, monkeypatch):
    """Make another checkout's folder with two photos of its own, and change into it."""
    folder = (tmp_path / MANIFEST).parent
    folder.mkdir(parents=True)
    rows = []
    for name in ("a.jpg", "b.jpg"):
        data = encode(np.full((8, 8, 3), len(rows), np.uint8), "JPEG")
        (folder / name).write_bytes(data)
        rows.append(f"[[photo]]\nfile = {name!r}\nsha256 = '{hashlib.sha256(data).hexdigest()}'\n")
    (folder / "manifest.toml").write_text("".join(rows))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.torch
@pytest.mark.parametrize("backend", CALIBRATED)
def test_every_door_of_python_takes_the_projects_photos_in_any_folder(backend, tmp_path, project):
    every = set(paths(all_photos(from_manifest(project / MANIFEST))))
    assert opened_with(tmp_path, backend) == [every] * 4


@pytest.mark.torch
def test_photos_that_are_named_are_taken_in_place_of_the_projects(tmp_path, photos):
    own = str(photos["pet"].path)
    assert opened_with(tmp_path, "onnx-int8", own) == [{own}] * 4


@pytest.mark.parametrize("backend", CALIBRATED)
def test_the_graph_is_that_of_the_command(backend, project, tmp_path, monkeypatch):
    every = paths(all_photos(from_manifest(project / MANIFEST)))
    monkeypatch.chdir(tmp_path)
    resolved = resolve(PipelineConfig(backend, weights="seeded"))
    assert key(backend, seeded(), resolved.calibration) == key(backend, seeded(), every)
    assert resolve(replace(resolved)) == resolved


def test_the_current_folders_photos_come_before_the_packages(checkout):
    resolved = resolve(PipelineConfig("onnx-int8", weights="seeded"))
    assert resolved.calibration == (str(checkout / "a.jpg"), str(checkout / "b.jpg"))


@pytest.mark.parametrize("backend", CALIBRATED)
def test_an_installation_without_the_suites_photos_names_the_list_that_is_missing(backend, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "CHECKOUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"manifest\.toml: cannot be read .*; restore it, or name another one"):
        resolve(PipelineConfig(backend, weights="seeded"))


@pytest.mark.parametrize("manifest", DAMAGED_MANIFESTS.values(), ids=DAMAGED_MANIFESTS)
def test_a_damaged_manifest_stops_only_what_is_calibrated_on_it(checkout, manifest):
    (checkout / "manifest.toml").write_text(manifest)
    with pytest.raises(UserError):
        resolve(PipelineConfig("onnx-int8", weights="seeded"))
    for backend in set(registry.REGISTRY) - set(CALIBRATED):
        assert resolve(PipelineConfig(backend, weights="seeded")).calibration == ()
    own = (str(checkout / "b.jpg"),)
    assert resolve(PipelineConfig("onnx-int8", weights="seeded", calibration=own)).calibration == own


@pytest.mark.slow
def test_python_opens_int8_with_the_graph_of_the_command(prepared, project, tmp_path, photos):
    graphs = prepared("onnx-int8")
    photo = str(photos["pet"].path)
    program = "from midas_bench.depth.pipeline import DepthPipeline; import sys\n"
    program += "with DepthPipeline.open('onnx-int8', weights='seeded') as pipeline: print(len(pipeline([sys.argv[1]])))"
    command = [sys.executable, "-m", "midas_bench.cli.main", "depth", photo, "-o", str(tmp_path / "map.png")]
    command += ["--backend", "onnx-int8", "--weights", "seeded"]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    artifacts = sorted(Path(graphs).glob("artifacts/*"))
    ran = subprocess.run([sys.executable, "-c", program, photo], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("1\n", "")
    assert sorted(Path(graphs).glob("artifacts/*")) == artifacts
