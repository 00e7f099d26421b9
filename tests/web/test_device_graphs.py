"""Which graphs browsers get, and which networks they cannot run."""

from dataclasses import replace

import onnx
import pytest
from tests.depth.own_networks import network

from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError
from midas_bench.web import assets, device_graphs
from midas_bench.web.device_graphs import open_device_files

MAX_PIXELS = 1000


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Resolve a small network of a user's own, with the browser's files said to be there."""
    monkeypatch.setattr(assets, "require", lambda cache_dir: cache_dir / "assets")
    path = tmp_path / "own.onnx"
    onnx.save(network((1, 3, 64, 96), (1, 64, 96)), path)
    return resolve(PipelineConfig("onnx", threads=1, model=str(path), cache_dir=str(tmp_path / "cache")))


def refused(pipeline):
    with pytest.raises(UserError) as caught:
        open_device_files(pipeline, MAX_PIXELS, print)
    return str(caught.value)


def test_without_the_files_the_command_that_fetches_them_is_named(tmp_path):
    pipeline = resolve(PipelineConfig(threads=1, weights=Weights("seeded", "0" * 64), cache_dir=str(tmp_path)))
    assert refused(pipeline).endswith("fetch them once: midas-bench web-assets")


def test_a_model_without_an_int8_graph_is_offered_as_it_is_and_the_reason_is_told(own, monkeypatch):
    graph = device_graphs._graph

    def failing(pipeline, backend, progress):
        if backend == "onnx-int8":
            raise UserError("the int8 graph", "could not be made", "leave it out")
        return graph(pipeline, backend, progress)

    monkeypatch.setattr(device_graphs, "_graph", failing)
    told = []
    files = open_device_files(own, MAX_PIXELS, told.append)
    assert {name: str(path) for name, path in files.graphs.items()} == {"fp32": own.weights.path}
    assert told == ["no int8 graph for browsers: the int8 graph: could not be made; leave it out"]
    assert files.interface == own.weights.interface
    assert files.max_pixels == MAX_PIXELS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda weights: replace(weights, external=("weights.bin",)), "has its weights in further files"),
        (
            lambda weights: replace(weights, interface=replace(weights.interface, dtype="float16")),
            "takes float16, which browsers do not have; export it with an input of float32 or uint8",
        ),
    ],
)
def test_a_network_that_browsers_cannot_run_is_refused(own, change, reason):
    assert reason in refused(replace(own, weights=change(own.weights)))


@pytest.mark.slow
def test_an_own_network_gets_both_graphs(own):
    files = open_device_files(own, MAX_PIXELS, print)
    assert list(files.graphs) == ["fp32", "int8"]
    assert files.graphs["int8"] != files.graphs["fp32"]
    assert [one["name"] for one in files.settings["models"]] == ["fp32", "int8"]
