"""Which photos a folder, a pattern or an address names, and what their heat maps are called."""

import json

import numpy as np
import pytest

from midas_bench import heatmap_files
from midas_bench.errors import UserError
from midas_bench.fleet import places


@pytest.fixture
def picture(encode):
    return encode(np.full((20, 50, 3), 9, np.uint8), "JPEG")


@pytest.fixture
def folder(tmp_path, picture):
    folder = tmp_path / "photos"
    for name in ("a.jpg", "a.png", "b.jpg", "deep/a.jpg", "deep/er/c.jpg", "notes.txt", ".hidden.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture if name.endswith("g") else b"text")
    return folder


def named(rows, photos, output):
    return {photo.removeprefix(f"{photos}/"): heatmap.removeprefix(f"{output}/") for photo, heatmap in rows}


def test_a_folder_is_what_it_is_without_ray(folder, tmp_path):
    warned, expected_warnings = [], []
    rows = places.tasks(str(folder), str(tmp_path / "out"), ".png", warned.append)
    expected = heatmap_files.tasks(folder, tmp_path / "out", ".png", expected_warnings.append)
    assert rows == [(str(task.photo), str(task.heatmap)) for task in expected]
    assert [places.task(*row) for row in rows] == expected
    assert warned == expected_warnings != []


def test_a_pattern_keeps_the_folders_below_its_beginning(folder, tmp_path):
    warned = []
    rows = places.tasks(f"{folder}/**/*", str(tmp_path / "out"), ".png", warned.append)
    assert named(rows, folder, tmp_path / "out") == {
        "a.jpg": "a.jpg.png", "a.png": "a.png.png", "b.jpg": "b.png", "deep/a.jpg": "deep/a.png",
        "deep/er/c.jpg": "deep/er/c.png",
    }  # fmt: skip
    assert warned == ["left out: 1 video or other: notes.txt"]


def test_a_pattern_takes_no_heat_map_for_a_photo(folder, picture):
    before = places.tasks(f"{folder}/**/*.*g", f"{folder}/out", ".png", lambda _: None)
    for _, heatmap in before:
        places.write(heatmap, picture)
    assert places.tasks(f"{folder}/**/*.*g", f"{folder}/out", ".png", lambda _: None) == before


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path, picture):
    folder = tmp_path / "photos [1]"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(picture)
    assert len(places.tasks(str(folder), str(tmp_path / "out"), ".png", lambda _: None)) == 1


@pytest.mark.parametrize("pattern", ["", "/**/*"])
def test_an_address_is_read_by_the_ending_of_its_files(folder, tmp_path, pattern):
    warned = []
    rows = places.tasks(f"file://{folder}{pattern}", f"file://{tmp_path}/out", ".webp", warned.append)
    deeper = {"deep/a.jpg": "deep/a.webp", "deep/er/c.jpg": "deep/er/c.webp"} if pattern else {}
    assert named(rows, f"file://{folder}", f"file://{tmp_path}/out") == {
        "a.jpg": "a.jpg.webp", "a.png": "a.png.webp", "b.jpg": "b.webp", **deeper,
    }  # fmt: skip
    assert warned == ["left out: 1 video or other: notes.txt"]


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ("{folder}/none", "none: no such folder; name a folder, or leave out --ray for one photo"),
        ("{folder}/a.jpg", "a.jpg: is a photo; name a folder, or leave out --ray for one photo"),
        ("{folder}/*.gif", r"\*.gif: holds no photos; name a folder with JPEG"),
        ("file://{folder}/none", "none: cannot be read"),
        ("nosuch://bucket/photos", "nosuch://bucket/photos: cannot be reached"),
        ("file://{out}", "out: holds the photos; name another folder"),
        ("{out}", "out: holds the photos; name another folder"),
    ],
)
def test_a_place_without_photos_is_one_line(folder, tmp_path, photos, message):
    out = tmp_path / "out"
    out.mkdir()
    output = f"file://{out}" if "file:" in photos else str(out)
    with pytest.raises(UserError, match=message):
        places.tasks(photos.format(folder=folder, out=out), output, ".png", lambda _: None)


def test_a_file_at_an_address_has_its_name_when_it_is_whole(monkeypatch):
    files, _ = places._opened("memory://x")
    place = "memory://out/deep/a.png"
    places.write(place, b"first")
    with monkeypatch.context() as patch:
        patch.setattr(files, "mv", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(UserError, match=r"cannot be reached .*No space left"):
            places.write(place, b"second")
    assert files.cat_file("/out/deep/a.png") == b"first"
    places.write(place, b"third")
    assert files.cat_file("/out/deep/a.png") == b"third"
    assert files.find("/out") == ["/out/deep/a.png"]


def test_heat_maps_at_an_address_have_a_note_of_their_network(seeded_config):
    output = "memory://noted"
    assert not places.check_note(output, seeded_config)
    places.leave_note(output, seeded_config)
    assert places.check_note(output, seeded_config)
    places.write(places.joined(output, heatmap_files.NOTE), json.dumps({"backend": "other"}).encode())
    with pytest.raises(UserError, match="holds heat maps of other weights or another backend"):
        places.check_note(output, seeded_config)


def test_what_is_there_already_is_found_on_both_sides(tmp_path, picture):
    (tmp_path / "a.png").write_bytes(picture)
    places.write("memory://there/a.png", picture)
    for output in (str(tmp_path), "memory://there"):
        heatmaps = [places.joined(output, name) for name in ("a.png", "b.png")]
        assert places.existing(output, heatmaps) == {heatmaps[0]}


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    names = ("a.png", ".a.png.x1y2_z.tmp", ".b.png.x1y2_z.tmp", ".other.tmp", "c.tmp", f".{'l' * 60}.abcd.tmp")
    for name in names:
        (tmp_path / name).touch()
    places.remove_temporaries([str(tmp_path / "a.png"), str(tmp_path / f"{'l' * 90}.png"), "s3://bucket/b.png"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        {*names} - {".a.png.x1y2_z.tmp", f".{'l' * 60}.abcd.tmp"}
    )
