import hashlib
import http.server
import re
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

from midas_bench.cli.main import main
from midas_bench.depth import weights

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


@pytest.mark.parametrize("backend", ["onnx", "eager", "jit"])
def test_a_heat_map_of_the_photos_size_is_written_and_the_stages_told(depth, photo, size, tmp_path, backend):
    output = tmp_path / "out.png"
    code, out, err = depth(photo, "-o", output, "--backend", backend, "--weights", "seeded")
    assert (code, err) == (0, "")
    with Image.open(output) as heatmap:
        assert (heatmap.format, heatmap.mode, heatmap.size) == ("PNG", "RGB", size)
        colours = {tuple(colour) for colour in np.asarray(heatmap).reshape(-1, 3).tolist()}
    assert {(0, 0, 4), (252, 255, 164)} <= colours
    assert [line.split()[0] for line in out.splitlines() if line.endswith(" ms")] == list(STAGES)
    assert f"{output}: {size[0]}x{size[1]}, {backend}, " in out
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


def test_auto_falls_back_to_seeded_weights_and_says_so(depth, photo, tmp_path):
    code, out, err = depth(photo, "-o", tmp_path / "out.png")
    assert (code, err) == (0, "")
    assert "weights: seeded (random): timing only" in out


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


def test_a_folder_is_no_photo(depth, tmp_path):
    fails_in_one_line(depth, tmp_path, "cannot be read (Is a directory)", tmp_path, "-o", tmp_path / "out.png")


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


@pytest.mark.parametrize("backend", ["eager", "onnx"])
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


def test_a_hash_that_is_none_is_one_line(depth, photo, tmp_path, monkeypatch):
    monkeypatch.setenv(weights.SHA256_VARIABLE, "70d6")
    fails_in_one_line(depth, tmp_path, "is not 8 to 64 hexadecimal digits", photo, "-o", tmp_path / "out.png")


def command(*line):
    script = Path(sysconfig.get_path("scripts")) / "midas-bench"
    return subprocess.run(
        [sys.executable, script, "depth", *map(str, line)], capture_output=True, text=True, check=False
    )


@pytest.mark.usefixtures("graphs")
def test_the_installed_command_writes_a_heat_map(photo, size, tmp_path):
    ran = command(photo, "-o", tmp_path / "out.png", "--weights", "seeded")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "inference" in ran.stdout
    with Image.open(tmp_path / "out.png") as heatmap:
        assert heatmap.size == size


def test_the_installed_command_fetches_weights_without_a_terminal(photo, checkpoint, tmp_path, monkeypatch):
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
    assert [path.suffix for path in (tmp_path / "cache" / "weights").iterdir()] == [".pt"]
