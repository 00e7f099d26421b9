"""The server's page in a real browser, on the real network; screenshots go to --basetemp for people to look at."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("flask", reason="needs the extra [web]")
pytest.importorskip("axe_playwright_python", reason="needs the extra [dev]")
pytestmark = pytest.mark.browser

from playwright.sync_api import expect  # noqa: E402
from tests.serve.page_checks import DESKTOP, fits, upload, violations, watched  # noqa: E402

from midas_bench.depth.config import PipelineConfig  # noqa: E402
from midas_bench.serve.serve_config import ServeConfig  # noqa: E402

LIMIT_BYTES = 2_000_000
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)
PHONE = {"width": 360, "height": 740}
DELIVER = """([kind, name, data]) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, {type: "image/jpeg"}));
    const init = {bubbles: true, cancelable: true};
    document.body.dispatchEvent(kind === "drop"
        ? new DragEvent("drop", {...init, dataTransfer: transfer})
        : new ClipboardEvent("paste", {...init, clipboardData: transfer}));
}"""


@pytest.fixture(scope="module")
def url(graphs, serving, samples):
    config = ServeConfig(
        pipeline=PipelineConfig("onnx", threads=1, weights="seeded", cache_dir=str(graphs)),
        max_upload_bytes=LIMIT_BYTES,
        samples=samples,
    )
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
        # Choosers are intercepted from here on: asked for together with a key, the browser may see the key first.
        page.on("filechooser", lambda _: None)

    with watched(new_page, url, ready) as made:
        yield made


@pytest.fixture(scope="module")
def jpeg(encode):
    """Make a photo of any size, brighter to the right."""

    def made(width, height, **how):
        ramp = np.linspace(0, 255, width, dtype=np.uint8)
        return encode(np.broadcast_to(ramp[None, :, None], (height, width, 3)), "JPEG", **how)

    return made


def done(page, name):
    expect(page.locator("#status")).to_contain_text(f"Done: depth of {name}")
    expect(page.locator("#result")).to_be_visible()


def size_shown(page, name):
    return page.evaluate(
        f"[document.getElementById('{name}').naturalWidth, document.getElementById('{name}').naturalHeight]"
    )


def split(page):
    return float(page.locator("#pair").evaluate("e => getComputedStyle(e).getPropertyValue('--split')").rstrip("% "))


def test_a_chosen_photo_becomes_a_heat_map_and_the_next_one_replaces_it(opened, photo, jpeg, shots):
    page = opened()
    page.screenshot(path=shots / "desktop-before.png", full_page=True)
    with page.expect_file_chooser() as chooser:
        page.get_by_text("Choose a photo").click()
    assert not chooser.value.is_multiple()
    chooser.value.set_files({"name": "china.jpg", "mimeType": "image/jpeg", "buffer": photo})
    done(page, "china.jpg")
    width, height = Image.open(io.BytesIO(photo)).size
    assert size_shown(page, "result-photo") == size_shown(page, "result-depth") == [width, height]
    assert page.get_by_text(f"{width} \N{MULTIPLICATION SIGN} {height} pixels").is_visible()
    stages = [float(text.removesuffix(" ms")) for text in page.locator("tbody .number").all_inner_texts()]
    assert len(stages) == 6
    assert sum(stages) > 1
    bars = [float(bar.get_attribute("width").rstrip("%")) for bar in page.locator(".time").all()]
    assert sum(bars) == pytest.approx(100)
    page.screenshot(path=shots / "desktop-after.png", full_page=True)

    before = page.locator("#result-depth").get_attribute("src")
    upload(page, jpeg(320, 200), "second.jpg")
    done(page, "second.jpg")
    assert page.locator("#result-depth").get_attribute("src") != before
    assert size_shown(page, "result-photo") == size_shown(page, "result-depth") == [320, 200]
    assert page.locator("#result-photo").get_attribute("alt") == "The photo second.jpg"


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_photo_can_be_given_by(kind, opened, jpeg):
    page = opened()
    page.evaluate(DELIVER, [kind, "given.jpg", base64.b64encode(jpeg(64, 48)).decode()])
    done(page, "given.jpg")
    assert size_shown(page, "result-depth") == [64, 48]


def test_dropping_what_is_no_file_says_so(opened):
    page = opened()
    page.evaluate(
        "document.body.dispatchEvent(new DragEvent('drop', {bubbles: true, dataTransfer: new DataTransfer()}))"
    )
    expect(page.get_by_role("alert")).to_contain_text("not a file")


def test_a_sample_is_tried_with_a_click(opened, samples):
    page = opened()
    assert page.locator(".samples .note").all_inner_texts() == [f"{one.author}, {one.licence}" for one in samples]
    page.get_by_role("button", name=samples[2].alt).click()
    done(page, samples[2].file)
    assert size_shown(page, "result-photo") == [samples[2].width, samples[2].height]


@pytest.mark.parametrize("scripted", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_below_a_path_that_a_proxy_strips_photo_and_sample_work(opened, url, below_path, photo, samples, scripted):
    with below_path(url, "/some/where") as address:
        page = opened(address=address, java_script_enabled=scripted)
        upload(page, photo)
        if not scripted:
            page.get_by_role("button", name="Show its depth").click()
        expect(page.locator("#result")).to_be_visible()
        for number, sample in enumerate(page.locator(".samples img").all()):
            assert sample.evaluate("image => image.complete && image.naturalWidth > 0"), samples[number].file
        page.get_by_role("button", name=samples[1].alt).click()
        expect(page.locator("#result-photo")).to_have_attribute("width", str(samples[1].width))
        described = page.get_by_role("link", name="API description").evaluate("link => link.href")
        assert described == f"{address}openapi.json"


def test_the_slider_follows_the_mouse(opened, photo):
    page = opened()
    upload(page, photo)
    done(page, "photo.jpg")
    pair = page.locator("#pair")
    pair.scroll_into_view_if_needed()
    box = pair.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 80)
    assert split(page) == pytest.approx(25, abs=1)
    page.mouse.move(box["x"] - 50, box["y"] + 80)
    assert split(page) == 0
    page.mouse.up()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 80)
    assert split(page) == 0
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 80)
    assert split(page) == pytest.approx(75, abs=1)


def test_the_slider_follows_a_finger(opened, photo):
    page = opened(viewport=PHONE, has_touch=True, is_mobile=True)
    upload(page, photo)
    done(page, "photo.jpg")
    page.locator("#pair").scroll_into_view_if_needed()
    box = page.locator("#pair").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.2, box["y"] + 40)
    assert split(page) == pytest.approx(20, abs=2)


def test_page_works_with_the_keyboard_alone(opened, samples, shots):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "photo"
    with page.expect_file_chooser():
        page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == samples[0].file
    page.screenshot(path=shots / "focus.png")
    page.keyboard.press("Enter")
    done(page, samples[0].file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "view-slider"
    page.keyboard.press("Tab")
    for key, percent in (("ArrowRight", 51), ("Home", 0), ("PageUp", 10), ("End", 100), ("ArrowLeft", 99)):
        page.keyboard.press(key)
        assert split(page) == percent
    assert page.locator("#split").get_attribute("aria-valuetext") == "99 % photo"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    photo, depth = (page.locator(f"#result-{name}").bounding_box() for name in ("photo", "depth"))
    assert photo["x"] + photo["width"] <= depth["x"]
    assert not page.locator("#split").is_visible()
    page.screenshot(path=shots / "side-by-side.png", full_page=True)
    page.keyboard.press("Tab")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    with Image.open(download.value.path()) as picture:
        assert (picture.format, picture.mode) == ("PNG", "P")
        assert picture.size == (samples[0].width, samples[0].height)
    assert download.value.suggested_filename == samples[0].file.replace(".jpg", "-depth.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_on_a_phone(scheme, opened, samples, shots):
    page = opened(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme=scheme)
    assert fits(page)
    expect(page.get_by_text("Take a photo")).to_be_visible()
    assert page.locator("#photo").get_attribute("capture") is None  # choosing stays possible
    assert page.locator("#camera").get_attribute("capture") == "environment"
    page.screenshot(path=shots / f"phone-{scheme}-before.png")  # a whole page's would count as no touch screen
    upload(page, samples[3].data, samples[3].file)
    done(page, samples[3].file)
    assert fits(page)
    page.screenshot(path=shots / f"phone-{scheme}-view.png")
    page.screenshot(path=shots / f"phone-{scheme}-after.png", full_page=True)
    page.get_by_text("Side by side").click()
    assert fits(page)
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible_as_far_as_axe_can_tell(scheme, opened, photo, shots):
    page = opened(color_scheme=scheme, expected=("status of 415",))
    assert violations(page) == []
    upload(page, photo)
    done(page, "photo.jpg")
    assert violations(page) == []
    upload(page, b"GIF89a no photo", "moving.gif")
    expect(page.get_by_role("alert")).not_to_be_empty()
    assert violations(page) == []
    lightness = sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))))
    assert (lightness < 200) == (scheme == "dark")
    page.screenshot(path=shots / f"{scheme}-problem.png", full_page=True)


def test_page_without_javascript_is_a_form(opened, photo, samples, shots):
    page = opened(java_script_enabled=False, expected=("status of 415",))
    page.screenshot(path=shots / "no-js-before.png", full_page=True)
    assert not page.locator("#split").is_visible()
    assert not page.get_by_text("Slider").is_visible()
    upload(page, photo, "china.jpg")
    page.get_by_role("button", name="Show its depth").click()
    expect(page.locator("#result")).to_be_visible()
    width, height = Image.open(io.BytesIO(photo)).size
    for name in ("photo", "depth"):
        image = page.locator(f"#result-{name}")
        assert (image.get_attribute("width"), image.get_attribute("height")) == (str(width), str(height))
        assert image.bounding_box()["width"] > 300
    page.screenshot(path=shots / "no-js-after.png", full_page=True)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "china-depth.png"
    with Image.open(download.value.path()) as picture:
        assert picture.size == (width, height)
    page.get_by_role("button", name=samples[1].alt).click()  # though no file is chosen
    expect(page.locator("#result-photo")).to_have_attribute("width", str(samples[1].width))
    upload(page, b"no photo at all")
    page.get_by_role("button", name="Show its depth").click()
    expect(page.get_by_role("alert")).to_contain_text("convert")


def test_page_shows_a_problem_with_its_next_step(opened, jpeg):
    page = opened(expected=("status of 415",))
    upload(page, b"no photo at all", "notes.txt")
    alert = page.get_by_role("alert")
    expect(alert.locator("h2")).to_have_text("Not a photo in a known format")
    assert "not a JPEG, PNG or WebP" in alert.inner_text()
    assert alert.locator(".next").inner_text()
    assert not page.locator("#busy").is_visible()
    upload(page, jpeg(32, 32), "good.jpg")
    done(page, "good.jpg")
    expect(alert).to_be_empty()


def test_too_large_a_photo_is_not_even_sent(opened, jpeg):
    page = opened()
    upload(page, jpeg(32, 32) + b"\0" * LIMIT_BYTES, "large.jpg")
    expect(page.get_by_role("alert")).to_contain_text("2.0 MB, and this server takes up to 2 MB")
    assert not [asked for asked in page.requested if "/api/" in asked]


def test_page_says_that_the_server_is_gone(opened, jpeg):
    page = opened(expected=("ERR_FAILED",))
    page.route("**/api/depth", lambda route: route.abort())
    upload(page, jpeg(32, 32))
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")


def test_waiting_can_be_cancelled_or_replaced(opened, jpeg, shots):
    page = opened()
    held = []
    page.route("**/api/depth", lambda route: held.append(route))
    upload(page, jpeg(32, 32), "first.jpg")
    expect(page.locator("#status")).to_have_text("Working on first.jpg …")
    page.screenshot(path=shots / "busy.png")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#status")).to_have_text("Cancelled.")
    assert page.evaluate("document.activeElement.id") == "photo"
    assert not page.locator("#result").is_visible()

    upload(page, jpeg(32, 32), "second.jpg")
    expect(page.locator("#status")).to_contain_text("second.jpg")
    for _ in range(PATIENCE_MS // 10):
        if len(held) < 2:
            page.wait_for_timeout(10)
    assert len(held) == 2
    page.unroute("**/api/depth")
    upload(page, jpeg(48, 32), "third.jpg")
    done(page, "third.jpg")
    assert page.get_by_role("alert").inner_text() == ""
    assert size_shown(page, "result-photo") == [48, 32]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_photo_that_was_held_sideways_lines_up_with_its_depth(format, opened, samples, encode, shots):
    upright = Image.open(io.BytesIO(samples[3].data)).resize((600, 400))
    page = opened()
    upload(page, encode(upright.transpose(Image.Transpose.ROTATE_90), format, orientation=6), "turned")
    done(page, "turned")
    assert size_shown(page, "result-depth") == list(upright.size)
    page.screenshot(path=shots / f"sideways-{format}.png", full_page=True)
    if size_shown(page, "result-photo") == list(upright.size):
        assert not page.locator("#turned").is_visible()
        assert page.locator("#split").is_visible()
    else:  # Chromium does not turn WebP
        assert format == "WEBP"
        assert page.locator("#turned").is_visible()
        assert not page.locator("#split").is_visible()
        upload(page, samples[3].data, "upright.jpg")
        done(page, "upright.jpg")
        assert page.locator("#split").is_visible()


@pytest.mark.parametrize("size", [(60, 3000), (3000, 60), (4000, 3000), (1, 1)], ids=str)
def test_photos_of_odd_sizes_stay_inside_the_window(size, opened, jpeg, shots):
    page = opened()
    upload(page, jpeg(*size))
    done(page, "photo.jpg")
    for kind in ("Slider", "Side by side"):
        page.get_by_text(kind).click()
        boxes = [page.locator(f"#result-{name}").bounding_box() for name in ("photo", "depth")]
        assert fits(page)
        assert all(box["height"] <= 0.8 * DESKTOP["height"] for box in boxes)
        assert all(box["width"] >= 250 and box["height"] >= 40 for box in boxes)  # room for a slider
        if kind == "Slider":
            assert boxes[0] == boxes[1]
        page.screenshot(path=shots / f"odd-{size[0]}x{size[1]}-{kind[:4]}.png", full_page=True)


def test_random_weights_are_said_on_the_page(opened):
    page = opened()
    assert page.get_by_text("Timing only: the depth means nothing").is_visible()
    assert "Backend onnx, 1 thread, seeded" in page.locator("footer").inner_text()
