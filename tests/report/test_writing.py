from __future__ import annotations

import csv
import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from markupsafe import escape as html_escape
from PIL import Image

from midas_bench.errors import UserError, printable
from midas_bench.render.markdown_escape import escape
from midas_bench.report.photo_strip import Album, album
from midas_bench.report.select_runs import choose
from midas_bench.report.write import write
from midas_bench.results.run_files import read

CONTROLS = "\u202e\x00\x1b[31m\r\n\t\x85\ud800"
HOSTILE = '<script>alert("1")</script> | `x` *b* [a](http://evil.example) $\\frac{ @all ${7*7}{{7*7}} ' + CONTROLS
PROJECT = Path(__file__).parents[2]


def report(folder, *places, labels=(), photos=Album()):  # noqa: B008 - frozen
    write(choose([Path(p) for p in places], list(labels), photos), folder)
    return (folder / "report.html").read_text(), (folder / "report.md").read_text()


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.start_tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.start_tags.append((tag, dict(attrs)))

    def all(self, tag):
        return [attributes for name, attributes in self.start_tags if name == tag]


@pytest.mark.parametrize("part", range(3))
def test_a_report_is_written_whatever_files_folders_photos_and_sides_are_called(tmp_path, changed, odd_names, part):
    def change(content):
        for number, benchmark in enumerate(content["benchmarks"]):
            photo = {"file": names[number % len(names)], "width": 4, "height": 3, "bytes": 1, "sha256": "0"}
            benchmark["extra_info"]["photos"] = [photo]
            benchmark["stats"]["data"][0] += 1e-9 * len(saved)

    names = odd_names[part::3]
    place = tmp_path / names[0]
    place.mkdir()
    saved: list[Path] = []
    for name in names:
        saved += [changed(change).rename(place / f"{name}.json")]
    labels = names if part else []
    page, text = report(place / "out", *saved, labels=labels)
    for name in names:
        assert escape(printable(name)) in text
    assert "<img src=x" not in page
    for path in place.rglob("*.*"):
        if path.suffix in (".html", ".md", ".csv", ".svg"):
            assert path.read_text(encoding="utf-8")


@pytest.fixture
def full(synthetic, tmp_path):
    return synthetic.run(tmp_path / "runs/0001_run.json")


@pytest.fixture(scope="module")
def written(synthetic, tmp_path_factory):
    """Write the report of a full run once: its folder, page and Markdown."""
    folder = tmp_path_factory.mktemp("full")
    run = synthetic.run(folder / "runs/0001_run.json")
    return folder / "out", *report(folder / "out", run, photos=album(PROJECT / "fixtures/images/manifest.toml"))


def test_a_full_run_gives_page_markdown_tables_and_charts(written):
    folder, page, text = written
    assert len(page) < 3 * 1024 * 1024
    assert len(text) < 65_536  # the longest comment that GitHub takes
    charts = {path.stem for path in (folder / "charts").glob("*.svg")}
    assert charts == {"latency", "rounds", "speedup", "throughput", "stages", "memory", "memory-over-time", "startup",
                      "threads", "scenes", "speed-and-fidelity"}  # fmt: skip
    for name in charts:
        root = ET.parse(folder / f"charts/{name}.svg").getroot()
        assert root.tag.endswith("svg")
        with Image.open(folder / f"charts/{name}.png") as image:
            image.verify()
    tables = {path.stem for path in folder.glob("*.csv")}
    assert tables == {"cells", "rounds", "claims", "blocks", "memory_over_time", "startup"}
    assert not list(folder.rglob("*.tmp"))


def test_the_page_fetches_nothing_and_names_every_picture(written):
    _, page, _ = written
    elements = Elements(page)
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page)
    assert "url(" not in page.replace("url(#", "")
    assert all(image["alt"] for image in elements.all("img"))
    charts = [division for division in elements.all("div") if division.get("role") == "img"]
    assert len(charts) == 11
    assert all(len(division["aria-label"]) > 30 for division in charts)
    ids = [attributes["id"] for _, attributes in elements.start_tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    anchors = {a["href"].removeprefix("#") for a in elements.all("a")}
    assert anchors <= set(ids)
    [policy] = [meta["content"] for meta in elements.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'")


def test_csv_is_tidy_and_in_si_units(small, changed, tmp_path):
    report(tmp_path / "out", changed())
    with (tmp_path / "out/cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    row = next(row for row in rows if row["name"] == "test_pipeline[onnx-b4-street]")
    assert (float(row["median_s"]), float(row["median_low_s"]), row["batch_size"]) == (0.1455, 0.142, "4")
    with (tmp_path / "out/rounds.csv").open() as file:
        rounds = [float(row["time_s"]) for row in csv.DictReader(file) if row["fullname"] == small.records[0].fullname]
    assert rounds == list(small.records[0].times.rounds_s)
    with (tmp_path / "out/memory_over_time.csv").open() as file:
        assert [int(row["rss_bytes"]) for row in csv.DictReader(file)] == [100 * 2**20, 900 * 2**20]


def github():
    return MarkdownIt("commonmark").enable("table").enable("strikethrough")


def test_markdown_renders_as_tables(written):
    folder, _, text = written
    tokens = github().parse(text)
    tables = sum(token.type == "table_open" for token in tokens)
    assert tables == len(re.findall(r"^\| ---", text, re.MULTILINE)) > 5
    heads = [t for t in tokens if t.type == "heading_open"]
    assert heads[0].tag == "h1"
    depth = 0
    columns = row = 0
    for token in tokens:
        depth += {"table_open": 1, "table_close": -1}.get(token.type, 0)
        if token.type == "thead_open":
            columns = 0
        elif token.type == "th_open":
            columns += 1
        elif token.type == "tr_open":
            row = 0
        elif token.type == "td_open":
            row += 1
        elif token.type == "tr_close" and row:
            assert row == columns
    assert depth == 0
    images = re.findall(r"!\[.*?\]\((charts/[\w-]+\.svg)\)", text)
    assert len(images) == 11
    assert all((folder / image).is_file() for image in images)


def poison(content):
    content["commit_info"] = {"id": HOSTILE, "branch": HOSTILE}
    machine = content["machine_info"]
    machine["cpu"]["brand_raw"] = HOSTILE
    machine["midas_bench"] |= {"cpu_model": HOSTILE, HOSTILE: HOSTILE, "versions": {HOSTILE: HOSTILE}}
    content["midas_bench"] |= {
        "status": "partial", "planned": [HOSTILE], "failed": [{"cell": HOSTILE, "reason": HOSTILE}],
        "skipped": [{"cell": HOSTILE, "reason": HOSTILE}],
        "conditions": {HOSTILE: HOSTILE},
    }  # fmt: skip
    for i, benchmark in enumerate(content["benchmarks"]):
        benchmark["fullname"] = f"{i}{HOSTILE}"
        benchmark["name"] = f"={i}{HOSTILE}"
        info = benchmark["extra_info"]
        info["noise"] = {"noisy": True, "reasons": [HOSTILE]}
        for name in ("scene", "backend", "ratio", "baseline_scene", "cache", "stage"):
            if name in info:
                info[name] = HOSTILE + name
        if "photos" in info:
            info["photos"] = [{"file": HOSTILE, "sha256": HOSTILE}]
            info["depth_maps"] = ["../../secret.png", HOSTILE]


def test_hostile_names_stay_text(changed, tmp_path):
    bad = changed(poison, "bad.json")
    folder = tmp_path / "out"
    page, text = report(folder, changed(name="good.json"), bad, labels=(HOSTILE + "#", "other" + HOSTILE))
    elements = Elements(page)
    assert len(elements.all("script")) == 1
    assert page.count("<script>") == 1
    assert not any(name.startswith("on") for _, attributes in elements.start_tags for name in attributes)
    assert "49" not in re.sub(r"[\d.]+\d", "", page)  # no template ran
    for svg in (folder / "charts").glob("*.svg"):
        tags = {element.tag.rsplit("}")[-1] for element in ET.parse(svg).getroot().iter()}
        assert not tags & {"script", "a", "foreignObject", "image"}
    tokens = github().parse(text)
    inline = [child for token in tokens if token.type == "inline" for child in token.children]
    assert not [t for t in inline if t.type == "link_open"]
    html = {t.content.strip() for t in [*tokens, *inline] if t.type.startswith("html")}
    assert all(
        re.fullmatch(r"<!-- -->|</?details>|<details>\n<summary>[^<]*(<!-- -->[^<]*)*</summary>", h) for h in html
    )
    assert "@all" not in re.sub(r"`[^\n]*`", "", text)
    svgs = [svg.read_text() for svg in (folder / "charts").glob("*.svg")]
    for written in (page, text, *svgs):
        assert {c for c in written if unicodedata.category(c)[0] == "C"} == {"\n"}
    with (folder / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["name"].startswith("'=") for row in rows)
    # whoever joins tables by an id finds it as the JSON has it, but for what UTF-8 cannot hold
    ids = {benchmark["fullname"] for benchmark in json.loads(bad.read_text())["benchmarks"]}
    assert {row["fullname"] for row in rows} == {name.replace("\ud800", "\\ud800") for name in ids}


@pytest.mark.parametrize("backend", ["onnx", "```\n# no heading", HOSTILE])
def test_the_python_of_a_stream_stands_beside_its_answer(synthetic, tmp_path, backend):
    maker = synthetic.Maker()
    maker.latency(depth_maps=False)
    maker.add("stream", 0.024, kind="stream", backend=backend, recipe="fast", stream_photos=24, threads=1)
    path = synthetic.save(tmp_path / "runs/run.json", synthetic.content(maker.benchmarks))
    page, text = report(tmp_path / "out", path)
    shown = read(path).records[-1].info.backend
    lines = f"with DepthPipeline.open({shown!r}, threads=1) as pipeline:\n    for heatmap in pipeline.map(photos): ..."
    assert [t.content for t in github().parse(text) if t.type == "fence"] == [f"{lines}\n"]
    assert len(Elements(page).all("pre")) == 1
    assert f"<pre>{html_escape(lines)}</pre>" in page
    assert page.count("<script>") == 1


def test_a_partial_run_says_so_first(changed, tmp_path):
    def change(content):
        content["midas_bench"]["status"] = "partial"
        content["midas_bench"]["planned"].append("x::never")

    page, text = report(tmp_path / "out", changed(change))
    assert "This run is partial: 12 cells measured, 1 missing." in page
    assert "This run is partial" in text
    assert "not reached" in text


def test_a_noisy_run_says_what_that_means(changed, tmp_path):
    page, text = report(tmp_path / "out", changed())
    assert "during 1 of 12 cells, 1 of them behind these answers" in page
    assert "sentinel 1.31 times its usual time" in text


def test_seeded_weights_are_said_above_the_pictures(written):
    _, page, text = written
    pictures = page[page.index('id="pictures"') :]
    assert pictures.index("They do not show depth") < pictures.index("<img")
    assert "Seeded (random) weights" in text


def test_official_weights_bring_no_warning(changed, tmp_path):
    page, _ = report(tmp_path / "out", changed())
    assert "Seeded" not in page


@pytest.mark.parametrize("index", range(12))
def test_a_single_cell_of_any_kind_gives_a_report(changed, tmp_path, index):
    def only(content):
        content["benchmarks"] = [content["benchmarks"][index]]

    page, text = report(tmp_path / "out", changed(only))
    assert "<h2" in page
    assert "## The answer" in text


def test_a_foreign_file_is_shown_and_what_is_missing_is_said(foreign, tmp_path):
    page, text = report(tmp_path / "out", foreign)
    assert "not written by this suite" in page
    assert "2.00 µs" in text
    assert "test_render" in page
    assert "The article" not in text
    assert (tmp_path / "out/charts/benchmarks.svg").is_file()


def test_a_comparison_without_a_verdict_and_loud_about_machines(changed, tmp_path):
    def other(content):
        content["machine_info"]["midas_bench"]["fingerprint"] = "other"
        content["benchmarks"].pop(0)

    old, new = changed(name="old.json"), changed(other, "new.json")
    page, text = report(tmp_path / "out", old, new)
    assert "DIFFERENT MACHINES: old and new" in page
    assert "within these runs" in text
    assert "only in old" in text
    assert (tmp_path / "out/charts/comparison-1.svg").is_file()


@pytest.mark.slow
def test_charts_and_tables_of_an_earlier_report_are_removed_and_nothing_else(full, changed, tmp_path):
    folder = tmp_path / "out"
    report(folder, full)
    (folder / "mine.csv").write_text("keep")
    (folder / "charts/mine.png").write_bytes(b"keep")
    report(folder, changed())
    assert not (folder / "charts/threads.svg").exists()
    assert not (folder / "charts/threads.png").exists()
    assert (folder / "mine.csv").exists()
    assert (folder / "charts/mine.png").exists()


def test_a_place_that_cannot_be_written_is_an_error_of_one_line(changed, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="is a file and not a folder"):
        report(tmp_path / "out", changed())


@pytest.mark.slow
def test_the_same_run_gives_the_same_files(changed, tmp_path):
    path = changed()
    first, second = report(tmp_path / "a", path), report(tmp_path / "b", path)
    assert first == second


@pytest.mark.slow
def test_a_run_without_its_pictures_has_no_pictures(full, tmp_path):
    for picture in full.with_suffix("").iterdir():
        picture.write_bytes(b"no picture")
    page, _ = report(tmp_path / "out", full)
    assert 'id="pictures"' not in page


@pytest.mark.slow
def test_true_depth_stands_beside_the_estimate(synthetic, tmp_path):
    path = synthetic.run(tmp_path / "run.json")
    content = json.loads(path.read_text())
    sha256 = content["benchmarks"][0]["extra_info"]["photos"][0]["sha256"]
    Image.new("I;16", (32, 20), 900).save(tmp_path / "depth.png")
    page, _ = report(tmp_path / "out", path, photos=Album(depth={sha256: tmp_path / "depth.png"}))
    assert page.count("True inverse depth of the street photo") == 1


def test_seeded_weights_are_said_to_say_nothing_of_fidelity_and_official_ones_are_not(synthetic, tmp_path):
    maker = synthetic.Maker()
    maker.latency()
    page, text = report(
        tmp_path / "seeded", synthetic.save(tmp_path / "a/run.json", synthetic.content(maker.benchmarks))
    )
    warning = "these errors and correlations say nothing about real photos"
    assert warning in page
    assert warning in text
    assert "Speed and fidelity" in text
    for benchmark in maker.benchmarks:
        benchmark["extra_info"]["weights"] = {"source": "official", "sha256": "70" * 32}
    page, text = report(
        tmp_path / "official", synthetic.save(tmp_path / "b/run.json", synthetic.content(maker.benchmarks))
    )
    assert warning not in page + text
    assert "rank correlation below 0.99" in page


def zero(benchmark):
    """Let every round of a cell take 0 s, as a coarse timer says."""
    stats = benchmark["stats"]
    stats |= dict.fromkeys(("min", "max", "mean", "median", "stddev", "iqr"), 0.0)
    stats["data"] = [0.0] * len(stats["data"])
    startup_s = {phase: [0.0, 0.0] for phase in ("import", "load", "first_inference", "steady")}
    benchmark["extra_info"] |= {"latency_s": {"p50": 0.0}, "peer_median_s": 0.0, "build_s": [0.0]}
    benchmark["extra_info"]["startup_s"] = startup_s


def zero_in_places(benchmark):
    """Let two rounds of five take 0 s, so that the median stays above it and its interval does not."""
    stats = benchmark["stats"]
    stats["data"] = [0.0 if i % 5 < 2 else value for i, value in enumerate(stats["data"])]
    stats |= {"min": 0.0, "median": sorted(stats["data"])[len(stats["data"]) // 2]}
    benchmark["extra_info"].pop("latency_s", None)


@pytest.mark.parametrize(("change", "part"), [(zero, "onnx"), (zero, ""), (zero_in_places, "")])
def test_cells_of_0_seconds_are_told_and_break_no_table_chart_or_answer(synthetic, tmp_path, change, part):
    maker = synthetic.Maker(scenes=("street", "pet"))
    content = synthetic.content(maker.everything(depth_maps=False))
    before = synthetic.save(tmp_path / "0001_before.json", content)
    changed = [benchmark for benchmark in content["benchmarks"] if part in benchmark["fullname"]]
    for benchmark in changed:
        change(benchmark)
    page, text = report(tmp_path / "out", before, synthetic.save(tmp_path / "0002_zero.json", content))
    timed = {b["fullname"] for b in changed if b["extra_info"]["kind"] in ("latency", "stage", "stream")}
    warning = f"{len(timed)} cells have a median of 0 s, below the resolution of the timer"
    assert (warning in page) == (warning in text) == (change is zero)
    assert ("no ratio with 0" in text) == (change is zero)
    cells = pd.read_csv(tmp_path / "out/cells.csv")
    assert set(cells.fullname[cells.median_s == 0]) == (timed if change is zero else set())
    compared = pd.read_csv(tmp_path / "out/comparison.csv").set_index("figure").loc["median time"]
    assert set(compared.fullname) >= timed
    assert set(compared.fullname[compared.ratio.isna()]) == (timed if change is zero else set())
