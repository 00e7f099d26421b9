from __future__ import annotations

import json
import os

import cv2
import numpy as np
import pytest

from midas_bench.cli.main import main
from midas_bench.depth.backends.registry import REGISTRY
from midas_bench.depth.calibration import project_photos
from midas_bench.depth.config import cache_folder
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.weights import URL_VARIABLE
from midas_bench.errors import UserError
from midas_bench.files import CACHE_VARIABLE
from midas_bench.measure.accuracy import compare

USERS_CACHE = cache_folder(os.environ)  # read before the tests are given a cache of their own

GOOD_ENOUGH = 0.8
"""Spearman against truth: far above chance, far below what the paper's networks reach on rendered scenes."""


def inverse_depth():
    return 1 / np.linspace(2, 40, 600).reshape(20, 30)


def test_an_estimate_that_is_right_up_to_scale_and_shift_is_perfect():
    accuracy = compare((inverse_depth() * 1234 + 56).astype(np.float32), inverse_depth())
    assert accuracy.abs_rel < 1e-4
    assert accuracy.delta_125 == 1
    assert accuracy.spearman == pytest.approx(1)


def test_an_inverted_estimate_is_ranked_the_wrong_way_round():
    assert compare((-inverse_depth()).astype(np.float32), inverse_depth()).spearman == pytest.approx(-1)


def test_accuracy_figures_match_those_computed_by_hand():
    # true depths 1, 2, 4 m; the least-squares line through (0, 1), (1, .5), (2, .25) is 0.9583 - 0.375 x
    accuracy = compare(np.array([[0.0, 1.0, 2.0]]), np.array([[1.0, 0.5, 0.25]]))
    aligned = np.maximum(0.958333 - 0.375 * np.arange(3), 0.25)
    depth, truth = 1 / aligned, np.array([1.0, 2.0, 4.0])
    assert accuracy.abs_rel == pytest.approx(np.mean(np.abs(depth - truth) / truth), rel=1e-4)
    assert accuracy.delta_125 == 1
    assert accuracy.spearman == -1


def test_points_estimated_at_twice_their_distance_are_outside_of_delta():
    truth = np.tile(np.linspace(1, 2, 100), (100, 1))
    guess = truth.copy()
    guess[0, ::10] /= 2  # ten of ten thousand: the fit hardly moves
    # cut at the farthest true point, 1 / m, seven of the ten are off by more than a quarter: 1.3 to 1.9
    assert compare(guess, truth).delta_125 == pytest.approx(0.9993)


def test_accuracy_ignores_sky_pixels():
    truth = inverse_depth()
    truth[0] = 0
    guess = inverse_depth()
    guess[0] = 99
    assert compare(guess, truth).abs_rel < 1e-9
    with pytest.raises(ValueError, match="nothing but sky"):
        compare(guess, np.zeros_like(guess))


def test_accuracy_refuses_maps_of_different_shapes():
    with pytest.raises(ValueError, match="differ in shape"):
        compare(np.zeros((2, 3)), np.zeros((3, 2)))


def test_seeded_weights_cannot_be_judged(capsys, project, monkeypatch):
    monkeypatch.chdir(project)
    assert main(["accuracy", "--weights", "seeded", "--backend", "onnx", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["judged"] is False
    assert {row["file"] for row in document["rows"]} >= {"street_a.jpg", "indoor_a.jpg"}


def test_the_graph_that_is_judged_is_the_one_that_is_deployed(project, monkeypatch, all_photos):
    opened = []

    def open_pipeline(*, config):
        opened.append(config)
        raise UserError("the network", "is not needed here", "look at its configuration")

    monkeypatch.chdir(project)
    monkeypatch.setattr(DepthPipeline, "open", open_pipeline)
    assert main(["accuracy", "--weights", "seeded", "--backend", "onnx-int8"]) == 2
    assert set(opened[0].calibration) == set(project_photos())
    assert len(opened[0].calibration) == len(all_photos)


def test_a_manifest_without_depth_is_refused(capsys, tmp_path, photos):
    photo = photos["pet"]
    (tmp_path / "pet.jpg").write_bytes(photo.data)
    (tmp_path / "manifest.toml").write_text(
        f'[[photo]]\nscene = "pet"\nfile = "pet.jpg"\nsource = "x"\nauthor = "x"\nlicence = "x"\n'
        f'width = {photo.width}\nheight = {photo.height}\nsha256 = "{photo.sha256}"\n'
    )
    assert main(["accuracy", "--weights", "seeded", "--manifest", str(tmp_path / "manifest.toml")]) == 2
    assert "names no photo with true depth" in capsys.readouterr().err


def test_true_depth_is_one_over_metres_at_half_size(rendered):
    truth = rendered.true_inverse_depth()
    assert truth.shape == (rendered.height // 2, rendered.width // 2)
    values = cv2.imread(str(rendered.depth), cv2.IMREAD_UNCHANGED)
    assert truth.max() == pytest.approx(values.max() * rendered.depth_scale)
    nearest_m, farthest_m = 1 / truth.max(), 1 / truth[truth > 0].min()
    assert 0.3 < nearest_m < 5
    assert farthest_m > 5


def test_a_missing_depth_file_is_named(rendered, tmp_path):
    from dataclasses import replace

    with pytest.raises(UserError, match="missing or not a 16-bit grey PNG"):
        replace(rendered, depth=tmp_path / "gone.png").true_inverse_depth()
    with pytest.raises(UserError, match="has no true depth"):
        replace(rendered, depth=None).true_inverse_depth()


@pytest.fixture
def rendered(all_photos):
    return next(photo for photo in all_photos if photo.depth)


@pytest.fixture(scope="session")
def all_photos(project):
    from midas_bench.scene_photos import from_manifest

    scenes = from_manifest(project / "fixtures/images/manifest.toml")
    return [photo for scene in scenes.values() for photo in scene]


@pytest.mark.official
@pytest.mark.parametrize("backend", REGISTRY)
def test_official_weights_rank_depth_as_the_truth_does(backend, capsys, project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.delenv(URL_VARIABLE)  # this one test needs the real address, and the user's own cache
    monkeypatch.setenv(CACHE_VARIABLE, str(USERS_CACHE))
    assert main(["accuracy", "--weights", "official", "--backend", backend, "--json"]) == 0
    for row in json.loads(capsys.readouterr().out)["rows"]:
        assert row["spearman"] > GOOD_ENOUGH, row
