"""The page computes on the visitor's own device, in a real browser; screenshots go to --basetemp to look at."""

from __future__ import annotations

import io
import re
import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("flask", reason="needs the extra [web]")
pytest.importorskip("axe_playwright_python", reason="needs the extra [dev]")
pytestmark = pytest.mark.browser

from dataclasses import replace  # noqa: E402

from playwright.sync_api import expect  # noqa: E402
from tests.conftest import CHROMIUM, CHROMIUM_ARGUMENTS  # noqa: E402
from tests.serve.page_checks import fits, upload, violations, watched  # noqa: E402

from midas_bench.depth.config import PipelineConfig  # noqa: E402
from midas_bench.depth.interface import MIDAS  # noqa: E402
from midas_bench.serve.serve_config import ServeConfig  # noqa: E402
from midas_bench.web.device_files import DeviceFiles  # noqa: E402

PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
PHONE = {"width": 360, "height": 740}
USUAL = ("No available adapters.", "Service Worker registration blocked by Playwright")
"""Chromium says so where a page asks for a graphics adapter and there is none, and Playwright where a test wants it."""
LITTLE_MEMORY = "--js-flags=--wasm-max-mem-pages=1500"
"""96 MB for WebAssembly, of which the runtime and the network need more."""
WITHOUT_SIMD = "WebAssembly.validate = () => false;\n"
CACHED = """async () => {
    const addresses = [];
    for (const name of await caches.keys())
        for (const request of await (await caches.open(name)).keys()) addresses.push(request.url);
    return addresses;
}"""
FAKE_ADAPTER = "Object.defineProperty(navigator, 'gpu', {value: {requestAdapter: async () => (%s)}});"


@pytest.fixture(scope="module")
def config(graphs, samples, device_files):
    pipeline = PipelineConfig("onnx", threads=1, weights="seeded", cache_dir=str(graphs))
    return ServeConfig(pipeline, samples=samples, device=device_files)


@pytest.fixture(scope="module")
def url(serving, config):
    with serving(config) as server:
        yield server.url


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    return tmp_path_factory.mktemp("screenshots")


@pytest.fixture
def opened(new_page, url):
    """Open the page: `opened(viewport=...)`; at the end nothing may have complained or gone to another host."""

    def ready(page):
        page.set_default_timeout(PATIENCE_MS)
        page.context.on("request", lambda asked: page.requested.append(asked.url))

    with watched(new_page, url, ready, USUAL) as made:
        yield made


@pytest.fixture
def on_device(opened):
    """Open the page and choose the device."""

    def chosen(**options):
        page = opened(**options)
        page.get_by_text("Run on this device").click()
        expect(page.locator("#model")).to_be_visible()
        return page

    return chosen


def done(page, name="photo.jpg"):
    expect(page.locator("#status")).to_contain_text(f"Done: depth of {name}")
    expect(page.locator("#total")).to_contain_text("on this device")


def require_server_computes(page, photo):
    page.get_by_text("Run on the server").click()
    upload(page, photo)
    expect(page.locator("#total")).to_contain_text("on the server")


def sent(page):
    """Return the requests that reached a network, or tried to."""
    return [asked for asked in page.requested if asked.startswith("http")]


def heat_map(page):
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the heat map").click()
    with Image.open(download.value.path()) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def problem(page):
    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.locator("#busy")).not_to_be_visible()
    return page.get_by_role("alert").inner_text()


def wait_until_kept(page, device_files, model):
    """Wait until the service worker has written what it was given."""
    [file] = [one["file"] for one in device_files.settings["models"] if one["name"] == model]
    end_s = time.monotonic() + PATIENCE_MS / 1000
    while not any(address.endswith(file) for address in page.evaluate(CACHED)):
        assert time.monotonic() < end_s
        page.wait_for_timeout(50)


def test_a_photo_becomes_the_servers_heat_map_without_being_sent(on_device, url, ask, photo, samples, shots):
    page = on_device()
    expect(page.locator("#limits")).to_contain_text("Your photo stays on this device: it is not sent to the server.")
    page.screenshot(path=shots / "before.png")
    upload(page, photo)
    done(page)
    assert not any("/api/" in asked for asked in page.requested)
    page.screenshot(path=shots / "after.png", full_page=True)
    expect(page.locator("#total")).to_have_text(
        re.compile(r"^\d+ ms on this device, fp32 by WebAssembly, \d+ threads?$")
    )
    stages = [float(text.removesuffix(" ms")) for text in page.locator("tbody .number").all_inner_texts()]
    assert len(stages) == 6
    assert sum(stages) > 1

    before = len(sent(page))
    for one in (photo, samples[1].data):
        upload(page, one, "again.jpg")
        done(page, "again.jpg")
        theirs = np.asarray(Image.open(io.BytesIO(ask(url, "POST", "/api/depth", one).body)).convert("RGB"), int)
        ours = heat_map(page)
        assert ours.shape == theirs.shape
        assert (np.abs(ours - theirs).max(axis=2) <= 2).mean() >= 0.999
        page.evaluate("document.getElementById('status').textContent = ''")
    assert sent(page)[before:] == []


def test_after_the_first_visit_the_page_needs_no_server(serving, config, on_device, photo, device_files, shots):
    with serving(config) as server:
        page = on_device(address=server.url, expected=("ERR_CONNECTION_REFUSED",))
        upload(page, photo)
        done(page)
        wait_until_kept(page, device_files, "fp32")
        kept = page.evaluate(CACHED)
        assert not any("/samples/" in address or "/api/" in address for address in kept)
    for visit in ("second", "third"):
        page.reload()
        assert page.evaluate("crossOriginIsolated")
        # chosen at the last visit
        expect(page.get_by_role("radio", name="Run on this device")).to_be_checked()
        upload(page, photo, f"{visit}.jpg")
        done(page, f"{visit}.jpg")
    page.screenshot(path=shots / "without-server.png", full_page=True)
    page.get_by_text("Run on the server").click()
    upload(page, photo)
    assert "cannot be reached" in problem(page)
    assert page.evaluate(CACHED) == kept


def test_below_a_path_another_version_replaces_what_is_kept(
    serving, config, on_device, below_path, photo, device_files, tmp_path, until
):
    graph = tmp_path / "fp32.onnx"
    # a field that readers pass over
    graph.write_bytes(device_files.graphs["fp32"].read_bytes() + b"\xfa\x3f\x00")
    newer = replace(config, device=replace(device_files, graphs={"fp32": graph}))
    with serving(config) as first, serving(newer) as second:
        servers = [second.url, first.url]
        with below_path(lambda: servers[-1], "/depth") as address:
            page = on_device(address=address)
            assert not page.locator("#one-thread").is_visible()
            upload(page, photo)
            done(page)
            scopes = "navigator.serviceWorker.getRegistrations().then((all) => all.map((one) => one.scope))"
            assert page.evaluate(scopes) == [address]
            wait_until_kept(page, device_files, "fp32")
            [old] = [name for name in page.evaluate("caches.keys()") if not name.endswith("large")]
            servers.pop()
            page.reload()
            expect(page.locator("#model option")).to_have_count(2)
            until(lambda: old not in page.evaluate("caches.keys()"))
            until(lambda: not any(kept.endswith(".onnx") for kept in page.evaluate(CACHED)))
            assert any(kept.endswith(".wasm") for kept in page.evaluate(CACHED))
            upload(page, photo)
            done(page)
            wait_until_kept(page, newer.device, "fp32")


def test_loading_shows_its_progress_and_can_be_cancelled(opened, photo, shots):
    page = opened(service_workers="block")
    held = []
    page.route("**/*.onnx", lambda route: held.append(route))
    page.get_by_text("Run on this device").click()
    upload(page, photo)
    expect(page.locator("#loaded")).to_have_text(re.compile(r"^model: 14 of \d\d MB$"))
    share = page.locator("#progress").evaluate("bar => bar.position")
    assert 0.1 < share < 0.5
    page.screenshot(path=shots / "loading.png")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#status")).to_have_text("Cancelled.")
    assert page.get_by_role("alert").inner_text() == ""
    assert not page.locator("#busy").is_visible()
    page.unroute("**/*.onnx")
    upload(page, photo, "again.jpg")
    done(page, "again.jpg")
    assert page.locator("#progress").evaluate("bar => bar.position") == -1


def test_a_damaged_or_replaced_photo_does_not_stop_the_next_and_samples_are_computed_too(
    on_device, photo, encode, samples
):
    page = on_device()
    upload(page, b"no photo at all", "notes.txt")
    assert "convert" in problem(page).lower()
    upload(page, photo, "first.jpg")
    expect(page.locator("#status")).to_contain_text("first.jpg")
    upload(page, encode(np.zeros((40, 60, 3), np.uint8), "JPEG"), "second.jpg")
    done(page, "second.jpg")
    expect(page.locator("#result-depth")).to_have_attribute("width", "60")
    assert page.get_by_role("alert").inner_text() == ""
    page.get_by_role("button", name=samples[2].alt).click()
    done(page, samples[2].file)
    expect(page.locator("#result-depth")).to_have_attribute("width", str(samples[2].width))
    assert not any("/api/" in asked for asked in page.requested)


def test_a_page_that_is_not_isolated_computes_with_one_thread_and_says_why(on_device, url, below_path, photo):
    with below_path(url, "/plain", without={"Cross-Origin-Opener-Policy", "Cross-Origin-Embedder-Policy"}) as address:
        page = on_device(address=address)
        assert not page.evaluate("crossOriginIsolated")
        expect(page.locator("#one-thread")).to_contain_text("this page is not isolated")
        upload(page, photo)
        done(page)
        expect(page.locator("#total")).to_contain_text("1 thread")
        assert "threads" not in page.locator("#total").inner_text()


def test_a_browser_without_simd_is_told_to_update(opened, photo):
    page = opened(service_workers="block")
    script = page.context.request.get(f"{page.url}device/depth-worker.js")
    page.route("**/depth-worker.js", lambda route: route.fulfill(response=script, body=WITHOUT_SIMD + script.text()))
    page.get_by_text("Run on this device").click()
    upload(page, photo)
    assert "SIMD" in problem(page)
    require_server_computes(page, photo)


def test_too_little_memory_is_said_and_the_server_can_still_compute(browser, url, photo):
    limited = browser.browser_type.launch(executable_path=str(CHROMIUM), args=[*CHROMIUM_ARGUMENTS, LITTLE_MEMORY])
    try:
        page = limited.new_page()
        page.goto(url)
        page.get_by_text("Run on this device").click()
        upload(page, photo)
        assert problem(page).startswith("This device has too little memory")
        require_server_computes(page, photo)
    finally:
        limited.close()


def test_a_script_that_cannot_be_had_is_a_problem(opened, photo):
    page = opened(service_workers="block", expected=("ERR_FAILED",))
    page.route("**/depth-worker.js", lambda route: route.abort())
    page.get_by_text("Run on this device").click()
    upload(page, photo)
    assert "script cannot be loaded" in problem(page)
    page.unroute("**/depth-worker.js")
    upload(page, photo)
    done(page)


def test_a_broken_model_file_is_a_problem_and_the_server_can_still_compute(
    serving, config, opened, device_files, photo, tmp_path
):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(device_files.graphs["fp32"].read_bytes()[:1_000_000])
    device = DeviceFiles({"fp32": broken}, MIDAS, device_files.assets, config.max_pixels)
    with serving(replace(config, device=device)) as server:
        page = opened(address=server.url, expected=("[E:onnxruntime", "Can't create a session"))
        page.get_by_text("Run on this device").click()
        upload(page, photo)
        assert "The model cannot be opened" in problem(page)
        require_server_computes(page, photo)


def test_a_tab_that_is_closed_while_the_model_loads_leaves_the_server_well(opened, url, ask, photo, caplog):
    page = opened()
    page.get_by_text("Run on this device").click()
    upload(page, photo)
    expect(page.locator("#loaded")).to_have_text(re.compile("^model: "))
    page.close()
    assert ask(url, "GET", "/readyz").status == 200
    assert ask(url, "POST", "/api/depth", photo).status == 200
    assert "Traceback" not in caplog.text
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        ("{info: {vendor: 'intel', architecture: 'xe', isFallbackAdapter: false}}", None),
        ("{info: {vendor: 'google', architecture: 'swiftshader'}}", "only an imitated graphics adapter here"),
        ("{isFallbackAdapter: true}", "only an imitated graphics adapter here"),
        ("null", "no graphics adapter here"),
    ],
)
def test_webgpu_is_offered_where_there_is_a_real_adapter(new_page, url, adapter, reason):
    page = new_page()
    page.add_init_script(FAKE_ADAPTER % adapter)
    page.goto(url)
    page.get_by_text("Run on this device").click()
    option = page.locator("#model option[data-provider=webgpu]")
    if reason:
        expect(option).to_have_text(re.compile(f"{reason}$"))
        assert option.is_disabled()
    else:
        expect(option).to_be_enabled()
        assert option.inner_text().endswith("to load once")


def test_device_and_model_are_chosen_with_the_keyboard_alone(opened, photo, shots):
    page = opened()
    # its script, which comes behind the page's own, enables it
    expect(page.locator("#where")).to_be_enabled()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "where-server"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "where-device"
    expect(page.get_by_role("radio", name="Run on this device")).to_be_checked()
    page.screenshot(path=shots / "focus.png")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "model"
    page.keyboard.press("ArrowDown")
    assert page.locator("#model").input_value() == "int8"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "photo"
    upload(page, photo)
    done(page)
    expect(page.locator("#total")).to_contain_text("int8 by WebAssembly")
    assert page.evaluate("document.activeElement.id") == "result-title"
    int8 = heat_map(page)
    page.locator("#model").focus()
    page.keyboard.press("ArrowUp")
    upload(page, photo, "again.jpg")
    done(page, "again.jpg")
    expect(page.locator("#total")).to_contain_text("fp32 by WebAssembly")
    assert (heat_map(page) != int8).any()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_choice_fits_on_a_phone_and_axe_has_no_complaint(scheme, opened, photo, shots):
    page = opened(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme=scheme)
    assert violations(page) == []
    page.get_by_text("Run on this device").click()
    expect(page.locator("#model")).to_be_visible()
    assert fits(page)
    assert violations(page) == []
    page.screenshot(path=shots / f"phone-{scheme}-before.png")
    if scheme == "dark":
        return
    upload(page, photo)
    done(page)
    assert fits(page)
    assert violations(page) == []
    page.screenshot(path=shots / "phone-after.png", full_page=True)


def test_without_javascript_nothing_of_it_is_there(opened, photo, shots):
    page = opened(java_script_enabled=False)
    assert not page.locator("#where").is_visible()
    assert not page.get_by_text("stays on this device").is_visible()
    page.screenshot(path=shots / "no-js.png", full_page=True)
    upload(page, photo)
    page.get_by_role("button", name="Show its depth").click()
    expect(page.locator("#total")).to_contain_text("ms on the server")
