"""What the server hands out for computing on the visitor's device: addresses, headers, and what a browser keeps."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

pytest.importorskip("flask", reason="needs the extra [web]")
pytestmark = pytest.mark.slow

from midas_bench.depth.interface import MIDAS  # noqa: E402
from midas_bench.serve import device_page  # noqa: E402
from midas_bench.serve.app import create_app  # noqa: E402
from midas_bench.serve.serve_config import ServeConfig  # noqa: E402
from midas_bench.web.device_files import SCRIPTS, DeviceFiles  # noqa: E402
from midas_bench.web.npm_packages import FILES  # noqa: E402


@pytest.fixture
def files(tmp_path):
    """Give files of the right names."""
    for file in FILES:
        (tmp_path / file.name).write_bytes(b"content of " + file.name.encode())
    graphs = {name: tmp_path / f"{name}.onnx" for name in ("fp32", "int8")}
    for name, path in graphs.items():
        path.write_bytes(b"graph of " + name.encode())
    return DeviceFiles(graphs, MIDAS, tmp_path, 1000)


@pytest.fixture
def open_client(resolved, opened, samples):
    return lambda files: create_app(ServeConfig(resolved, samples=samples, device=files), opened).test_client()


@pytest.fixture
def client(open_client, files):
    return open_client(files)


def get(client, path, **how):
    """Read the whole answer, so that its file is closed."""
    return client.get(path, buffered=True, **how)


def kept_by(client):
    """Return the list in the first line of the service worker."""
    line = get(client, "/service-worker.js").text.partition("\n")[0]
    return json.loads(line.removeprefix("const KEPT = ").removesuffix(";"))


def test_what_changes_its_name_with_its_content_is_kept_for_ever(client, files):
    [model, _] = files.settings["models"]
    reply = get(client, f"/device/{model['file']}")
    assert (reply.status_code, reply.data) == (200, b"graph of fp32")
    assert reply.headers["Cache-Control"] == "public, immutable, max-age=31536000"
    runtime = get(client, f"/device/{files.settings['runtime']['folder']}/ort-wasm-simd-threaded.wasm")
    assert (runtime.data, runtime.content_type) == (b"content of ort-wasm-simd-threaded.wasm", "application/wasm")
    assert "immutable" in runtime.headers["Cache-Control"]


@pytest.mark.parametrize("name", ["settings.json", "depth-worker.js"])
def test_what_may_change_is_asked_for_each_time_and_sent_once(client, name):
    reply = get(client, f"/device/{name}")
    assert reply.status_code == 200
    assert reply.headers["Cache-Control"] == "no-cache"
    again = get(client, f"/device/{name}", headers={"If-None-Match": reply.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["", "fp32.onnx", "../pyproject.toml", "..%2f..%2fpyproject.toml", "static/photo.js"])
def test_nothing_else_is_handed_out_below_its_folder(client, name):
    reply = get(client, f"/device/{name}")
    assert (reply.status_code, reply.content_type) == (404, "application/problem+json")


def test_a_graph_that_is_gone_is_one_line_in_the_log_and_the_server_lives(client, files, caplog):
    [model, _] = files.settings["models"]
    files.graphs["fp32"].unlink()
    reply = get(client, f"/device/{model['file']}")
    assert (reply.status_code, reply.json["detail"]) == (404, "the server has this file no more")
    assert "No such file" in caplog.text
    assert "Traceback" not in caplog.text
    assert get(client, "/").status_code == 200


def test_every_answer_isolates_the_page_and_only_the_device_needs_webassembly(open_client, files, photo):
    for offered in (files, None):
        client = open_client(offered)
        paths = ("/", "/nothing", "/static/page.js", "/healthz", "/device/settings.json", "/service-worker.js")
        for reply in (*(get(client, path) for path in paths), client.post("/api/depth", data=photo)):
            assert reply.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert reply.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            policy = dict(part.split(" ", 1) for part in reply.headers["Content-Security-Policy"].split("; "))
            assert policy["script-src"] == ("'self' 'wasm-unsafe-eval'" if offered else "'self'")
            assert policy.get("worker-src") == ("'self'" if offered else None)
            assert policy["connect-src"] == "'self'"


def test_without_the_files_the_page_offers_no_device(open_client):
    client = open_client(None)
    assert 'id="where"' not in get(client, "/").text
    assert get(client, "/device/settings.json").status_code == 404
    assert get(client, "/service-worker.js").status_code == 404


def test_the_page_links_the_licences_of_what_it_hands_out(client, files):
    (files.assets / "licences.txt").write_text("MIT")
    [link] = re.findall(r'href="(device/[^"]+)"', get(client, "/").text)
    assert get(client, f"/{link}").text == "MIT"


def test_the_page_says_how_much_each_choice_loads(client, files):
    size_bytes = {file.name: file.size_bytes for file in FILES}
    choices = {(one["name"], one["provider"]): one["mb"] for one in device_page.choices(files)}
    assert set(choices) == {("fp32", "wasm"), ("int8", "wasm"), ("fp32", "webgpu")}
    wasm = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm", "jpeg-turbo.wasm")
    loaded = sum(size_bytes[name] for name in wasm) + len(b"graph of fp32")
    assert choices["fp32", "wasm"] == pytest.approx(loaded / 1e6)
    page = get(client, "/").text
    assert all(f"{mb:.0f} MB to load once" in page for mb in choices.values())


def test_a_browser_keeps_the_page_and_its_scripts_and_neither_photos_nor_answers(client):
    kept = kept_by(client)
    assert {"./", "static/page.css", "static/page.js", "static/device.js", "device/settings.json"} <= set(kept["files"])
    assert {f"device/{name}" for name in SCRIPTS} <= set(kept["files"])
    assert not any(name.startswith(("samples", "api", "device/fp32")) for name in kept["files"])
    assert {name: get(client, f"/{name.removeprefix('./')}").status_code for name in kept["files"]} == dict.fromkeys(
        kept["files"], 200
    )


def test_whatever_changes_replaces_what_browsers_keep(client, open_client, files, tmp_path, monkeypatch):
    version = kept_by(client)["version"]
    assert kept_by(client)["version"] == version
    files.graphs["int8"].write_bytes(b"another graph")
    assert kept_by(open_client(replace(files)))["version"] != version
    static = tmp_path / "static"
    static.mkdir()
    for path in device_page.STATIC.iterdir():
        (static / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(device_page, "STATIC", static)
    assert kept_by(client)["version"] == version
    (static / "page.js").write_text("// another")
    assert kept_by(client)["version"] != version
