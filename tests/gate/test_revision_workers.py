from dataclasses import replace
from unittest import mock

import pytest

from midas_bench.depth.artifacts import Artifact
from midas_bench.depth.config import PipelineConfig, Resolved
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError
from midas_bench.gate import revision_workers as sides_module
from midas_bench.gate.arms import BASE, CONTROL, HEAD, Arm, Sides
from midas_bench.gate.gate_cells import FAMILY, GateCell
from midas_bench.gate.revision_workers import as_checkpoint, fresh_python, worker_specs
from midas_bench.gate.revisions import Revision

WEIGHTS = Weights("file", "0" * 64, "/weights.pt")
SQUARE = Weights("seeded", "2" * 64)
CONFIG = Resolved(backend="onnx", threads=2, weights=WEIGHTS, cache_dir="/cache")


@pytest.fixture
def sides(photos, tmp_path):
    base, head = (Arm(name, Revision(name, None, tmp_path / name, "digest", ()), CONFIG) for name in (BASE, HEAD))
    return Sides(base, (head,), {"street": [photos["street"]]}, tmp_path)


def test_both_sides_get_the_same_but_for_their_tree(sides, photos, tmp_path):
    specs = worker_specs(sides, FAMILY)
    base, head = specs[BASE], specs[HEAD]
    assert base.pipelines == head.pipelines == specs[CONTROL].pipelines
    # the control is the base again, under a name of its own
    assert specs[CONTROL].environment["PYTHONPATH"] == base.environment["PYTHONPATH"]
    assert specs[CONTROL].environment["PYTHONPYCACHEPREFIX"] != base.environment["PYTHONPYCACHEPREFIX"]
    assert base.pipelines["b1-street"]["photos"] == [str(photos["street"].path)]
    assert base.environment["PYTHONPATH"] == str(tmp_path / "base/src")
    assert head.environment["PYTHONPATH"] == str(tmp_path / "head/src")
    assert {len(value) for arm in (base, head) for value in [arm.environment["PYTHONPATH"]]} == {
        len(str(tmp_path / "base/src"))
    }


def test_an_older_revision_is_sent_no_field_that_nobody_uses(sides):
    config = worker_specs(sides, FAMILY)[BASE].pipelines["b1-street"]["config"]
    assert config.keys() == {"threads", "weights", "cache_dir"}
    assert config["threads"] == 1
    assert PipelineConfig(**config) == PipelineConfig(threads=1, weights=WEIGHTS, cache_dir="/cache")


def test_what_is_said_of_a_model_reaches_a_revision_that_knows_no_flags_of_it(sides):
    wide = replace(WEIGHTS, source="model", interface=replace(WEIGHTS.interface, height=160))
    config = replace(CONFIG, weights=wide, model="m.onnx", model_settings=(("size", "160x256"),))
    sides = replace(sides, base=replace(sides.base, config=config))
    sent = worker_specs(sides, FAMILY)[BASE].pipelines["b1-street"]["config"]
    assert sent.keys() == {"threads", "weights", "cache_dir", "model"}
    assert PipelineConfig(**sent).weights == wide


def test_a_scene_without_photos_is_one_line(sides):
    with pytest.raises(UserError, match=r"pipeline\[onnx-b1-pet\]: has no photos: there are street"):
        worker_specs(sides, [GateCell("pipeline", scene="pet")])


def test_weights_that_are_a_file_are_loaded_by_both_sides_as_they_are(tmp_path):
    assert as_checkpoint(WEIGHTS, tmp_path) is WEIGHTS


def test_networks_of_all_sizes_share_a_checkpoint_and_keep_their_size(monkeypatch, tmp_path):
    saved = Artifact(tmp_path / "weights.pt", "1" * 64, 0.0, built_now=False)
    monkeypatch.setattr(sides_module, "artifact", lambda _, weights, __: {SQUARE: saved}[weights])
    wide = replace(SQUARE, interface=replace(SQUARE.interface, height=160))
    assert as_checkpoint(wide, tmp_path) == Weights("file", "1" * 64, str(saved.path), wide.interface)


@pytest.mark.slow
def test_dependencies_that_cannot_be_installed_are_one_line(tmp_path):
    (tmp_path / "tree").mkdir()
    revision = Revision("main", None, tmp_path / "tree", "digest", ())
    with pytest.raises(UserError, match="--fresh-env: main: its dependencies cannot be installed"):
        fresh_python(revision, {"int8"}, tmp_path / "python")


def test_a_fresh_environment_gets_the_extras_that_the_cells_need(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(sides_module.venv, "create", lambda *_, **__: None)
    monkeypatch.setattr(
        sides_module.subprocess, "run", lambda command, **_: asked.append(command[-1]) or mock.Mock(returncode=0)
    )
    revision = Revision("main", None, tmp_path, "digest", ())
    for extras in ({"openvino", "int8"}, ()):
        fresh_python(revision, extras, tmp_path / "python")
    assert asked == [f"{tmp_path}[int8,openvino]", str(tmp_path)]
