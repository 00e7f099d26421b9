"""The page in a real browser; screenshots go to --basetemp for people to look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from midas_bench.report.machines import write_machines
from midas_bench.report.photo_strip import album
from midas_bench.report.select_runs import choose
from midas_bench.report.write import write
from midas_bench.results.price import Prices

PROJECT = Path(__file__).parents[2]
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page_file(synthetic, tmp_path_factory):
    """Write a report with everything in it: a history, a comparison, a hostile label, pictures."""
    folder = tmp_path_factory.mktemp("report")
    runs = [synthetic.run(folder / f"runs/000{i}_run.json", i, 1 + 0.1 * i) for i in (1, 2)]
    photos = album(PROJECT / "fixtures/images/manifest.toml")
    return write(choose(runs, ["old", "<img src=x onerror=alert(1)>" + "long" * 30], photos), folder / "out")


@pytest.fixture(params=[(size, scheme) for size in SIZES for scheme in ("light", "dark")], ids="-".join)
def opened(request, new_page, page_file):
    size, scheme = request.param
    width, height = SIZES[size]
    page = new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(page_file.as_uri())
    return page


def test_page_requests_nothing_and_logs_no_error(opened, page_file):
    assert [url for url in opened.requested if not url.startswith("data:")] == [page_file.as_uri()]
    assert opened.said == []


def test_page_fits_the_width_of_the_screen(opened, page_file, request):
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    outside = opened.evaluate(
        """Array.from(document.querySelectorAll("h1, h2, h3, p, nav, figure, .card, .scroll, img"))
        .filter(e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.right > innerWidth + 1; })
        .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert outside == []
    name = request.node.callspec.id
    opened.screenshot(path=page_file.parent / f"{name}.png", full_page=True)


def test_a_click_on_a_heading_sorts(opened):
    table = 'table[data-table="cells"]'
    button = opened.locator(f"{table} th button", has_text="median")
    keys = f"Array.from(document.querySelectorAll('{table} tbody tr')).map(r => Number(r.cells[1].dataset.key))"
    button.click()
    rising = opened.evaluate(keys)
    assert rising == sorted(rising)
    assert opened.locator(f'{table} th[aria-sort="ascending"]').count() == 1
    button.press("Enter")
    falling = opened.evaluate(keys)
    assert falling == sorted(falling, reverse=True)
    opened.locator(f"{table} th button", has_text="cell").click()
    names = opened.evaluate(
        f"Array.from(document.querySelectorAll('{table} tbody tr')).map(r => r.cells[0].textContent)"
    )
    assert len(names) == len(falling)
    assert names[0].startswith("test_article")


def test_text_and_charts_follow_the_colour_scheme(opened):
    scheme = opened.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    label = opened.evaluate("getComputedStyle(document.querySelector('.chart text')).fill")
    lightness = [sum(map(int, colour[4:-1].split(","))) for colour in (background, label)]
    assert (lightness[0] < 200 < 400 < lightness[1]) if scheme else (lightness[1] < 400 < 700 < lightness[0])


def test_page_can_be_read_without_javascript(new_page, page_file):
    page = new_page(java_script_enabled=False)
    page.goto(page_file.as_uri())
    assert page.locator("h2").count() >= 7
    assert page.locator("th button").count() == 0
    assert page.locator("table").first.is_visible()


def test_page_prints_as_dark_text_on_white(new_page, page_file):
    page = new_page()
    page.goto(page_file.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("nav").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.pdf(path=page_file.parent / "report.pdf", format="A4")


@pytest.mark.parametrize("size", SIZES)
def test_a_page_over_machines_fits_the_width_of_the_screen(synthetic, new_page, tmp_path, size):
    places = []
    for number in range(4):
        content = synthetic.content(synthetic.Maker(number, 1 + number).everything(depth_maps=False))
        # no such machines exist
        own = {"fingerprint": f"altered-{number}", "cpu_model": f"Altered CPU of a long name, number {number}"}
        content["machine_info"]["midas_bench"] |= own
        places.append(synthetic.save(tmp_path / f"{number}.json", content, depth_maps=False))
    _, page_file = write_machines(places, tmp_path / "out", prices=Prices(other=0.1))
    width, height = SIZES[size]
    page = new_page(viewport={"width": width, "height": height})
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.said == []
    page.screenshot(path=tmp_path / f"{size}.png", full_page=True)
