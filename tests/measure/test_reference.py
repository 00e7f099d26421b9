import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from midas_bench.depth import artifacts
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.weights import Weights
from midas_bench.measure import reference
from midas_bench.measure.fidelity import fidelity
from midas_bench.measure.reference import Reference
from midas_bench.processes import ProcessDiedError
from midas_bench.scene_photos import Photo


@pytest.fixture
def config(tmp_path):
    return resolve(PipelineConfig("onnx", 1, "seeded", cache_dir=str(tmp_path / "cache")))


@pytest.fixture
def asked(monkeypatch):
    """Stand for the child: each photo's depth is filled with the length of its name."""
    requests = []

    def ask(module, request, timeout_s):
        assert module == "midas_bench.measure.isolated_tasks"
        assert timeout_s >= 60
        requests.append(request)
        for photo, output in zip(request["photos"], request["outputs"], strict=True):
            np.save(output, np.full((256, 256), len(Path(photo).name), np.float32))
        return {}

    monkeypatch.setattr(reference, "ask", ask)
    return requests


def photo(name):
    return Photo("street", name, b"", 1, 1, f"hash of {name}", Path("/photos") / name)


A, BB = photo("a"), photo("bb")


def test_depth_comes_in_the_order_of_the_photos_repeated_ones_included(config, asked):
    depth = Reference(config).depth([BB, A, BB])
    assert depth.shape == (3, 256, 256)
    assert depth[:, 0, 0].tolist() == [2, 1, 2]
    assert asked[0]["photos"] == ["/photos/bb", "/photos/a"]


def test_eager_computes_the_reference_whatever_backend_is_measured(config, asked):
    Reference(config).prepare([A])
    [request] = asked
    assert request["task"] == "reference"
    assert json.loads(request["config"])["backend"] == "eager"
    assert json.loads(request["config"])["weights"]["sha256"] == config.weights.sha256


def test_a_cached_reference_is_not_computed_again(config, asked):
    Reference(config).prepare([A])
    assert Reference(config).lacking([A, BB, BB]) == [BB]
    Reference(config).prepare([A, BB])
    assert [request["photos"] for request in asked] == [["/photos/a"], ["/photos/bb"]]
    Reference(replace(config, threads=1, backend="jit")).prepare([A, BB])
    assert len(asked) == 2


@pytest.mark.parametrize("what", ["weights", "recipe", "photo", "libraries"])
def test_each_input_of_a_reference_is_part_of_its_cache_key(config, asked, monkeypatch, what):
    Reference(config).prepare([A])
    again, changed = A, config
    if what == "weights":
        changed = replace(config, weights=replace(config.weights, sha256="0" * 64))
    elif what == "recipe":
        changed = replace(config, recipe="article")
    elif what == "photo":
        again = replace(A, sha256="another")
    else:
        monkeypatch.setattr(reference, "library_versions", lambda _: {"torch": "another"})
    Reference(changed).prepare([again])
    assert len(asked) == 2


DEPTH_FOLDER = Path(artifacts.__file__).parent
MODULES = sorted(path.relative_to(DEPTH_FOLDER).as_posix() for path in DEPTH_FOLDER.rglob("*.py"))


@pytest.mark.parametrize(
    "name",
    [*(f"depth/{name}" for name in MODULES), "depth/new.py", "measure/reference.py", "measure/isolated_tasks.py"],
)
def test_an_edit_of_any_source_that_decides_a_reference_computes_it_again(config, asked, monkeypatch, tmp_path, name):
    package = tmp_path / "midas_bench"
    for module, folder in ((artifacts, "depth"), (reference, "measure")):
        copied = shutil.copytree(Path(module.__file__).parent, package / folder)
        monkeypatch.setattr(module, "__file__", str(copied / Path(module.__file__).name))
    Reference(config).prepare([A])
    with (package / name).open("a") as file:
        file.write("# edited\n")
    Reference(config).prepare([A])
    assert len(asked) == 2


def test_another_onnx_runtime_computes_a_users_own_models_reference_again(config, asked, monkeypatch):
    own = replace(config, weights=Weights("model", "1" * 64, "own.onnx"))
    Reference(own).prepare([A])
    versions = reference.library_versions(artifacts.LIBRARIES) | {"onnxruntime": "another"}
    monkeypatch.setattr(reference, "library_versions", lambda _: versions)
    Reference(own).prepare([A])
    assert len(asked) == 2


def test_a_child_that_dies_leaves_nothing_in_the_cache(config, monkeypatch, files_in):
    def ask(_, request, __):
        np.save(request["outputs"][0], np.zeros((256, 256), np.float32))
        raise ProcessDiedError("killed by SIGKILL")

    monkeypatch.setattr(reference, "ask", ask)
    with pytest.raises(ProcessDiedError):
        Reference(config).prepare([A, BB])
    assert files_in(Path(config.cache_dir)) == []


def test_a_users_own_model_is_compared_with_onnx_runtime(config, asked):
    model = replace(config, backend="openvino", weights=Weights("model", "1" * 64, "own.onnx"))
    Reference(model).prepare([A])
    [request] = asked
    assert json.loads(request["config"])["backend"] == "onnx"
    assert Reference(config).backend == "eager"


@pytest.mark.slow
def test_a_child_computes_what_eager_gives_here(graphs, photos):
    from midas_bench.depth.pipeline import DepthPipeline

    config = resolve(PipelineConfig("onnx", 1, "seeded", cache_dir=str(graphs)))
    depth = Reference(config).depth([photos["pet"]])
    with DepthPipeline.open(config=replace(config, backend="eager")) as pipeline:
        here = pipeline.run([photos["pet"].data]).depth
    assert fidelity(here, depth).max_relative_error < 1e-4
