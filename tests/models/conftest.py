"""Models as users bring them: networks of transformers, exported once, and three that are made by hand."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import pytest
from PIL import Image
from tests.depth.own_networks import network

from midas_bench.files import locked, sha256_of

NETWORKS = Path(__file__).with_name("networks.py")
TRANSFORMERS = {
    "depth_anything_518": {"preset": "imagenet"},
    "depth_anything_252": {"preset": "imagenet", "size": "252x336"},
    "dpt_swin_256": {"mean": "0.5", "std": "0.5"},
    "glpn": {"preset": "unit", "meaning": "depth", "size": "192x256"},
}
"""By name, what a user has to say of each."""

HALF = "half_precision_in_two_files"
HAND_MADE: dict[str, tuple[Any, dict[str, str]]] = {
    "channels_last_uint8": (network((1, 96, 128, 3), (1, 96, 128, 1), "uint8"), {}),
    HALF: (network(("n", 3, 128, 128), ("n", 128, 128), "float16"), {}),
    "fixed_batch_two_outputs": (
        network((1, 3, 96, 128), (1, 1, 24, 32), second=(1, 1, 24, 32)),
        {"output": "depth", "preset": "unit"},
    ),
}
NAMES = (*TRANSFORMERS, *HAND_MADE)


@dataclass(frozen=True)
class Model:
    """A model's file, beside which a TOML file says the settings."""

    path: str
    settings: dict[str, str]


@pytest.fixture(scope="session")
def exported(request: pytest.FixtureRequest) -> Path:
    """Give a folder of transformers' networks, which pytest's own cache keeps for the next run."""
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("needs the extra [models]")
    kept: Path = request.config.cache.mkdir("models")
    made_of = {name: version(name) for name in ("torch", "transformers", "onnxscript")}
    made_of["sources"] = sha256_of(NETWORKS)
    note = kept / "made_of.json"
    with locked(kept.with_suffix(".lock")):
        if not note.exists() or json.loads(note.read_text()) != made_of:
            shutil.rmtree(kept)
            kept.mkdir()
            ran = subprocess.run([sys.executable, NETWORKS, kept], capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stderr
            note.write_text(json.dumps(made_of))
    return kept


@pytest.fixture(scope="session")
def models(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """Give all models by name."""
    folder = tmp_path_factory.mktemp("models")
    for file in exported.glob("*.onnx*"):
        (folder / file.name).symlink_to(file)
    for name, (made, _) in HAND_MADE.items():
        path = folder / f"{name}.onnx"
        copied = onnx.ModelProto()
        copied.CopyFrom(made)
        onnx.save(copied, path, save_as_external_data=name == HALF, location=f"{path.name}.data", size_threshold=100)
    found = {}
    for name, settings in {**TRANSFORMERS, **{name: settings for name, (_, settings) in HAND_MADE.items()}}.items():
        path = folder / f"{name}.onnx"
        path.with_suffix(".toml").write_text("".join(f'{key} = "{value}"\n' for key, value in settings.items()))
        found[name] = Model(str(path), settings)
    return found


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, models: dict[str, Model]) -> Model:
    """Give each model in turn."""
    return models[request.param]


@pytest.fixture(scope="session")
def small_photos(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """Give a folder with one scene of one small photo, for commands that would measure on many."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "street").mkdir()
    with Image.open(project / "fixtures/images/china.jpg") as photo:
        photo.resize((320, 214)).save(folder / "street/china.jpg")
    return folder
