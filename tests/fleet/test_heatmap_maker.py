"""One process's part in bulk depth, without Ray and without a network."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.depth.brightness import Brightness
from tests.full_disk import fill_disk

from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError
from midas_bench.fleet import bulk_depth, places
from midas_bench.fleet.bulk_depth import FAILED, KEPT, LEFT_OUT, MADE, HeatmapMaker
from midas_bench.heatmap_files import NOTE


@pytest.fixture
def opened(monkeypatch):
    """Open a backend that needs no network; give the cores that it was opened for."""
    opened_for = []

    def open_pipeline(*, config, cores):
        opened_for.append(cores)
        return DepthPipeline(config, Brightness(), cores)

    monkeypatch.setattr(DepthPipeline, "open", open_pipeline)
    return opened_for


@pytest.fixture
def photos(tmp_path, encode):
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(encode(np.full((20, 30 + number, 3), 40 * number, np.uint8), "JPEG"))
    return tmp_path


@pytest.fixture
def maker(seeded_config, opened, tmp_path):  # noqa: ARG001
    return HeatmapMaker(seeded_config.to_json(), 3, str(tmp_path / "out"))


def tasks_of(folder, names, scheme=""):
    return [places.task(f"{scheme}{folder}/{name}", f"{scheme}{folder}/out/{name}.png") for name in names]


NAMES = [f"{number}.jpg" for number in range(5)]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_process_makes_what_is_missing_and_lists_what_cannot_be_used(maker, opened, photos, scheme):
    (photos / "1.jpg").write_bytes(b"")
    (photos / "2.jpg").unlink()
    (photos / "4.jpg").write_bytes(b"<html>")
    outcomes = maker.outcomes(tasks_of(photos, NAMES, scheme))
    assert [status for status, _ in outcomes] == [MADE, LEFT_OUT, LEFT_OUT, MADE, LEFT_OUT]
    reasons = [error.reason.partition(" (")[0] for _, error in outcomes if error]
    assert reasons == ["is empty", "cannot be read", "is not a JPEG, PNG or WebP"]
    assert [error.thing for _, error in outcomes if error] == [f"{scheme}{photos}/{n}.jpg" for n in (1, 2, 4)]
    assert sorted(path.name for path in (photos / "out").iterdir()) == ["0.jpg.png", "3.jpg.png", NOTE]
    assert opened == [3]


def test_a_second_attempt_at_a_block_keeps_what_was_made(maker, opened, photos):
    tasks = tasks_of(photos, NAMES)
    assert {status for status, _ in maker.outcomes(tasks[:2])} == {MADE}
    kept = [task.heatmap.stat().st_ino for task in tasks[:2]]
    assert [status for status, _ in maker.outcomes(tasks)] == [KEPT, KEPT, MADE, MADE, MADE]
    assert [task.heatmap.stat().st_ino for task in tasks[:2]] == kept
    assert len(opened) == 1


def test_nothing_is_opened_where_nothing_is_missing(maker, opened, photos, seeded_config):
    tasks = tasks_of(photos, NAMES)
    maker.outcomes(tasks)
    assert {status for status, _ in HeatmapMaker(seeded_config.to_json(), 3, None).outcomes(tasks)} == {KEPT}
    assert len(opened) == 1


@pytest.mark.parametrize("bad", [{0, 1, 2, 3, 4}, {0}, {4}, {1, 2}, {0, 2, 4}])
def test_errors_of_reading_stand_at_their_photos_places(maker, photos, bad):
    for number in bad:
        (photos / f"{number}.jpg").unlink()
    statuses = [status for status, _ in maker.outcomes(tasks_of(photos, NAMES, "file://"))]
    assert statuses == [LEFT_OUT if number in bad else MADE for number in range(5)]


def test_a_full_disk_concerns_all_photos(maker, photos, monkeypatch):
    fill_disk(monkeypatch)
    outcomes = maker.outcomes(tasks_of(photos, NAMES))
    assert {status for status, _ in outcomes} == {FAILED}
    assert all("No space left on device" in str(error) for _, error in outcomes)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_block_may_mix_formats(maker, photos, scheme):
    names = [f"{scheme}{photos}/out/{number}.{suffix}" for number, suffix in enumerate(("png", "jpg", "WEBP", "PNG"))]
    tasks = [places.task(f"{scheme}{photos}/{number}.jpg", name) for number, name in enumerate(names)]
    assert {status for status, _ in maker.outcomes(tasks)} == {MADE}
    for number, name in enumerate(names):
        with Image.open(name.removeprefix(scheme)) as heatmap:
            assert (heatmap.format, heatmap.mode, heatmap.size) == (
                *(("PNG", "P"), ("JPEG", "RGB"), ("WEBP", "RGB"), ("PNG", "P"))[number], (30 + number, 20),
            )  # fmt: skip


def test_pictures_are_those_of_the_same_photo_at_an_address(maker, photos):
    maker.outcomes(tasks_of(photos, NAMES))
    by_path = {path.name: path.read_bytes() for path in (photos / "out").glob("*.png")}
    for path in (photos / "out").iterdir():
        path.unlink()
    maker.outcomes(tasks_of(photos, NAMES, "file://"))
    assert {path.name: path.read_bytes() for path in (photos / "out").glob("*.png")} == by_path
    assert len(by_path) == 5


def test_weights_that_are_not_on_a_machine_are_one_line(seeded_config, tmp_path):
    missing = replace(seeded_config, weights=Weights("file", "0" * 64, str(tmp_path / "model.pt")))
    with pytest.raises(UserError, match=r"model\.pt: these weights are not on .*; put them there on every machine"):
        bulk_depth.on_this_machine(missing)
    (tmp_path / "model.pt").write_bytes(b"others of the same name")
    with pytest.raises(UserError, match="these weights are not on"):
        bulk_depth.on_this_machine(missing)


def test_a_machine_without_the_others_cache_takes_its_own(seeded_config, cache_dir, tmp_path):
    elsewhere = replace(seeded_config, cache_dir=str(tmp_path / "none"), calibration=("/nowhere/a.jpg",))
    here = bulk_depth.on_this_machine(elsewhere)
    assert here.cache_dir == str(cache_dir)
    assert here.calibration
    assert "/nowhere/a.jpg" not in here.calibration
