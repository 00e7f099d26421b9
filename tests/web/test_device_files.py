import json

import pytest

from midas_bench.depth.interface import MIDAS
from midas_bench.web.assets import LICENCES
from midas_bench.web.device_files import SCRIPTS, STATIC, DeviceFiles
from midas_bench.web.npm_packages import FILES


@pytest.fixture
def files(tmp_path):
    assets = tmp_path / "assets"
    assets.mkdir()
    for file in FILES:
        (assets / file.name).write_bytes(b"content of " + file.name.encode())
    (assets / LICENCES).write_text("licences")
    (assets / "secret.js").write_text("not listed")
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(b"a graph")
    return DeviceFiles({"fp32": graph}, MIDAS, assets, 64_000_000)


def test_settings_name_files_that_are_handed_out(files):
    settings = json.loads(files.find("settings.json").content)
    [model] = settings["models"]
    assert files.find(model["file"]).content.stat().st_size == model["bytes"]
    runtime = settings["runtime"]
    of_providers = [file["name"] for provider in ("wasm", "webgpu") for file in runtime["files"][provider]]
    named = [settings["decoder"]["file"], *(f"{runtime['folder']}/{name}" for name in of_providers)]
    assert len(named) == len(FILES)
    for name in (*named, model["file"]):
        assert files.find(name).content.is_file()
        assert files.find(name).immutable
    assert settings["interface"]["layout"] == "NCHW"
    assert len(settings["palette"]) == 3 * 256


def test_a_changed_graph_has_another_name(files, tmp_path):
    name = files.settings["models"][0]["file"]
    (tmp_path / "graph.onnx").write_bytes(b"another")
    again = DeviceFiles(files.graphs, MIDAS, files.assets, 1)
    assert again.settings["models"][0]["file"] != name
    assert again.find(name) is None


@pytest.mark.parametrize(
    "name", ["", ".", "..", "secret.js", "../graph.onnx", "static/photo.js", "/etc/passwd", "fp32.onnx", "a\0b.js"]
)
def test_nothing_else_is_handed_out(files, name):
    assert files.find(name) is None


def test_scripts_are_all_there_is(files):
    assert sorted(SCRIPTS) == sorted(path.name for path in STATIC.glob("*.js"))
    for name in SCRIPTS:
        assert not files.find(name).immutable
        assert files.find(name).media_type == "text/javascript"


def test_an_exported_folder_holds_what_a_server_hands_out(files, tmp_path):
    site = tmp_path / "my site" / "gerät"
    files.export(site)
    written_bytes = files.export(site)
    names = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert names > {"settings.json", "depth-worker.js", files.settings["decoder"]["file"]}
    assert written_bytes == sum((site / name).stat().st_size for name in names)
    assert any(name.endswith(LICENCES) for name in names)
    for name in names:
        content = files.find(name).content
        assert (site / name).read_bytes() == (content if isinstance(content, bytes) else content.read_bytes())
