from dataclasses import replace

import pytest

from midas_bench.cpu import allowed_cores, default_threads
from midas_bench.depth import weights
from midas_bench.depth.artifacts import KINDS, key
from midas_bench.depth.config import PipelineConfig, cache_folder, check_threads, resolve
from midas_bench.depth.interface import MIDAS
from midas_bench.errors import UserError

SEEDED = PipelineConfig(weights="seeded")


def test_resolving_leaves_nothing_open(cache_dir):
    resolved = resolve(SEEDED)
    assert resolved.threads == default_threads()
    assert resolved.weights == weights.seeded()
    assert resolved.cache_dir == str(cache_dir)
    assert (resolved.backend, resolved.recipe) == ("onnx", "fast")


def test_a_resolved_configuration_resolves_to_itself():
    resolved = resolve(SEEDED)
    assert resolve(resolved) == resolved


def test_a_resolved_configuration_reaches_a_child_as_json():
    resolved = resolve(replace(SEEDED, backend="jit", threads=1, recipe="article", calibration=("a é.jpg", "b.jpg")))
    assert resolve(PipelineConfig.from_json(resolved.to_json()), environment={}) == resolved


def test_an_unresolved_configuration_survives_json():
    config = PipelineConfig(weights="~/my weights.pt", cache_dir="/cache")
    assert PipelineConfig.from_json(config.to_json()) == config


def test_an_unknown_field_in_json_is_an_error():
    with pytest.raises(TypeError, match="colour"):
        PipelineConfig.from_json('{"colour": "viridis"}')


def test_auto_asks_the_network_once_and_never_again(monkeypatch):
    asked = []

    def nobody(url):
        asked.append(url)
        raise weights.UnreachableError("no network")

    monkeypatch.setattr(weights, "_connect", nobody)
    resolved = resolve(PipelineConfig(weights="auto"))
    resolve(replace(resolved, backend="eager"))
    resolve(PipelineConfig.from_json(resolved.to_json()))
    assert len(asked) == 1
    assert resolved.weights == weights.seeded()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backend": "tpu"}, "backend 'tpu': is unknown; choose from eager, jit, onnx"),
        ({"recipe": "slow"}, "recipe 'slow': is unknown; choose from fast, article"),
        ({"threads": 0}, r"--threads 0: this process may use 1 to \d+ cores; choose a number among them"),
        ({"threads": -1}, "--threads -1: this process may use"),
        ({"threads": 9999}, "--threads 9999: this process may use"),
        ({"weights": "nowhere.pt"}, r"nowhere\.pt: no such weights file; give auto, official, seeded or the path"),
    ],
)
def test_a_value_that_cannot_be_had_is_the_users_error(fields, message):
    with pytest.raises(UserError, match=message):
        resolve(replace(SEEDED, **fields))


def test_every_allowed_number_of_threads_is_taken():
    assert [check_threads(n) for n in range(1, allowed_cores() + 1)] == list(range(1, allowed_cores() + 1))


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder({"MIDAS_BENCH_CACHE": "~/my cache"}) == tmp_path / "my cache"


def test_without_the_variable_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder({}).name == "midas-bench"
    assert cache_folder({"MIDAS_BENCH_CACHE": ""}) == cache_folder({})


def test_a_cache_named_in_the_configuration_wins(tmp_path):
    assert resolve(replace(SEEDED, cache_dir=str(tmp_path))).cache_dir == str(tmp_path)


def test_weights_beside_a_model_are_refused(tmp_path):
    with pytest.raises(UserError, match="--weights seeded: has no use beside --model; leave one of them out"):
        resolve(PipelineConfig(weights="seeded", model=str(tmp_path / "own.onnx")))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"preset": "unit"}, "--preset: is for a model of your own; name the model by --model"),
        ({"size": "160x256", "mean": "0"}, "--mean: is for a model of your own; name the model by --model"),
        ({"sizes": "160x256"}, "sizes: is for a model of your own"),
        ({"size": "252x256"}, "--size 252x256: has sides that are no multiples of 32, as MiDaS_small's are; give"),
        ({"size": "256x250"}, "--size 256x250: has sides that are no multiples of 32"),
        ({"size": "100"}, "--size 100: has sides that are no multiples of 32"),
        ({"size": "0x256"}, "--size 0x256: is no size"),
        ({"size": "auto"}, "--size auto: is no size; give height x width in pixels"),
    ],
)
def test_without_a_model_only_a_size_that_the_network_takes_can_be_said(said, message):
    with pytest.raises(UserError, match=message):
        # before the weights are looked for, which may take a download
        resolve(PipelineConfig(weights="nowhere.pt", model_settings=said))


def test_a_size_makes_another_network_of_the_same_weights():
    square, wide = resolve(SEEDED), resolve(replace(SEEDED, model_settings={"size": "160x256"}))
    assert wide.weights == replace(square.weights, interface=replace(MIDAS, height=160, width=256))
    assert wide.weights.identity != square.weights.identity
    assert wide.weights.fingerprint != square.weights.fingerprint
    assert resolve(wide) == resolve(PipelineConfig.from_json(wide.to_json())) == wide
    assert all(key(kind, wide.weights) != key(kind, square.weights) for kind in KINDS)


def test_the_usual_size_is_the_usual_network_and_finds_the_usual_graphs():
    said, unsaid = resolve(replace(SEEDED, model_settings={"size": "256x256"})), resolve(SEEDED)
    assert said.weights == unsaid.weights == weights.seeded()
    assert said.weights.fingerprint == unsaid.weights.sha256
    assert all(key(kind, said.weights) == key(kind, unsaid.weights) for kind in KINDS)


def test_what_is_said_of_a_model_reaches_a_child_in_any_order():
    said = {"size": "252x336", "mean": "0.5,0.5,0.5"}
    config = PipelineConfig(model="own.onnx", model_settings=said)
    assert PipelineConfig.from_json(config.to_json()) == config
    assert PipelineConfig(model="own.onnx", model_settings=tuple(reversed(said.items()))) == config
