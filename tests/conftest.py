from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from midas_bench.depth import weights
from midas_bench.depth.backends import registry
from midas_bench.depth.weights import Weights
from midas_bench.scenes import Photo, from_manifest

PROJECT = Path(__file__).parent.parent
NOBODY_LISTENS = "http://127.0.0.1:9/weights.pt"

COLD_ONNX = """
import json, sys
from midas_bench.depth.pipeline import DepthPipeline
with DepthPipeline.open("onnx", weights="seeded") as pipeline:
    prediction = pipeline.run([open(sys.argv[1], "rb").read()])
print(json.dumps({"modules": sorted(sys.modules), "shape": list(prediction.heatmaps[0].shape)}))
"""


@pytest.fixture(scope="session")
def project() -> Path:
    return PROJECT


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session", autouse=True)
def isolated(cache_dir: Path) -> Iterator[None]:
    """Keep every test, and the processes it starts, off the user's cache and the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDAS_BENCH_CACHE", str(cache_dir))
        patch.setenv(weights.URL_VARIABLE, NOBODY_LISTENS)
        patch.delenv(weights.SHA256_VARIABLE, raising=False)
        patch.setenv("no_proxy", "*")
        yield


@pytest.fixture(scope="session")
def cold_onnx(cache_dir: Path, photos: dict[str, Photo]) -> dict[str, list]:
    """Run ONNX in a process of its own on an empty cache: what it imported, and its heat map's shape."""
    assert not registry.is_prepared("onnx", weights.seeded(), cache_dir)
    command = [sys.executable, "-c", COLD_ONNX, str(photos["street"].path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


@pytest.fixture(scope="session")
def graphs(cold_onnx: object, cache_dir: Path) -> Path:  # noqa: ARG001 - it fills the cache
    """Give a cache that holds the graph of every backend."""
    for name in registry.select(["all"]):
        registry.prepare(name, weights.seeded(), cache_dir)
    return cache_dir


@pytest.fixture(scope="session")
def photos() -> dict[str, Photo]:
    """Give the first photo of each scene."""
    return {scene: found[0] for scene, found in from_manifest(PROJECT / "fixtures/images/manifest.toml").items()}


@pytest.fixture(scope="session")
def seeded_network():
    from midas_bench.depth.network import load_network

    return load_network(weights.seeded())


@pytest.fixture(scope="session")
def checkpoint(seeded_network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save what could be the official checkpoint: its names, but weights of our own."""
    import torch

    state = {name: tensor.clone() for name, tensor in seeded_network.state_dict().items()}
    state["scratch.layer1_rn.weight"] *= -1
    path = tmp_path_factory.mktemp("checkpoint") / "midas small.pt"
    torch.save(state, path)
    return path


@pytest.fixture(scope="session")
def checkpoint_weights(checkpoint: Path) -> Weights:
    return weights.resolve(str(checkpoint), checkpoint.parent)


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encode an array or a Pillow image: `encode(pixels, "PNG", orientation=6)`."""

    def encoded(picture: NDArray | Image.Image, format: str, *, orientation: int | None = None, **how: object) -> bytes:
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
        if orientation is not None:
            exif = Image.Exif()
            exif[0x0112] = orientation
            how["exif"] = exif
        if format == "JPEG":
            how = {"quality": 95, "subsampling": 0, **how}
        elif format == "WEBP":
            how = {"lossless": True, "exact": True, **how}
        file = io.BytesIO()
        image.save(file, format, **how)
        return file.getvalue()

    return encoded


@pytest.fixture(scope="session")
def files_in() -> Callable[[Path], list[str]]:
    """List a folder's files, hidden ones included, but not locks."""

    def listed(folder: Path) -> list[str]:
        found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
        return sorted(path.relative_to(folder).as_posix() for path in found)

    return listed
