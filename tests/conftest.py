from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from midas_bench import processes
from midas_bench.depth import artifacts, quantize, weights
from midas_bench.depth.backends import registry
from midas_bench.depth.calibration import project_photos
from midas_bench.files import CACHE_VARIABLE, locked
from midas_bench.results.run_files import read
from midas_bench.results.runs import Run
from midas_bench.scene_photos import Photo, from_manifest
from midas_bench.web import assets

PROJECT = Path(__file__).parent.parent
SMALL = PROJECT / "tests/results/data/small.json"
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
DEFAULT_GRAPHS = ("jit", "onnx")
NOBODY_LISTENS = "http://127.0.0.1:9/weights.pt"

COLD_ONNX = """
import hashlib, json, sys
from midas_bench.depth.pipeline import DepthPipeline
with DepthPipeline.open("onnx", weights="seeded") as pipeline:
    [heatmap] = pipeline.run([open(sys.argv[1], "rb").read()]).heatmaps
told = {"shape": heatmap.shape, "sha256": hashlib.sha256(heatmap.tobytes()).hexdigest()}
print(json.dumps({"modules": sorted(sys.modules), **told}))
"""


LONGEST = (
    "test_conformance.py", "test_resume.py", "test_plugin.py", "test_command.py", "test_every_command.py",
    "test_telemetry.py", "test_distill.py", "test_bulk_depth.py", "test_fleet_run.py", "test_environments.py",
    "test_run.py", "test_loadgen.py", "test_process.py", "test_page_browser.py", "test_device_browser.py",
    "test_browser.py", "test_planted.py",
)  # fmt: skip
"""Modules that take minutes, however few their tests are; the second to compile finds what the first compiled."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Give each of xdist's processes whole modules, whose fixtures are made once."""
    if getattr(config.option, "numprocesses", None):
        config.option.dist = "loadfile"
        # xdist would begin with the modules of many tests, and one of a single long test would be the last
        config.option.loadscopereorder = False
        # threads that spin take the other processes' cores
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that xdist's processes end together."""
    if hasattr(config, "workerinput"):
        tests = Counter(item.path for item in items)
        rank = {name: number for number, name in enumerate(LONGEST)}
        items.sort(key=lambda item: (rank.get(item.path.name, len(rank)), -tests[item.path], item.path))


@pytest.fixture
def package_with_calls() -> Callable[[Path, Path], Path]:
    """Write a package named like ours, with nothing but these calls, into a folder; return the folder."""

    def written(tree: Path, calls: Path) -> Path:
        depth = tree / "midas_bench/depth"
        depth.mkdir(parents=True)
        for package in (depth.parent, depth):
            (package / "__init__.py").touch()
        shutil.copy(calls, depth / "calls.py")
        return tree

    return written


@pytest.fixture(scope="session")
def project() -> Path:
    return PROJECT


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session", autouse=True)
def isolated(cache_dir: Path) -> Iterator[None]:
    """Keep every test, and the processes it starts, off the user's cache and the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(cache_dir))
        patch.setenv(weights.URL_VARIABLE, NOBODY_LISTENS)
        patch.delenv(weights.SHA256_VARIABLE, raising=False)
        patch.setenv("no_proxy", "*")
        for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
            patch.delenv(name)  # the pytests that tests start are not this one's workers
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; what tests start inherits it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        yield


@pytest.fixture(scope="session")
def unknown_user() -> tuple[str, ...]:
    """Give what a command begins with to run as a container's user: a uid without a name, and no home."""
    begin = ("unshare", "--user", "--map-user=54321", "env", "-u", "HOME", "-u", "XDG_CACHE_HOME")
    if shutil.which("unshare") is None or subprocess.run([*begin, "true"], capture_output=True).returncode:
        pytest.skip("needs user namespaces")
    return begin


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], Path]]:
    """Take the right to write from a folder and all in it, until the test is over."""
    folders: list[Path] = []

    def frozen(folder: Path) -> Path:
        folders.append(folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
        return folder

    yield frozen
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)


@pytest.fixture(scope="session")
def cold_onnx(
    tmp_path_factory: pytest.TempPathFactory, photos: dict[str, Photo], request: pytest.FixtureRequest
) -> dict[str, Any]:
    """Run ONNX in two processes at once on one empty cache: what each tells of itself, and that cache.

    Exporting takes half a minute, so xdist's workers share what the first of them ran.
    """
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent
    cold, told = folder / "cold", folder / "cold.json"
    with locked(told.with_suffix(".lock")):
        if not told.exists():
            command = [sys.executable, "-c", COLD_ONNX, str(photos["street"].path)]
            environment = {**os.environ, CACHE_VARIABLE: str(cold)}
            started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
            printed = [process.communicate()[0] for process in started]
            assert [process.returncode for process in started] == [0, 0]
            told.write_text(f"[{','.join(printed)}]")
    return {"processes": json.loads(told.read_text()), "cache": cold}


@pytest.fixture(scope="session")
def graphs(cache_dir: Path, request: pytest.FixtureRequest) -> Path:
    """Give a cache that holds the graphs of the default run's backends.

    Making them takes half a minute, so pytest's own cache keeps them for the next run and for xdist's other workers.
    """
    kept = _kept_graphs(request)
    with locked(kept.with_suffix(".lock")):
        if not all(registry.is_prepared(name, weights.seeded(), kept) for name in DEFAULT_GRAPHS):
            shutil.rmtree(kept)  # other versions' graphs would stay for ever
            # another process may have made the folder meanwhile
            shutil.copytree(request.getfixturevalue("cold_onnx")["cache"], kept, dirs_exist_ok=True)
            for name in DEFAULT_GRAPHS:
                registry.prepare(name, weights.seeded(), kept)
        _copy_missing(kept, cache_dir)
    return cache_dir


@pytest.fixture(scope="session")
def prepared(graphs: Path, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Put a backend's graph of seeded weights into that cache, calibrated as commands do: `prepared("onnx-int8")`.

    Pytest's own cache keeps it likewise.
    """
    kept = _kept_graphs(request)

    def copied(name: str) -> Path:
        with locked(kept.with_suffix(".lock")):
            registry.prepare(name, weights.seeded(), kept, project_photos())
            _copy_missing(kept, graphs)
        return graphs

    return copied


@pytest.fixture(scope="session")
def web_assets(cache_dir: Path, request: pytest.FixtureRequest) -> Path:
    """Give a cache that holds what runs in a browser, fetched by npm once; pytest's own cache keeps it."""
    if assets.find_npm() is None:
        pytest.skip("needs npm: the extra [browser] or Debian's package")
    kept: Path = request.config.cache.mkdir("web-assets")
    assets.fetch(kept)
    _copy_missing(kept, cache_dir)
    return cache_dir


def _kept_graphs(request: pytest.FixtureRequest) -> Path:
    kept: Path = request.config.cache.mkdir("graphs")
    return kept


def _copy_missing(source: Path, target: Path) -> None:
    """Copy what is not there yet: graphs are large, and a test may be reading them."""
    for path in source.rglob("*"):
        copy = target / path.relative_to(source)
        if path.is_file() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)


@pytest.fixture(scope="session")
def photos() -> dict[str, Photo]:
    """Give the first photo of each scene."""
    return {scene: found[0] for scene, found in from_manifest(PROJECT / "fixtures/images/manifest.toml").items()}


@pytest.fixture(scope="session")
def calibration(photos: dict[str, Photo]) -> tuple[str, ...]:
    """Give paths of photos to calibrate on."""
    return tuple(str(photo.path) for photo in photos.values())


@pytest.fixture
def makes_int8_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make int8 graphs in this process, for many small ones: importing NNCF takes each new process five seconds."""

    def ask(module: str, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        if module != quantize.__name__:
            return processes.ask(module, request, timeout_s)
        return quantize.build(json.loads(json.dumps(request)))

    monkeypatch.setattr(artifacts, "ask", ask)


@pytest.fixture(scope="session")
def seeded_network():
    from midas_bench.depth.network import load_network

    return load_network(weights.seeded())


@pytest.fixture(scope="session")
def checkpoint(seeded_network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save what could be the official checkpoint: its names, but weights of our own."""
    import torch

    state = {name: tensor.clone() for name, tensor in seeded_network.state_dict().items()}
    state["scratch.layer1_rn.weight"] *= -1
    path = tmp_path_factory.mktemp("checkpoint") / "midas small.pt"
    torch.save(state, path)
    return path


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encode an array or a Pillow image: `encode(pixels, "PNG", orientation=6)`."""

    def encoded(picture: NDArray | Image.Image, format: str, *, orientation: int | None = None, **how: object) -> bytes:
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
        if orientation is not None:
            exif = Image.Exif()
            exif[0x0112] = orientation
            how["exif"] = exif
        if format == "JPEG":
            how = {"quality": 95, "subsampling": 0, **how}
        elif format == "WEBP":
            how = {"lossless": True, "exact": True, **how}
        file = io.BytesIO()
        image.save(file, format, **how)
        return file.getvalue()

    return encoded


@pytest.fixture(scope="session")
def files_in() -> Callable[[Path], list[str]]:
    """List a folder's files, hidden ones included, but not locks."""

    def listed(folder: Path) -> list[str]:
        found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
        return sorted(path.relative_to(folder).as_posix() for path in found)

    return listed


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synthetic", PROJECT / "tests/results/synthetic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small() -> Run:
    """Give a small run whose every figure can be computed by hand."""
    return read(SMALL)


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """Save the small run after a change: `changed(lambda content: ...)`."""

    def save(change: Callable[[dict[str, Any]], object] = lambda _: None, name: str = "changed.json") -> Path:
        content = json.loads(SMALL.read_text())
        change(content)
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return save


LEFT_OUT = {
    "a.bmp": b"BM", "b.gif": b"GIF87a", "movie.jpg": b"GIF89a", "IMG_1.HEIC.old": b"II*\0", "IMG_1.AAE": b"<?xml",
    "clip.mp4": b"\0\0\0\x20ftypisom", "notes.txt": b"", "x": b"\xff",
}  # fmt: skip
"""Names of files that are no photos, and how they begin."""


@pytest.fixture(scope="session")
def left_out_files() -> Callable[..., str]:
    """Put into a folder what is no photo, and return the line that tells of it: `left_out_files(folder, "pet/")`."""

    def added(folder: Path, before: str = "") -> str:
        for name, content in LEFT_OUT.items():
            (folder / name).write_bytes(content)
        for name in (".DS_Store", "._a.jpg", ".nomedia", "Thumbs.db", "desktop.ini", "Icon\r"):
            (folder / name).write_bytes(b"litter")
        (folder / "deeper.jpg").mkdir()
        os.mkfifo(folder / "pipe.png")
        names = ("a.bmp", "b.gif", "movie.jpg", "IMG_1.HEIC.old", "deeper.jpg")
        others = ("IMG_1.AAE", "clip.mp4", "notes.txt", "pipe.png", "x")
        listed = ", ".join(before + name for name in (*names, *others))
        return f"left out: 1 BMP, 2 GIF, 1 TIFF, 1 folder, 5 video or other: {listed}"

    return added


ODD_NAMES = {
    "Latin 1": b"caf\xe9",
    "any bytes": bytes(range(128, 256)),
    "a cut character": "Zo\u00eb".encode()[:-1],
    "line ends": "a\nb\r\nc\u2028d".encode(),
    "terminal sequences": b"\x1b[31mred\x07\x08",
    "control characters": bytes(range(1, 32)),
    "right to left": "\u202egnp.a".encode(),
    "HTML": b"<img src=x onerror=alert(1)>&amp;\"'",
    "Markdown": b"|`*_[a](b)~#$\\frac{$ @all",
    "a dash": b"--output=x",
    "a formula": b"=1+1",
    "templates": b"{{7*7}} ${7*7} %s {0} %2e%2e",
    "spaces": b"  a  b  ",
    "255 bytes": b"\xff" * 250,
}
"""Stems that POSIX allows in a file's name, as bytes; with a suffix of five characters the last has 255."""


@pytest.fixture(params=ODD_NAMES)
def odd_name(request) -> str:
    """Give the stem of a file's name, once of each odd kind."""
    return os.fsdecode(ODD_NAMES[request.param])


@pytest.fixture(scope="session")
def odd_names() -> list[str]:
    """Give all of them, for tests that take long."""
    return [os.fsdecode(name) for name in ODD_NAMES.values()]


ENCODINGS = {
    "UTF-8": ("", "utf-8"),
    "UTF-8 with a mark": ("\ufeff", "utf-8"),
    "UTF-16 little with a mark": ("\ufeff", "utf-16-le"),
    "UTF-16 big with a mark": ("\ufeff", "utf-16-be"),
    "UTF-16 little": ("", "utf-16-le"),
    "UTF-16 big": ("", "utf-16-be"),
    "UTF-32 little with a mark": ("\ufeff", "utf-32-le"),
    "UTF-32 big": ("", "utf-32-be"),
}


@pytest.fixture(params=ENCODINGS)
def encoded_text(request) -> Callable[[str], bytes]:
    """Encode text as editors and shells save it, once in each encoding."""
    mark, codec = ENCODINGS[request.param]
    return lambda text: (mark + text).encode(codec)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Save what another project's pytest-benchmark would, without raw rounds."""
    stats = {"min": 1e-6, "max": 4e-6, "mean": 2e-6, "stddev": 1e-7, "median": 2e-6, "rounds": 1000}
    names = ("test_parse", "test_render")
    benchmarks = [
        {
            "name": name,
            "fullname": f"tests/test_speed.py::{name}",
            "group": None,
            "extra_info": {"kind": 3, "scene": ["any"], "photos": "thing"},
            "stats": {key: value * (i + 1) if key != "rounds" else value for key, value in stats.items()},
        }
        for i, name in enumerate(names)
    ]
    path = tmp_path / "foreign.json"
    path.write_text(json.dumps({"benchmarks": benchmarks, "machine_info": {"machine": "arm64"}, "version": "5.2.0"}))
    return path


@pytest.fixture(scope="module")
def browser():
    """Give Debian's Chromium, headless."""
    if not CHROMIUM.exists() or importlib.util.find_spec("playwright") is None:
        pytest.skip("needs playwright and Debian's chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def new_page(browser):
    """Open pages: `new_page(color_scheme="dark")`; each keeps in `said` its complaints, in `requested` what it asks."""
    contexts = []

    def opened(**options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.said, page.requested = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda asked: page.requested.append(asked.url))
        return page

    yield opened
    for context in contexts:
        context.close()
