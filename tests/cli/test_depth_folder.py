import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from tests.depth.brightness import Brightness
from tests.full_disk import fill_disk

from midas_bench import heatmap_files
from midas_bench.cli.main import main
from midas_bench.depth.backends import registry
from midas_bench.depth.pipeline import DepthPipeline


@pytest.fixture
def opened(monkeypatch):
    """Let the command open a backend that needs no network; give the configurations it was opened with."""
    configs = []

    def open_pipeline(*, config):
        configs.append(config)
        return DepthPipeline(config, Brightness())

    monkeypatch.setattr(DepthPipeline, "open", open_pipeline)
    monkeypatch.setattr(registry, "is_prepared", lambda *_: True)
    return configs


@pytest.fixture
def depth(opened, capsys):  # noqa: ARG001
    """Run the command and return its exit code, stdout and stderr."""

    def run(*line):
        code = main(["depth", *map(str, line), "--weights", "seeded"])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path, encode):
    """Make a folder with three photos of which no two have one size, and with what needs no mention."""
    folder = tmp_path / "Füße & more"
    folder.mkdir()
    for name, height, stored_as in (("a.jpg", 20, "JPEG"), ("b é.PNG", 30, "PNG"), ("c.webp", 40, "WEBP")):
        (folder / name).write_bytes(encode(np.full((height, 50, 3), height, np.uint8), stored_as))
    (folder / ".hidden.jpg").write_text("no photo")
    (folder / "Thumbs.db").write_text("no photo either")
    return folder


def sizes(output):
    found = {}
    for path in sorted(output.glob("*")):
        if path.name != heatmap_files.NOTE:
            with Image.open(path) as image:
                found[path.name] = image.size
    return found


ALL = {"a.png": (50, 20), "b é.png": (50, 30), "c.png": (50, 40)}


def test_each_photo_of_a_folder_becomes_a_heat_map_of_its_size(depth, folder, tmp_path):
    code, out, err = depth(folder, "-o", tmp_path / "new" / "out")
    assert (code, err) == (0, "")
    assert sizes(tmp_path / "new" / "out") == ALL
    assert "out: 3 made (" in out
    assert " per second, loading the network, reading and writing included; " in out
    assert "timing only" in out


@pytest.mark.parametrize(("suffix", "format"), [("jpg", "JPEG"), ("webp", "WEBP")])
def test_the_format_can_be_chosen(depth, folder, tmp_path, suffix, format):
    assert depth(folder, "-o", tmp_path / "out", "--format", suffix)[0] == 0
    with Image.open(tmp_path / "out" / f"a.{suffix}") as heatmap:
        assert heatmap.format == format


def test_photos_stand_side_by_side_on_one_thread_each_unless_threads_are_asked_for(depth, opened, folder, tmp_path):
    depth(folder, "-o", tmp_path / "out")
    depth(folder, "-o", tmp_path / "more", "--threads", os.cpu_count())
    assert [config.threads for config in opened] == [1, os.cpu_count()]


def test_photos_of_one_name_keep_their_suffix(depth, folder, tmp_path):
    (folder / "a.png").write_bytes((folder / "b é.PNG").read_bytes())
    assert depth(folder, "-o", tmp_path / "out")[0] == 0
    assert sizes(tmp_path / "out").keys() == {"a.jpg.png", "a.png.png", "b é.png", "c.png"}


def test_photos_never_share_a_heat_map(depth, folder, tmp_path):
    for name in ("a.png", "a.jpg.png"):
        (folder / name).write_bytes((folder / "b é.PNG").read_bytes())
    assert "5 made" in depth(folder, "-o", tmp_path / "out")[1]
    assert sizes(tmp_path / "out") == {
        "a.jpg.png": (50, 20), "a.png.png": (50, 30), "a.jpg.png.png": (50, 30), "b é.PNG.png": (50, 30),
        "c.webp.png": (50, 40),
    }  # fmt: skip


def test_long_names_are_written_and_one_that_is_too_long_is_left_out(depth, folder, tmp_path):
    (folder / ("x" * 243 + ".jpg")).write_bytes((folder / "a.jpg").read_bytes())
    (folder / ("y" * 251 + ".jpg")).write_bytes((folder / "a.jpg").read_bytes())
    code, out, err = depth(folder, "-o", tmp_path / "out", "--format", "webp")
    assert code == 0
    assert "4 made" in out
    assert err.count("\n") == 1
    assert "yyy.jpg: has too long a name for its heat map; shorten it" in err
    assert sizes(tmp_path / "out").keys() == {"a.webp", "b é.webp", "c.webp", "x" * 243 + ".webp"}


def test_a_photo_of_any_name_has_its_heat_map(depth, tmp_path, encode, odd_name):
    folder = tmp_path / odd_name
    folder.mkdir()
    (folder / f"{odd_name}.jpg").write_bytes(encode(np.zeros((20, 50, 3), np.uint8), "JPEG"))
    (folder / f"x{odd_name[:90]}.jpg").write_bytes(b"")
    code, out, err = depth(folder, "-o", tmp_path / f"{odd_name[:90]}x")
    assert code == 0
    assert sizes(tmp_path / f"{odd_name[:90]}x") == {f"{odd_name}.png": (50, 20)}
    for text in (out, err):
        assert all(line.encode().decode().isprintable() for line in text.split("\n"))
    assert err.count("\n") == 1


def test_bad_photos_are_listed_and_left_out(depth, folder, tmp_path):
    (folder / "aa.jpg").write_bytes(b"")
    (folder / "z.jpg").write_bytes((folder / "a.jpg").read_bytes()[:-30])
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere")
    code, out, err = depth(folder, "-o", tmp_path / "out")
    assert code == 0
    assert sizes(tmp_path / "out") == ALL
    assert [line.split(";")[0] for line in err.splitlines()] == [
        f"midas-bench: left out: {folder / 'aa.jpg'}: is empty (0 bytes)",
        f"midas-bench: left out: {folder / 'gone.jpg'}: cannot be read (No such file or directory)",
        f"midas-bench: left out: {folder / 'z.jpg'}: is a truncated JPEG ({(folder / 'z.jpg').stat().st_size} bytes)",
    ]
    assert "3 made" in out
    assert "3 left out" in out


def test_a_heat_map_that_its_format_cannot_hold_is_listed_and_left_out(depth, folder, encode, tmp_path):
    (folder / "wide.png").write_bytes(encode(np.zeros((4, 17_000, 3), np.uint8), "PNG"))
    code, _, err = depth(folder, "-o", tmp_path / "out", "--format", "webp")
    assert code == 0
    assert err.count("\n") == 1
    assert "wide.webp: cannot hold the heat map" in err
    assert len(sizes(tmp_path / "out")) == 3


def test_a_folder_of_bad_photos_alone_is_a_failure(depth, tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"<html>")
    code, out, err = depth(folder, "-o", tmp_path / "out")
    assert code == 2
    assert "is not a JPEG, PNG or WebP" in err
    assert "0 made, 1 left out" in out


def test_depth_of_a_folder_resumes_where_it_was_interrupted(depth, opened, folder, tmp_path):
    output = tmp_path / "out"
    depth(folder, "-o", output)
    (output / "a.png").unlink()
    (output / "c.png").write_bytes((output / "c.png").read_bytes()[:-9])  # a copy that broke off
    kept = (output / "b é.png").stat()
    code, out, _ = depth(folder, "-o", output)
    assert (code, sizes(output)) == (0, ALL)
    assert "2 made" in out
    assert "1 there already" in out
    assert (output / "b é.png").stat().st_ino == kept.st_ino
    assert len(opened) == 2
    code, out, _ = depth(folder, "-o", output)
    assert code == 0
    assert "0 made, 3 there already" in out
    assert len(opened) == 2  # nothing to load a network for


def test_a_changed_photo_gets_a_new_heat_map(depth, folder, encode, tmp_path):
    output = tmp_path / "out"
    depth(folder, "-o", output)
    for name, size in (("a.jpg", (99, 50, 3)), ("c.webp", (40, 50, 3))):
        (folder / name).write_bytes(encode(np.full(size, 7, np.uint8), {"a": "JPEG", "c": "WEBP"}[name[0]]))
    os.utime(folder / "a.jpg", (1, 1))  # older than its heat map, but of another size
    os.utime(folder / "c.webp", (time.time() + 9, time.time() + 9))
    assert "2 made" in depth(folder, "-o", output)[1]
    assert sizes(output)["a.png"] == (50, 99)


def test_a_folder_of_heat_maps_never_mixes_two_networks(depth, folder, tmp_path):
    depth(folder, "-o", tmp_path / "out")
    code, _, err = depth(folder, "-o", tmp_path / "out", "--backend", "eager")
    assert code == 2
    assert "out: holds heat maps of other weights or another backend; choose another folder" in err
    (tmp_path / "out" / heatmap_files.NOTE).write_text("{")
    assert "midas-bench.json: cannot be read" in depth(folder, "-o", tmp_path / "out")[2]


def test_files_that_were_not_made_here_are_neither_taken_for_heat_maps_nor_overwritten(depth, opened, folder, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(folder, output)
    before = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}
    for suffix in ("jpg", "webp"):
        code, _, err = depth(folder, "-o", output, "--format", suffix)
        assert (code, err.count("\n")) == (2, 1)
        assert "out: holds files that were not made here; choose another folder" in err
    assert {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()} == before
    assert opened == []
    assert depth(folder, "-o", output, "--format", "png")[0] == 0  # no name of it is taken
    assert {path.name: path.read_bytes() for path in output.iterdir() if path.name in before} == before


def test_a_folder_keeps_no_note_of_a_run_that_failed_early(depth, folder, tmp_path, monkeypatch):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(DepthPipeline, "open", lambda **_: pytest.fail("broken weights"))
        with pytest.raises(pytest.fail.Exception):
            depth(folder, "-o", output)
    assert not output.exists()
    assert depth(folder, "-o", output, "--backend", "eager")[0] == 0


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (".", "holds the photos; name another folder"),
        ("a.jpg/out", "cannot be written"),
        ("out.png", "names one heat map, but"),
    ],
)
def test_an_impossible_output_folder_is_one_line(depth, folder, output, message):
    before = sorted(folder.rglob("*"))
    code, _, err = depth(folder, "-o", folder / output)
    assert code == 2
    assert err.count("\n") == 1
    assert message in err
    assert sorted(folder.rglob("*")) == before


def test_a_folder_without_photos_is_one_line(depth, opened, tmp_path):
    code, _, err = depth(tmp_path, "-o", tmp_path / "out")
    assert code == 2
    assert f"{tmp_path}: holds no photos; name a folder with JPEG, PNG" in err
    assert opened == []


def test_what_a_folder_holds_beside_photos_is_counted_and_named_in_one_line(depth, folder, left_out_files):
    line = left_out_files(folder)
    (folder / "a.jpg").rename(folder / "a.txt")
    code, out, err = depth(folder, "-o", folder / "out")
    assert (code, err) == (0, f"midas-bench: {line}\n")
    assert "3 made" in out
    assert sizes(folder / "out") == ALL
    for photo in ("a.txt", "b é.PNG", "c.webp"):
        (folder / photo).unlink()
    code, _, err = depth(folder, "-o", folder / "out")
    assert (code, err.count("\n")) == (2, 1)
    assert f"holds no photos ({line}); name a folder" in err


def test_a_full_disk_ends_the_run_over_a_folder(depth, folder, tmp_path, monkeypatch):
    fill_disk(monkeypatch)
    code, _, err = depth(folder, "-o", tmp_path / "out")
    assert code == 2
    assert "cannot be written (No space left on device)" in err
    assert sizes(tmp_path / "out") == {}


@pytest.mark.usefixtures("graphs")
def test_depth_prints_no_progress_where_standard_error_is_a_file(folder, tmp_path):
    line = ["depth", folder, "-o", tmp_path / "out", "--weights", "seeded"]
    command_line = [sys.executable, "-m", "midas_bench.cli.main", *map(str, line)]
    ran = subprocess.run(command_line, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert sizes(tmp_path / "out") == ALL
