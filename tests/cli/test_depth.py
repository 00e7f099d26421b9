import hashlib
import http.server
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from midas_bench import bundle
from midas_bench.cli.main import main
from midas_bench.depth import weights
from midas_bench.depth.artifacts import artifact

STAGES = ("decode", "preprocess", "inference", "heatmap")


@pytest.fixture
def photo(photos):
    return photos["pet"].path


@pytest.fixture
def size(photos):
    return photos["pet"].width, photos["pet"].height


@pytest.fixture
def depth(graphs, capsys):  # noqa: ARG001 - the graphs stand in the cache
    """Run the command and return its exit code, stdout and stderr."""

    def run(*line):
        code = main(["depth", *map(str, line)])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    "backend", ["onnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("eager", "jit"))]
)
def test_depth_writes_a_heat_map_of_the_photos_size_and_prints_the_stages(depth, photo, size, tmp_path, backend):
    output = tmp_path / "out.png"
    code, out, err = depth(photo, "-o", output, "--backend", backend, "--weights", "seeded")
    assert (code, err) == (0, "")
    with Image.open(output) as heatmap:
        assert (heatmap.format, heatmap.mode, heatmap.size) == ("PNG", "P", size)
        colours = {tuple(colour) for colour in np.asarray(heatmap.convert("RGB")).reshape(-1, 3).tolist()}
    assert {(0, 0, 4), (252, 255, 164)} <= colours
    assert [line.split()[0] for line in out.splitlines() if line.endswith(" ms")] == [*STAGES, "write"]
    assert f"{output}: {size[0]}x{size[1]}, {backend}, " in out
    assert re.search(
        r"all stages +\S+ ms \(first call \S+ ms\), without reading the photo and writing the heat map\n", out
    )
    assert "timing only" in out


@pytest.mark.parametrize(("name", "format"), [("out.jpg", "JPEG"), ("OUT.JPEG", "JPEG"), ("out.webp", "WEBP")])
def test_the_suffix_decides_the_format(depth, photo, size, tmp_path, name, format):
    assert depth(photo, "-o", tmp_path / name, "--weights", "seeded")[0] == 0
    with Image.open(tmp_path / name) as heatmap:
        assert (heatmap.format, heatmap.size) == (format, size)


def test_paths_may_hold_spaces_and_any_letters_and_new_folders_are_made(depth, photo, size, tmp_path):
    copy = tmp_path / "Füße & 写真 of mine.jpg"
    copy.write_bytes(photo.read_bytes())
    output = tmp_path / "new folder" / "tief é.png"
    code, out, err = depth(copy, "-o", output, "--weights", "seeded", "--threads", "1")
    assert (code, err) == (0, "")
    assert "1 threads" in out
    with Image.open(output) as heatmap:
        assert heatmap.size == size


def test_a_photo_taken_sideways_is_mapped_upright(depth, encode, tmp_path):
    sideways = tmp_path / "sideways.png"
    sideways.write_bytes(encode(np.zeros((20, 30, 3), np.uint8), "PNG", orientation=6))
    assert depth(sideways, "-o", tmp_path / "out.png", "--weights", "seeded")[0] == 0
    with Image.open(tmp_path / "out.png") as heatmap:
        assert heatmap.size == (20, 30)


def test_weights_from_a_file_are_used_and_not_called_timing_only(depth, photo, checkpoint, tmp_path):
    outputs = []
    for name in ("seeded", checkpoint):
        output = tmp_path / "out.png"
        code, out, err = depth(photo, "-o", output, "--backend", "eager", "--weights", name)
        assert (code, err) == (0, "")
        outputs.append((output.read_bytes(), "timing only" in out))
    (seeded, told), (own, told_again) = outputs
    assert seeded != own
    assert (told, told_again) == (True, False)


def test_auto_weights_fall_back_to_seeded_ones_and_depth_says_so(depth, photo, tmp_path):
    code, out, err = depth(photo, "-o", tmp_path / "out.png")
    assert (code, err) == (0, "")
    assert "weights: seeded (random): timing only" in out


def test_a_model_of_ones_own_is_run_in_place_of_the_network(depth, photo, graphs, tmp_path):
    copy = shutil.copy(artifact("onnx", weights.seeded(), graphs).path, tmp_path / "my model.onnx")
    assert depth(photo, "-o", tmp_path / "network.png", "--weights", "seeded")[0] == 0
    code, out, err = depth(photo, "-o", tmp_path / "own.png", "--model", copy)
    assert (code, err) == (0, "")
    assert "timing only" not in out
    assert (tmp_path / "own.png").read_bytes() == (tmp_path / "network.png").read_bytes()


def test_a_model_is_refused_to_a_backend_that_builds_its_own_network(depth, photo, graphs, tmp_path):
    model = artifact("onnx", weights.seeded(), graphs).path
    line = (photo, "-o", tmp_path / "out.png", "--model", model, "--backend", "eager")
    fails_in_one_line(depth, tmp_path, "backend eager: cannot run an ONNX model; choose from onnx", *line)


def test_a_file_that_is_no_model_is_one_line(depth, photo, tmp_path):
    line = (photo, "-o", tmp_path / "out.png", "--model", photo)
    fails_in_one_line(depth, tmp_path, "is damaged or not an ONNX model; copy or export it again", *line)


def test_without_photos_to_calibrate_on_int8_is_one_line(depth, photo, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "CHECKOUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    line = (photo, "-o", tmp_path / "out.png", "--backend", "onnx-int8", "--weights", "seeded")
    fails_in_one_line(
        depth, tmp_path, "cannot be read (No such file or directory); restore it, or name another one", *line
    )


def png_that_claims(width, height):
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (header, b"IDAT")
    checked = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(checked)


BAD_PHOTOS = {
    "zero bytes": (b"", r"is empty \(0 bytes\); replace or remove it"),
    "a GIF": (
        b"GIF89a" + bytes(20),
        r"is not a JPEG, PNG or WebP \(first bytes 47 49 46 38\); convert it or remove it",
    ),
    "text": (b"hello, this is text", "is not a JPEG, PNG or WebP"),
    "truncated": (
        lambda whole: whole[: len(whole) // 2],
        r"is a truncated JPEG \(\d+ bytes\); copy it again or remove it",
    ),
    "a bomb": (lambda _: png_that_claims(30_000, 4_000), "pixels, over the limit of 100,000,000; scale it down"),
}


def fails_in_one_line(depth, tmp_path, message, *line):
    before = sorted(tmp_path.rglob("*"))
    code, out, err = depth(*line)
    assert code == 2
    assert err.count("\n") == 1
    assert err.startswith("midas-bench: ")
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before
    assert not [text for text in out.splitlines() if text.endswith(" ms")]
    assert message.search(err) if hasattr(message, "search") else message in err


@pytest.mark.parametrize("kind", BAD_PHOTOS)
def test_a_bad_photo_is_one_line_and_leaves_no_output(depth, photo, tmp_path, kind):
    content, message = BAD_PHOTOS[kind]
    data = content(photo.read_bytes()) if callable(content) else content
    bad = tmp_path / "bad é.jpg"
    bad.write_bytes(data)
    message = re.compile(r"bad é\.jpg: .*" + message)
    fails_in_one_line(depth, tmp_path, message, bad, "-o", tmp_path / "out.png", "--weights", "seeded")


def test_a_missing_photo_is_one_line(depth, tmp_path):
    message = "nowhere.jpg: cannot be read (No such file or directory); check the path"
    fails_in_one_line(depth, tmp_path, message, tmp_path / "nowhere.jpg", "-o", tmp_path / "out.png")


@pytest.mark.parametrize("name", ["me.jpg", "link.jpg", "../{}/me.jpg"])
def test_depth_does_not_overwrite_its_photo(depth, photo, tmp_path, name):
    (tmp_path / "me.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "link.jpg").symlink_to("me.jpg")
    output = tmp_path / name.format(tmp_path.name)
    fails_in_one_line(depth, tmp_path, "is the photo itself; choose another name", tmp_path / "me.jpg", "-o", output)
    assert (tmp_path / "me.jpg").read_bytes() == photo.read_bytes()


def test_the_flag_format_is_refused_for_one_photo(depth, photo, tmp_path):
    line = (photo, "-o", tmp_path / "out.png", "--format", "jpg")
    fails_in_one_line(depth, tmp_path, "--format: is for a folder, and", *line)


def test_damage_behind_a_sound_header_is_one_line_that_names_the_photo(depth, encode, tmp_path):
    data = encode(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), "WEBP")
    (tmp_path / "me.webp").write_bytes(data[:40] + bytes(len(data) - 40))
    line = (tmp_path / "me.webp", "-o", tmp_path / "out.png", "--weights", "seeded")
    fails_in_one_line(depth, tmp_path, "me.webp: is damaged and cannot be decoded", *line)


def test_a_folder_does_not_become_one_heat_map(depth, tmp_path):
    message = f"out.png: names one heat map, but {tmp_path} is a folder; name a folder for the heat maps"
    fails_in_one_line(depth, tmp_path, message, tmp_path, "-o", tmp_path / "out.png")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--backend", "tpu"], "backend 'tpu': is unknown; choose from eager, jit, onnx"),
        (["--backend", "onnx,jit"], "--backend onnx,jit: names several; name one"),
        (["--threads", "0"], "--threads 0: this process may use 1 to"),
        (["--threads", "999"], "--threads 999: this process may use 1 to"),
        (["--threads", "two"], "--threads two: is not a whole number"),
        (["--weights", "nosuchfile"], "nosuchfile: no such weights file; give auto, official, seeded or the path"),
        (["--weights", "official"], "the official weights cannot be fetched"),
    ],
)
def test_a_bad_flag_is_one_line(depth, photo, tmp_path, flags, message):
    flags = flags if "--weights" in flags else [*flags, "--weights", "seeded"]
    fails_in_one_line(depth, tmp_path, message, photo, "-o", tmp_path / "out.png", *flags)


@pytest.mark.parametrize("name", ["out.gif", "out", "out.png.txt"])
def test_an_output_of_no_known_format_is_one_line(depth, photo, tmp_path, name):
    fails_in_one_line(depth, tmp_path, "use one of .png, .jpg, .jpeg, .webp", photo, "-o", tmp_path / name)


def test_an_output_that_cannot_be_written_is_one_line(depth, photo, tmp_path):
    (tmp_path / "file").write_text("")
    line = (photo, "-o", tmp_path / "file" / "out.png", "--weights", "seeded")
    fails_in_one_line(depth, tmp_path, "cannot be written", *line)


def test_an_output_that_cannot_hold_the_map_is_one_line(depth, encode, tmp_path):
    (tmp_path / "wide.png").write_bytes(encode(np.zeros((4, 17_000, 3), np.uint8), "PNG"))
    line = (tmp_path / "wide.png", "-o", tmp_path / "out.webp", "--weights", "seeded")
    fails_in_one_line(depth, tmp_path, "cannot hold the heat map", *line)


@pytest.mark.parametrize("backend", ["eager", pytest.param("onnx", marks=pytest.mark.slow)])
def test_weights_that_are_no_checkpoint_are_one_line(depth, photo, tmp_path, backend, cache_dir, files_in):
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"<!DOCTYPE html>")
    cached = files_in(cache_dir)
    line = (photo, "-o", tmp_path / "out.png", "--backend", backend, "--weights", bad)
    fails_in_one_line(depth, tmp_path, "bad.pt: is damaged or not a PyTorch checkpoint; give a MiDaS", *line)
    assert files_in(cache_dir) == cached


@pytest.mark.parametrize("backend", ["jit", "onnx"])
def test_a_cache_that_cannot_be_written_is_one_line(depth, photo, tmp_path, backend, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIDAS_BENCH_CACHE", str(tmp_path / "file" / "cache"))
    line = (photo, "-o", tmp_path / "out.png", "--backend", backend, "--weights", "seeded")
    fails_in_one_line(depth, tmp_path, "or set MIDAS_BENCH_CACHE for the cache", *line)


def test_an_invalid_hash_of_weights_is_one_line(depth, photo, tmp_path, monkeypatch):
    monkeypatch.setenv(weights.SHA256_VARIABLE, "70d6")
    fails_in_one_line(depth, tmp_path, "is not 8 to 64 hexadecimal digits", photo, "-o", tmp_path / "out.png")


def command(*line, given=None):
    script = Path(sysconfig.get_path("scripts")) / "midas-bench"
    words = [sys.executable, script, "depth", *map(str, line)]
    return subprocess.run(words, capture_output=True, text=given is None, input=given, check=False)


@pytest.mark.usefixtures("graphs")
def test_the_installed_command_writes_a_heat_map(photo, size, tmp_path):
    ran = command(photo, "-o", tmp_path / "out.png", "--weights", "seeded")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "inference" in ran.stdout
    with Image.open(tmp_path / "out.png") as heatmap:
        assert heatmap.size == size


@pytest.mark.usefixtures("graphs")
def test_a_photo_may_come_from_standard_input(photo, size, tmp_path):
    line = ("-", "-o", tmp_path / "out.png", "--weights", "seeded")
    ran = command(*line, given=photo.read_bytes())
    assert (ran.returncode, ran.stderr) == (0, b"")
    with Image.open(tmp_path / "out.png") as heatmap:
        assert heatmap.size == size
    for given, said in ((b"junk", b"standard input: is not a JPEG"), (b"", b"standard input: is empty (0 bytes)")):
        ran = command(*line, given=given)
        assert (ran.returncode, ran.stderr.count(b"\n")) == (2, 1)
        assert said in ran.stderr


@pytest.mark.slow
def test_the_installed_command_fetches_weights_without_a_terminal(photo, checkpoint, tmp_path, monkeypatch, files_in):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given):
            super().__init__(*given, directory=str(checkpoint.parent))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/{checkpoint.name.replace(' ', '%20')}"
        monkeypatch.setenv(weights.URL_VARIABLE, url)
        monkeypatch.setenv(weights.SHA256_VARIABLE, hashlib.sha256(checkpoint.read_bytes()).hexdigest())
        monkeypatch.setenv("MIDAS_BENCH_CACHE", str(tmp_path / "cache"))
        ran = command(photo, "-o", tmp_path / "out.png", "--backend", "eager", "--weights", "official")
        server.shutdown()
        thread.join()
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "timing only" not in ran.stdout
    assert "weights ━" not in ran.stdout
    assert [Path(name).suffix for name in files_in(tmp_path / "cache")] == [".pt"]
