from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from midas_bench.errors import UserError
from midas_bench.render.document import code
from midas_bench.results.frame import COLUMNS, frame
from midas_bench.results.intervals import Interval
from midas_bench.results.kinds import Stream
from midas_bench.results.run_files import read, saved_in
from midas_bench.results.runs import Skip

MIB = 1024 * 1024


def cell(content, name):
    return next(b for b in content["benchmarks"] if b["name"] == name)


def test_timed_cell_is_read_with_its_median_and_interval(small):
    record = small.records[2]
    info = record.info
    assert record.fullname == "bench/test_pipeline.py::test_pipeline[onnx-b1-street]"
    assert (record.kind, info.scene, info.backend, info.batch_size, info.threads) == (
        "latency", "street", "onnx", 1, 2,
    )  # fmt: skip
    assert record.times.median == Interval(0.0455, 0.042, 0.049)
    assert (record.times.mean_s, record.times.min_s, record.times.max_s, record.times.rounds) == (
        0.0455,
        0.041,
        0.05,
        10,
    )
    assert record.times.rounds_s[0] == 0.043
    assert record.images_per_second == pytest.approx(1 / 0.0455)
    assert info.weights.source == "official"
    assert info.noise.noisy is True
    assert info.noise.reasons == ("sentinel 1.31 times its usual time",)


def test_cells_of_all_other_kinds_are_read(small):
    by_name = {record.name: record.info for record in small.records}
    memory = by_name["test_memory[eager-b1-street]"]
    assert (memory.baseline_rss_bytes, memory.loaded_rss_bytes, memory.peak_rss_bytes) == (
        400 * MIB,
        600 * MIB,
        900 * MIB,
    )
    assert memory.rss_over_time.rss_bytes == (100 * MIB, 900 * MIB)
    assert by_name["test_startup[onnx-warm]"].phases_s["import"] == (0.3, 0.4, 0.5)
    assert by_name["test_ratios[onnx/eager]"].estimate.estimate == pytest.approx(np.exp(-0.7))
    assert by_name["test_ratios[article preprocess share]"].estimate == Interval(0.06, 0.05, 0.07)
    assert by_name["test_scenes[inference-pet]"].baseline_scene == "street"


def test_run_has_status_commit_branch_and_machine(small):
    assert (small.status, small.commit, small.branch, small.when[:10]) == (
        "complete", "0123456789abcdef", "main", "2026-02-03",
    )  # fmt: skip
    assert small.machine.kind == "abc123"
    assert small.machine.versions == {"torch": "2.13.0"}
    assert small.machine.facts["isa"] == "avx2"
    assert small.unmeasured == ()
    assert small.lacking == ("depth maps",)


def test_a_partial_run_says_what_is_missing(changed):
    def change(content):
        ours = content["midas_bench"]
        ours |= {
            "status": "partial",
            "failed": [{"cell": "x::failed", "reason": "died"}],
            "skipped": [{"cell": "x::skipped", "reason": "no AVX"}],
        }
        ours["planned"] += ["x::failed", "x::skipped", "x::never"]

    run = read(changed(change))
    assert run.status == "partial"
    assert run.failed == (Skip("x::failed", "died"),)
    assert run.skipped == (Skip("x::skipped", "no AVX"),)
    assert run.unmeasured == ("x::never",)


def test_a_foreign_file_is_read_and_what_it_lacks_is_said(foreign):
    run = read(foreign)
    assert [record.kind for record in run.records] == ["plain", "plain"]
    assert run.records[0].times.median == Interval(2e-6, 2e-6, 2e-6, 0.0)
    assert run.status == "unknown"
    assert any("not written by this suite" in text for text in run.lacking)
    assert any("--benchmark-save-data" in text for text in run.lacking)


def test_a_file_is_read_in_every_encoding_of_unicode(changed, encoded_text):
    path = changed(lambda content: content["commit_info"].update(branch="Füße"))
    path.write_bytes(encoded_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False, indent=1)))
    run = read(path)
    assert len(run.records) == 12
    assert run.branch == "Füße"


def test_unknown_keys_are_ignored(changed):
    def change(content):
        content["midas_bench"]["new"] = {"any": "thing"}
        content["benchmarks"][0]["extra_info"]["new"] = [1]

    assert len(read(changed(change)).records) == 12


def test_an_interval_is_computed_where_the_file_has_none_and_taken_where_it_has_one(changed):
    def change(content):
        info = cell(content, "test_article[street]")["extra_info"]
        info["median_ci_s"] = {"low": 0.1, "high": 0.12, "confidence": 0.99}

    records = read(changed(change)).records
    assert records[0].times.median == Interval(0.1055, 0.1, 0.12, 0.99)
    assert records[1].times.median == Interval(0.0955, 0.092, 0.099)


def test_a_confidence_of_0_is_not_the_usual_one(changed):
    def change(content):
        info = cell(content, "test_article[street]")["extra_info"]
        info["median_ci_s"] = {"low": 0.1, "high": 0.12, "confidence": 0}

    assert read(changed(change)).records[0].times.median.confidence == 0


def set_stat(name, value):
    return lambda content: content["benchmarks"][0]["stats"].update({name: value})


def set_info(index, **values):
    return lambda content: content["benchmarks"][index]["extra_info"].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_stat("median", "fast"), "median of stats of benchmarks[0]"),
        (set_stat("median", None), "is None and not a number of seconds"),
        (set_stat("median", float("nan")), "is nan and not a number"),
        (set_stat("median", -1), "is -1 and not a number"),
        (set_stat("data", [0.1, "x"]), "not a list of numbers"),
        (set_stat("data", 3), "is 3 and not a list"),
        (set_stat("median", 105.5), "mixes units: the median is 105.5 s by its stats and 0.1055 by its raw rounds"),
        (set_info(0, latency_s={"p50": 105.5}), "mixes units"),
        (lambda content: content["benchmarks"][0]["options"].update(timer="perf_counter_ns"), "in nanoseconds"),
        (set_info(5, peak_rss_bytes=900), "less than any process needs"),
        (set_info(5, rss_over_time={"t_s": [1.0], "rss_bytes": []}), "not as long as t_s"),
        (set_info(0, batch_size=1.5), "is 1.5 and not a whole number"),
        (set_info(0, batch_size=10**400), "not a number"),
        (set_info(0, batch_size=1e308), "is 1e+308 and not a whole number of at most 9007199254740992"),
        (set_stat("data", [0.1, 10**400]), "not a list of numbers"),
        (set_info(0, scene=7), "is 7 and not a string"),
        (set_info(0, photos=["a"]), "photos[0]"),
        (set_info(0, noise={"noisy": "no"}), "not true or false"),
        (set_info(0, median_ci_s={"low": 2, "high": 1}), "not below high"),
        (lambda content: content["benchmarks"].append(content["benchmarks"][0]), "2 times"),
        (lambda content: content["benchmarks"].clear(), "holds no measured cell"),
        (lambda content: content.pop("benchmarks"), "no list `benchmarks`"),
        (lambda content: content.update(benchmarks={"a": 1}), "not a list"),
        (lambda content: content["midas_bench"].update(schema=2), "reads forms up to 1"),
        (lambda content: content["benchmarks"][0].pop("stats"), "stats of benchmarks[0]"),
        (lambda content: content["benchmarks"][0].update(name=None, fullname=None), "name of benchmarks[0]"),
    ],
)
def test_a_file_that_cannot_be_is_refused_and_the_fault_named(changed, change, message):
    with pytest.raises(UserError) as error:
        read(changed(change))
    assert message in str(error.value)
    assert "changed.json" in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b'{"benchmarks": [{"na', "is not whole JSON"),
        (b"\xff\xfe\x00", "is not text"),
        (b"\xef\xbb\xbf\xff", "is not text"),
        ("{}".encode("utf-16")[:-1], "is not text"),
        ("{".encode("utf-16"), "is not whole JSON"),
        (b"\xef\xbb\xbf", "is empty"),
        ("".encode("utf-16"), "is empty"),
        (b"[1, 2]", "is [1, 2] and not an object"),
        (b"[" * 100_000, "is not whole JSON"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, data, message):
    path = tmp_path / "broken.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"broken\.json") as error:
        read(path)
    assert message in str(error.value)


def test_facts_are_told_as_people_read_them(changed):
    def change(content):
        content["machine_info"]["midas_bench"] |= {
            "memory_bytes": 25276059648, "virtualised": True, "environment": {"OMP_NUM_THREADS": "2"},
            "versions": {"memory_profiler": "0.61"},
        }  # fmt: skip
        content["midas_bench"]["conditions"] = {"steal_fraction": 0.0123, "load_average": [0.25, 1.0]}

    run = read(changed(change))
    assert run.machine.facts["memory"] == "23.5 GiB"
    assert run.machine.facts["virtualised"] == "yes"
    assert run.machine.facts["environment"] == "OMP_NUM_THREADS: 2"
    assert run.machine.versions == {"memory_profiler": "0.61"}
    assert run.conditions == {"steal": "1.23 %", "load average": "0.25, 1"}


def test_a_missing_file_or_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "none.json")
    with pytest.raises(UserError, match="no such file or folder"):
        saved_in(tmp_path / "none")
    with pytest.raises(UserError, match="holds no"):
        saved_in(tmp_path)


def test_control_characters_and_endless_names_are_cut_where_they_are_shown(changed):
    def change(content):
        content["benchmarks"][0]["fullname"] = "a\x00b\nc\u202e" + "x" * 1000 + "end"

    name = read(changed(change)).records[0].fullname
    assert name == "a\x00b\nc\u202e" + "x" * 1000 + "end"
    text = code(name).text
    assert text.startswith("a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}xx")
    assert text.endswith("xxend")
    assert len(text) == 300


def test_the_frame_has_one_row_per_cell_in_si_units(small):
    table = frame([small], "mine")
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 12
    row = table[table.name == "test_pipeline[onnx-b4-street]"].iloc[0]
    assert (row.label, row.run, row.machine) == ("mine", "small", "abc123")
    assert (row.median_s, row.median_low_s, row.median_high_s) == (0.1455, 0.142, 0.149)
    assert row.images_per_second == pytest.approx(4 / 0.1455)
    memory = table[table.kind == "memory"].iloc[0]
    assert memory.peak_rss_bytes == 900 * MIB
    assert np.isnan(memory.median_s)  # the time of that process is no latency


def test_a_stream_has_photos_per_second(synthetic, tmp_path):
    run = read(synthetic.run(tmp_path / "0001_run.json"))
    [onnx] = [record for record in run.of_kind("stream") if record.info.backend == "onnx"]
    assert (onnx.info.stream_photos, onnx.info.batch_size, onnx.info.threads) == (24, None, 1)
    assert onnx.images_per_second == pytest.approx(24 / onnx.times.median_s)
    row = frame([run]).set_index("fullname").loc[onnx.fullname]
    assert (row["stream_photos"], row["median_s"]) == (24, onnx.times.median_s)
    assert row["images_per_second"] == pytest.approx(onnx.images_per_second)
    assert not onnx.is_pipeline


def test_a_stream_writes_photos_per_second():
    info = Stream(stream_photos=24).to_extra_info([2.0, 3.0, 4.0])
    assert info["images_per_second"] == 8.0


def test_the_synthetic_run_is_read(synthetic, tmp_path):
    run = read(synthetic.run(tmp_path / "0001_run.json"))
    kinds = {"latency", "stage", "stream", "memory", "startup", "ratio", "scene", "peer"}
    assert {record.kind for record in run.records} == kinds
    assert json.loads((tmp_path / "0001_run.json").read_text())["machine_info"]["node"] == "synthetic"
    assert Path(run.path).with_suffix("").is_dir()


def test_an_integer_of_thousands_of_digits_is_a_line_and_no_traceback(tmp_path):
    (tmp_path / "a.json").write_text('{"benchmarks": ' + "9" * 5000 + "}")
    with pytest.raises(UserError, match="is not whole JSON"):
        read(tmp_path / "a.json")
