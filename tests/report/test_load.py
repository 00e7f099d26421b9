from __future__ import annotations

import pytest

from midas_bench.report import tables
from midas_bench.report.charts.load import load
from midas_bench.report.photo_strip import Album
from midas_bench.report.select_runs import choose
from midas_bench.report.write import write
from midas_bench.results.load_records import Load, LoadPoint
from midas_bench.results.run_files import read
from midas_bench.results.units import NOTHING


def point(rate, p99_s, rejected=None):
    return LoadPoint(
        offered_per_second=rate, achieved_per_second=min(rate, 15), p50_s=0.05, p90_s=0.06, p99_s=p99_s, requests=200,
        rejected=rejected,
    )  # fmt: skip


SERVER = Load(
    scenario="server", rules="short", valid=False, invalid_reason="a short run", queries=200, images_per_second=9.0,
    query_latency_s={"p50": 0.05, "p90": 0.06, "p99": 0.19}, latency_bound_s=0.2, target_per_second=10.0,
    load_points=(point(15.0, 0.9), point(10.0, 0.19)),
)  # fmt: skip
OFFLINE = Load(scenario="offline", rules="full", valid=True, images_per_second=17.5, queries=1)
OPEN = Load(
    scenario="open-loop", latency_bound_s=0.2,
    load_points=(point(5.0, 0.08, 0), point(12.0, 0.15, 0), point(30.0, 0.19, 90)),
)  # fmt: skip

SOAK = Load(
    scenario="soak", queries=30, rss_growth=-0.012,
    outcomes={"photo": {"200": 20, "503": 4}, "not a photo": {"415": 6}},
)  # fmt: skip


@pytest.fixture
def loaded(synthetic, tmp_path):
    maker = synthetic.Maker()
    for backend, scenario in (("onnx", SERVER), ("jit", OFFLINE), ("eager", OPEN)):
        name = f"bench/test_loadgen.py::test_loadgen[{backend}-{scenario.scenario}]"
        maker.add(name, 3.0, backend=backend, threads=2, **scenario.to_extra_info())
    return synthetic.save(tmp_path / "load.json", synthetic.content(maker.benchmarks))


def test_a_soak_shows_every_answer_and_the_growth_of_memory(synthetic, tmp_path):
    maker = synthetic.Maker()
    maker.add("bench/test_service.py::test_soak[onnx]", 3.0, backend="onnx", **SOAK.to_extra_info())
    path = synthetic.save(tmp_path / "soak.json", synthetic.content(maker.benchmarks))
    load = read(path).records[0].info
    assert (load.outcomes, load.rss_growth, load.queries) == (SOAK.outcomes, SOAK.rss_growth, SOAK.queries)
    assert [[cell.text for cell in row] for row in tables.soaks(read(path).records).rows] == [
        ["onnx", "photo", "200", "20", "-1.20 %"],
        ["onnx", "photo", "503", "4", NOTHING],
        ["onnx", "not a photo", "415", "6", NOTHING],
    ]
    write(choose([path], [], Album()), tmp_path / "out")
    assert "Soak: every answer" in (tmp_path / "out/report.md").read_text()


def test_the_tables_say_what_holds_and_what_was_short(loaded):
    records = read(loaded).records
    server, offline, _ = [[cell.text for cell in row] for row in tables.loads(records).rows]
    assert server[:6] == ["server", "onnx", "2", "50.0 ms", "60.0 ms", "190 ms"]
    assert server[8:] == ["10.0/s within 200 ms", "200", "short run", "a short run"]
    assert offline[7] == "17.5 images/s"
    assert offline[10] == "valid"
    points = [[cell.text for cell in row] for row in tables.load_points(records).rows]
    assert len(points) == 5
    assert points[4][2:4] == ["30.0", "15.0"]
    assert points[4][8] == "45.0 %"


def test_the_chart_marks_the_knee_and_shows_what_was_refused(loaded):
    chart = load(read(loaded).records)
    assert "onnx: 10.0 per second with p99 within 200 ms (p99 190 ms)" in chart.alt
    # at 30 the p99 held too, but 90 were refused
    assert "eager: 12.0 per second" in chart.alt
    assert "10.0/s" in chart.svg
    assert "12.0/s" in chart.svg
    assert "refused, %" in chart.svg
    assert "Short runs" in chart.note


def test_the_page_warns_of_short_runs_and_the_points_stand_in_a_table_of_their_own(loaded, tmp_path):
    write(choose([loaded], [], Album()), tmp_path / "out")
    text = (tmp_path / "out/report.md").read_text()
    assert "## Load" in text
    assert "Short runs of LoadGen" in text
    assert "load.svg" in text
    assert len((tmp_path / "out/load.csv").read_text().splitlines()) == 1 + 5


def test_without_load_there_is_no_section(small):
    assert load(small.records) is None
    assert tables.loads(small.records) is None
