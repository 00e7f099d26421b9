"""What the report says of a browser beside native ONNX Runtime."""

import math

import pytest

from midas_bench.report import tables
from midas_bench.report.charts.in_browser import in_browser as chart
from midas_bench.results import units
from midas_bench.results.in_browser import against_fp32, in_browser
from midas_bench.results.run_files import read

X = units.TIMES
FOUR = [math.log(ratio) for ratio in (3.98, 4.0, 4.02, 4.0)]
TIER = {"page_s": 0.0015, "baseline_s": 0.004, "optimised_s": 0.0014}


@pytest.fixture
def measured(synthetic, tmp_path):
    """Read a run with a photo and a stage in the browser, by what ran there and the median seconds of a photo."""

    def made(seconds, logs=FOUR, threads=2, **startup):
        maker = synthetic.Maker()
        for name, photo_s in seconds.items():
            native = {"web-wasm": "onnx", "web-wasm-int8": "onnx-int8"}[name]
            how = {"backend": native, "browser_backend": name, "threads": threads, "browser": "Chromium 156.0.8078.108"}
            for stage in (None, "decode"):
                maker.add(
                    f"b.py::test_browser[{stage}-{name}]", 9.0, kind="browser-ratio", stage=stage, tier=TIER,
                    photos=[maker.photo("street")], browser_median_s=photo_s, native_median_s=photo_s / 4,
                    block_log_ratios=logs, **how,
                )  # fmt: skip
            if startup:
                maker.add(f"b.py::test_browser_startup[{name}]", 9.0, kind="browser-startup", **how, **startup)
        return read(synthetic.save(tmp_path / "run.json", synthetic.content(maker.benchmarks), False)).records

    return made


def test_the_ratio_of_a_photo_is_said_with_its_interval(measured):
    [one] = in_browser(measured({"web-wasm": 0.4}))
    assert one.text == (
        f"web-wasm takes 4.00{X} (3.97 to 4.03) as long as onnx for a photo of 640x427 with 2 threads, in "
        "Chromium 156.0.8078.108."
    )


def test_nothing_is_said_of_a_ratio_that_too_few_blocks_gave(measured):
    [one] = in_browser(measured({"web-wasm": 0.4}, logs=FOUR[:1]))
    assert one.text is None
    assert tables.in_browser([one]).rows[0][4].text == units.NOTHING
    assert chart([one]) is None


def test_int8_is_set_against_float32_for_the_same_threads_alone(measured):
    both = in_browser(measured({"web-wasm": 0.4, "web-wasm-int8": 0.3}))
    assert against_fp32(both) == [
        f"In the browser, web-wasm-int8 takes 0.750{X} as long as web-wasm with 2 threads; the two did not take turns."
    ]
    one_thread = in_browser(measured({"web-wasm-int8": 0.3}, threads=1))
    assert against_fp32(one_thread) == against_fp32([both[0], *one_thread]) == []


def test_the_tables_have_times_ratio_and_what_proves_the_tier(measured):
    both = in_browser(measured({"web-wasm": 0.4, "web-wasm-int8": 0.3}))
    assert [[cell.text for cell in row] for row in tables.in_browser(both).rows] == [
        [name, "2", photo, native, f"4.00{X} (3.97 to 4.03)", units.NOTHING, "1.50 ms", "1.40 ms", "4.00 ms"]
        for name, photo, native in (("web-wasm", "400 ms", "100 ms"), ("web-wasm-int8", "300 ms", "75.0 ms"))
    ]
    assert [[cell.text for cell in row][:3] for row in tables.browser_stages(both).rows] == [
        ["web-wasm", "2", "decode"],
        ["web-wasm-int8", "2", "decode"],
    ]
    assert tables.browser_startup(both) is None


def test_start_up_is_the_sum_of_its_phases_and_stands_beside_the_native_one(measured):
    mib = 2**20
    records = measured(
        {"web-wasm": 0.4},
        download_bytes=74_800_000,
        page_startup_s={
            "open": [1.0, 1.0],
            "download": [0.4, 0.6],
            "compile": [1.0, 1.0],
            "first_inference": [0.5, 0.5],
        },
        startup_s={"import": [0.3, 0.5], "load": [0.2, 0.2], "first_inference": [0.1, 0.1], "steady": [9.0, 9.0]},
        empty_page_pss_bytes=[200 * mib, 220 * mib],
        browser_pss_bytes=[500 * mib, 520 * mib],
        native_pss_bytes=[250 * mib, 250 * mib],
    )
    [row] = tables.browser_startup(in_browser(records)).rows
    assert [cell.text for cell in row] == [
        "web-wasm", "2", "74.8 MB", "500 ms", "1.00 s", "500 ms", "2.00 s", "700 ms", "210 MiB", "510 MiB", "250 MiB",
        "2",
    ]  # fmt: skip


def test_the_chart_has_a_row_for_each_stage_and_a_mark_for_each_graph(measured):
    drawn = chart(in_browser(measured({"web-wasm": 0.4, "web-wasm-int8": 0.3})))
    assert f"A whole photo: web-wasm, 2 threads 4.00{X} (3.97 to 4.03); web-wasm-int8" in drawn.alt
    for text in ("whole photo", "decode", "web-wasm, 2 threads", "web-wasm-int8, 2 threads"):
        assert f">{text}<" in drawn.svg


def test_ratios_of_a_browser_are_no_ratios_between_backends(measured):
    assert tables.ratios(measured({"web-wasm": 0.4})) is None


def test_without_a_browser_there_is_nothing_to_show(small):
    assert in_browser(small.records) == []
    assert tables.in_browser([]) is tables.browser_stages([]) is tables.browser_startup([]) is chart([]) is None
