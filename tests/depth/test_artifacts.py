import ast
import json
import shutil
import signal
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest

from midas_bench.depth import artifacts
from midas_bench.depth.artifacts import artifact, is_cached, key
from midas_bench.depth.backends import registry
from midas_bench.depth.quantize import inputs
from midas_bench.depth.recipe import find_recipe
from midas_bench.depth.weights import Weights, seeded
from midas_bench.errors import UserError
from midas_bench.files import sha256_of
from midas_bench.processes import ProcessDiedError

DEPTH_FOLDER = Path(artifacts.__file__).parent
OTHER = Weights("file", "f" * 64, "other.pt")
BYTES = b"a graph" * 1000


@pytest.fixture
def builds(monkeypatch):
    """Replace the exporter, and list what it was asked to make."""
    asked = []

    def build(kind, weights, path):
        asked.append(kind)
        path.write_bytes(kind.encode() + weights.sha256.encode() + BYTES)

    monkeypatch.setattr(artifacts, "_run_graph", build)
    return asked


def test_an_artifact_is_made_once_and_found_again(tmp_path, builds):
    assert not is_cached("onnx", seeded(), tmp_path)
    made = artifact("onnx", seeded(), tmp_path)
    found = artifact("onnx", seeded(), tmp_path)
    assert builds == ["onnx"]
    assert (made.built_now, found.built_now) == (True, False)
    assert made.path == found.path
    assert made.build_s == found.build_s
    assert made.sha256 == found.sha256 == sha256_of(found.path)
    assert is_cached("onnx", seeded(), tmp_path)


def test_each_kind_and_each_weights_have_their_own(tmp_path, builds):
    made = [artifact(kind, weights, tmp_path) for kind in ("jit", "onnx") for weights in (seeded(), OTHER)]
    assert len({one.path for one in made}) == len({one.sha256 for one in made}) == 4
    assert builds == ["jit", "jit", "onnx", "onnx"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b"X" + path.read_bytes()[1:]),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: path.with_suffix(".json").unlink(),
        lambda path: path.with_suffix(".json").write_text(""),
        lambda path: path.with_suffix(".json").write_text("[]"),
        lambda path: path.with_suffix(".json").write_text('{"sha256": null}'),
    ],
)
@pytest.mark.usefixtures("builds")
def test_a_damaged_artifact_is_made_again(tmp_path, harm):
    first = artifact("jit", seeded(), tmp_path)
    harm(first.path)
    again = artifact("jit", seeded(), tmp_path)
    assert again.built_now
    assert again.sha256 == first.sha256 == sha256_of(first.path)
    assert not artifact("jit", seeded(), tmp_path).built_now


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Let keys be made from a copy of the package's sources."""
    folder = shutil.copytree(Path(artifacts.__file__).parent, tmp_path / "sources")
    monkeypatch.setattr(artifacts, "__file__", str(folder / "artifacts.py"))
    return folder


MODULES = sorted(path.relative_to(DEPTH_FOLDER).as_posix() for path in DEPTH_FOLDER.rglob("*.py"))


@pytest.mark.parametrize("name", [*MODULES, "new.py", "backends/new.py"])
def test_an_edit_of_any_module_of_depth_makes_another_key_of_every_kind(sources, calibration, name):
    def keys():
        return {kind: key(kind, seeded(), calibration) for kind in artifacts.KINDS}

    before = keys()
    with (sources / name).open("a") as file:
        file.write("# edited\n")
    assert not before.items() & keys().items()


def imported(path):
    """List the libraries that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def libraries_of(paths):
    names = {name for path in paths for name in imported(path)}
    foreign = names - sys.stdlib_module_names - {"midas_bench", "pytest"}
    # these find files and show progress, and nothing that is computed passes through them
    foreign -= {"rich", "platformdirs", "filelock"}
    return {distribution for name in foreign for distribution in packages_distributions().get(name, ())}


def test_every_library_that_depth_imports_is_part_of_the_key():
    of_kinds = {library for kind in artifacts.KINDS.values() for library in kind.libraries}
    assert libraries_of(DEPTH_FOLDER.rglob("*.py")) <= set(artifacts.LIBRARIES) | of_kinds


@pytest.mark.parametrize("row", [row for row in registry.ROWS if row.artifact], ids=lambda row: row.name)
def test_every_library_that_a_backend_imports_is_part_of_the_key_of_its_graph(row):
    module = DEPTH_FOLDER / "backends" / f"{row.module.rpartition('.')[2]}.py"
    assert libraries_of([module]) <= {*artifacts.LIBRARIES, *artifacts.KINDS[row.artifact].libraries}


@pytest.mark.parametrize("library", artifacts.LIBRARIES)
def test_another_version_of_a_library_makes_another_key(monkeypatch, library):
    before = key("onnx", seeded())
    versions = artifacts.library_versions(artifacts.LIBRARIES)
    monkeypatch.setattr(artifacts, "library_versions", lambda _: versions | {library: "99.0"})
    assert key("onnx", seeded()) != before


def test_versions_of_what_is_not_installed_are_left_out():
    assert list(artifacts.library_versions(("numpy", "no-such-library"))) == ["numpy"]


@pytest.mark.torch
def test_a_cache_that_cannot_be_written_is_the_users_error(tmp_path, builds):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written .*set MIDAS_BENCH_CACHE"):
        artifact("onnx", seeded(), tmp_path / "file" / "cache")
    assert builds == []


@pytest.mark.usefixtures("builds")
def test_a_cache_that_cannot_be_written_is_read_all_the_same(tmp_path, monkeypatch):
    made = artifact("onnx", seeded(), tmp_path)

    def refuse(*_, **__):
        raise AssertionError("it was locked, which writes")

    monkeypatch.setattr(artifacts, "locked", refuse)
    assert artifact("onnx", seeded(), tmp_path).path == made.path


@pytest.mark.torch
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, files_in, monkeypatch):
    def dies(*_):
        raise ProcessDiedError("exit code 1: RuntimeError: write failed")

    monkeypatch.setattr(artifacts, "ask", dies)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 100, 0))
    with pytest.raises(UserError, match="artifacts: has no space left for the graph; free some space or move"):
        artifact("onnx", seeded(), tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.torch
def test_an_export_that_fails_says_what_was_said_last_and_leaves_nothing(tmp_path, files_in, monkeypatch):
    def dies(*_):
        raise ProcessDiedError("exit code 1: RuntimeError: no such operator")

    monkeypatch.setattr(artifacts, "ask", dies)
    with pytest.raises(UserError, match=r"the onnx graph: could not be made \(exit code 1: RuntimeError: no such op"):
        artifact("onnx", seeded(), tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("died", "next_step"),
    [
        (ProcessDiedError("exit code 1: RuntimeError: no such operator"), "choose a backend that runs it as it is"),
        (ProcessDiedError("exit code 1: Foo(-1) is not a registered function/op"), "export it without that operator"),
        (ProcessDiedError("no answer within 600 s", "try again when less runs here"), "try again when less runs here"),
        (ProcessDiedError("killed by SIGKILL (out of memory?)", "free some memory"), "free some memory"),
    ],
)
def test_a_users_own_model_that_cannot_be_quantised_is_named_with_the_next_step_of_its_cause(
    tmp_path, calibration, files_in, monkeypatch, died, next_step
):
    def dies(*_):
        raise died

    monkeypatch.setattr(artifacts, "ask", dies)
    path = tmp_path / "own.onnx"
    path.write_bytes(b"a model")
    own = Weights("model", sha256_of(path), str(path))
    with pytest.raises(
        UserError, match=rf"own\.onnx: cannot be made into onnx-int8 \({died.args[0][:9]}.*; {next_step}"
    ):
        artifact("onnx-int8", own, tmp_path / "cache", calibration)
    assert files_in(tmp_path / "cache") == []


@pytest.mark.torch
@pytest.mark.parametrize("next_step", ["try again when less runs here", ""])
def test_a_graph_that_cannot_be_made_has_the_next_step_of_its_cause(tmp_path, monkeypatch, next_step):
    def dies(*_):
        raise ProcessDiedError("it died", next_step)

    monkeypatch.setattr(artifacts, "ask", dies)
    with pytest.raises(UserError, match=rf"could not be made \(it died\); {next_step or 'compare the versions that'}"):
        artifact("onnx", seeded(), tmp_path)


BUILD_SLOWLY = """
import sys, time
from pathlib import Path
from midas_bench.depth import artifacts
from midas_bench.depth.weights import seeded

cache, stop_half_way = Path(sys.argv[1]), sys.argv[2] == "stop"

def build(kind, weights, path):
    with (cache / "builds.log").open("a") as log:
        log.write("one\\n")
    with path.open("wb") as file:
        for part in range(10):
            file.write(bytes([part]) * 100_000)
            file.flush()
            time.sleep(0.05)
            if stop_half_way and part == 5:
                print("half way", flush=True)
                time.sleep(600)

artifacts._run_graph = build
print(artifacts.artifact("onnx", seeded(), cache).sha256)
"""


def start(cache, how):
    return subprocess.Popen([sys.executable, "-c", BUILD_SLOWLY, str(cache), how], stdout=subprocess.PIPE, text=True)


@pytest.mark.torch
def test_two_processes_that_start_at_once_share_one_sound_artifact(tmp_path):
    with start(tmp_path, "go") as first, start(tmp_path, "go") as second:
        hashes = {first.communicate()[0].strip(), second.communicate()[0].strip()}
    assert (first.returncode, second.returncode) == (0, 0)
    assert (tmp_path / "builds.log").read_text() == "one\n"
    found = artifact("onnx", seeded(), tmp_path)
    assert not found.built_now
    assert hashes == {found.sha256}
    assert found.path.stat().st_size == 1_000_000


@pytest.mark.torch
@pytest.mark.usefixtures("builds")
def test_nothing_of_a_build_that_was_killed_is_used_or_kept(tmp_path, files_in):
    with start(tmp_path, "stop") as killed:
        assert killed.stdout.readline() == "half way\n"
        killed.send_signal(signal.SIGKILL)
    left = files_in(tmp_path / "artifacts")
    assert [Path(name).suffix for name in left] == [".tmp"]
    assert not is_cached("onnx", seeded(), tmp_path)
    made = artifact("onnx", seeded(), tmp_path)
    assert made.built_now
    assert files_in(tmp_path / "artifacts") == sorted([made.path.name, made.path.with_suffix(".json").name])
    assert json.loads(made.path.with_suffix(".json").read_text())["sha256"] == sha256_of(made.path)


@pytest.mark.torch
def test_two_real_processes_on_an_empty_cache_end_with_one_sound_graph(cold_onnx, files_in):
    first, second = cold_onnx["processes"]
    assert first["sha256"] == second["sha256"]
    assert [Path(name).suffix for name in files_in(cold_onnx["cache"])] == [".json", ".onnx"]


@pytest.mark.slow
def test_a_real_graph_that_is_damaged_is_made_again(graphs, calibration):
    # of one photo: no graph is made faster
    photos = calibration[:1]
    made = artifact("onnx-int8", seeded(), graphs, photos)
    whole = made.path.read_bytes()
    made.path.write_bytes(whole[: len(whole) // 2])
    backend = registry.load("onnx-int8", seeded(), 1, graphs, photos)
    assert np.ptp(backend(np.zeros((1, 3, 256, 256), np.float32))) > 0
    backend.close()
    assert made.path.stat().st_size == pytest.approx(len(whole), rel=0.01)


@pytest.fixture
def makes(monkeypatch):
    """Replace both makers, and list what they were asked for."""
    asked = []

    def ask(module, request, timeout_s):  # noqa: ARG001
        asked.append((module, request))
        Path(request["path"]).write_bytes(request["kind"].encode() + BYTES)
        return {}

    monkeypatch.setattr(artifacts, "ask", ask)
    return asked


@pytest.mark.parametrize("kind", ["onnx-int8", "openvino-int8"])
def test_an_int8_graph_is_made_from_the_onnx_graph_and_the_photos(tmp_path, makes, calibration, kind):
    made = artifact(kind, seeded(), tmp_path, calibration)
    assert [module.rpartition(".")[2] for module, _ in makes] == ["graph", "quantize"]
    base = artifact("onnx", seeded(), tmp_path)
    assert makes[1][1]["source"] == str(base.path)
    assert makes[1][1]["photos"] == list(calibration)
    assert made.build_s >= base.build_s
    assert not artifact(kind, seeded(), tmp_path, calibration).built_now
    assert is_cached(kind, seeded(), tmp_path, calibration)
    assert not is_cached(kind, seeded(), tmp_path, calibration[:1])


def test_an_int8_graph_is_keyed_by_what_the_photos_show_and_not_where_they_lie(tmp_path, calibration):
    copies = tuple(str(shutil.copy(path, tmp_path / f"{n}.jpg")) for n, path in enumerate(calibration))
    before = key("onnx-int8", seeded(), calibration)
    assert key("onnx-int8", seeded(), copies[::-1]) == before
    with Path(copies[0]).open("ab") as file:
        file.write(b"\0")
    assert key("onnx-int8", seeded(), copies) != before


def test_an_int8_graph_is_keyed_by_the_cpu_that_it_is_made_for(monkeypatch, calibration):
    monkeypatch.setattr(artifacts.cpu, "flags", lambda: frozenset({"avx2", "avx512_vnni"}))
    before = key("onnx-int8", seeded(), calibration)
    monkeypatch.setattr(artifacts.cpu, "flags", lambda: frozenset({"avx2"}))
    without_vnni = key("onnx-int8", seeded(), calibration)
    assert without_vnni != before
    monkeypatch.setattr(artifacts.platform, "machine", lambda: "aarch64")
    assert key("onnx-int8", seeded(), calibration) not in (before, without_vnni)


def test_it_is_calibrated_on_what_the_fast_recipe_gives_the_network(project):
    path = project / "fixtures/images/street_large.jpg"
    recipe = find_recipe("fast")
    [given] = inputs([str(path)])
    np.testing.assert_array_equal(given, recipe.preprocess([recipe.decode(path.read_bytes())]))


@pytest.mark.torch
def test_without_photos_to_calibrate_on_the_argument_is_named(tmp_path, makes):
    with pytest.raises(UserError, match="is calibrated on photos, and none are given; name some as calibration="):
        artifact("onnx-int8", seeded(), tmp_path)
    assert makes == []


@pytest.mark.torch
def test_a_photo_to_calibrate_on_that_has_gone_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg: cannot be read to calibrate on"):
        artifact("onnx-int8", seeded(), tmp_path, (str(tmp_path / "gone.jpg"),))


def test_a_users_own_model_is_its_own_graph(tmp_path, makes):
    path = tmp_path / "own.onnx"
    path.write_bytes(b"a model")
    own = Weights("model", sha256_of(path), str(path))
    assert is_cached("onnx", own, tmp_path)
    assert artifact("onnx", own, tmp_path).path == path
    assert makes == []
    path.write_bytes(b"another model")
    with pytest.raises(UserError, match=r"own\.onnx: has changed or gone since it was checked"):
        artifact("onnx", own, tmp_path)
