"""Runs for other projects' trackers: which figures, in whose units, and what has no place in a format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from midas_bench.errors import UserError
from midas_bench.report.exports import FORMATS, bencher, github_action_benchmark, openmetrics
from midas_bench.results.figures import figures
from midas_bench.results.run_files import read

EVERY_KIND = Path(__file__).parent / "data/every-kind.json"
ONNX = "bench/test_pipeline.py::test_pipeline[onnx-b1-street]"
NAN = float("nan")


class Metric(msgspec.Struct, forbid_unknown_fields=True):
    """What Bencher reads of a measure: bencherdev/bencher, lib/bencher_json/src/project/metric/mod.rs."""

    value: float
    lower_value: float = NAN
    upper_value: float = NAN


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
Slug = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Bencher = dict[Name, dict[Slug, Metric]]


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """What github-action-benchmark reads, without the conversions that it would make: its src/extract.ts."""

    name: str
    unit: str
    value: float
    range: str = ""
    extra: str = ""


@pytest.fixture
def every_kind():
    return read(EVERY_KIND)


def entries(*runs):
    return {entry.name: entry for entry in msgspec.json.decode(github_action_benchmark(runs), type=list[Entry])}


def test_bencher_gets_times_in_nanoseconds_and_photos_per_second_with_their_intervals(small):
    measures = msgspec.json.decode(bencher([small]), type=Bencher)[ONNX]
    assert measures.keys() == {"latency", "throughput"}
    latency, throughput = measures["latency"], measures["throughput"]
    assert [latency.value, latency.lower_value, latency.upper_value] == pytest.approx([45.5e6, 42e6, 49e6])
    expected = [1 / 0.0455, 1 / 0.049, 1 / 0.042]
    assert [throughput.value, throughput.lower_value, throughput.upper_value] == pytest.approx(expected)


def test_bencher_gets_memory_and_start_up_without_ends_that_nobody_knows(small):
    by_cell = json.loads(bencher([small]))
    assert by_cell["bench/test_memory.py::test_memory[onnx-b1-street]"] == {"peak-memory-bytes": {"value": 314572800.0}}
    startup = by_cell["bench/test_startup.py::test_startup[onnx-warm]"]
    assert startup == {"start-up-seconds": {"value": pytest.approx(0.4 + 0.2 + 0.1)}}


def test_batches_count_all_their_photos(small):
    by_cell = json.loads(bencher([small]))
    batch = by_cell["bench/test_pipeline.py::test_pipeline[onnx-b4-street]"]
    assert batch["throughput"]["value"] == pytest.approx(4 / 0.1455)


def test_every_kind_of_cell_is_in_each_format_or_has_no_figure(every_kind):
    with_figures = {record.fullname for record in every_kind.records if figures(record)}
    without = {record.kind for record in every_kind.records if record.fullname not in with_figures}
    assert without == {"peer", "peer-ratio", "floor", "ratio", "scene", "load", "browser-ratio", "browser-startup"}
    assert msgspec.json.decode(bencher([every_kind]), type=Bencher).keys() == with_figures
    named = {name.rpartition(": ")[0] for name in entries(every_kind)}
    assert named == with_figures
    assert all(f'cell="{name}"' in openmetrics([every_kind]) for name in with_figures)


def test_throughput_of_a_run_that_is_not_valid_is_left_out(every_kind):
    of_load = {record.info.scenario: figures(record) for record in every_kind.records if record.kind == "load"}
    assert of_load["server"] == []
    assert [figure.name for figure in of_load["offline"]] == ["throughput"]


def test_the_action_gets_only_figures_of_which_smaller_is_better(small, every_kind):
    assert {name.rpartition(": ")[2] for name in entries(small)} == {"median time", "peak memory", "start-up"}
    units = {(name.rpartition(": ")[2], entry.unit) for name, entry in entries(every_kind).items()}
    assert units == {("median time", "s"), ("peak memory", "bytes"), ("start-up", "s"), ("time per photo", "s")}
    [offline] = [record for record in every_kind.records if "test_offline" in record.name]
    per_photo = entries(every_kind)[f"{offline.fullname}: time per photo"]
    assert per_photo.value == pytest.approx(1 / offline.info.images_per_second)


def test_the_action_gets_a_range_that_it_can_convert_and_the_whole_interval_as_text(small):
    entry = entries(small)[f"{ONNX}: median time"]
    assert entry.range.startswith("± ")
    assert float(entry.range.removeprefix("± ")) == pytest.approx(0.0035)
    lines = entry.extra.splitlines()
    assert lines[:5] == ["backend: onnx", "batch: 1", "scene: street", "threads: 2", "kind: latency"]
    assert lines[5:] == ["95% interval: 0.042 to 0.049 s", "disturbed: sentinel 1.31 times its usual time"]


def test_openmetrics_gauges_have_base_units_labels_and_the_time_of_the_run(small):
    lines = openmetrics([small]).splitlines()
    labels = f'backend="onnx",batch="1",cell="{ONNX}",kind="latency",machine="abc123",scene="street",threads="2"'
    assert f"midas_bench_latency_seconds{{{labels}}} 0.0455 1770091506.000" in lines
    assert f"midas_bench_latency_low_seconds{{{labels}}} 0.042 1770091506.000" in lines
    assert f"midas_bench_disturbed{{{labels}}} 1.0 1770091506.000" in lines
    start = lines.index("# TYPE midas_bench_latency_seconds gauge")
    assert lines[start + 1] == "# UNIT midas_bench_latency_seconds seconds"
    assert lines[-1] == "# EOF"
    families = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert len(families) == len(set(families))


def test_openmetrics_puts_the_runs_of_a_history_into_one_series_oldest_first(changed):
    days = ("2026-02-05T00:00:00+00:00", "2026-02-04T00:00:00", "2026-02-06T00:00:00Z")
    runs = [read(changed(lambda content, day=day: content.update(datetime=day), f"{day[:10]}.json")) for day in days]
    lines = [line for line in openmetrics(runs).splitlines() if "_seconds{" in line and ONNX in line and "low" in line]
    assert [float(line.split()[-1]) for line in lines] == [1770163200, 1770249600, 1770336000]
    assert len({line.rsplit(" ", 2)[0] for line in lines}) == 1


@pytest.mark.parametrize("when", ["", "yesterday"])
def test_openmetrics_of_a_run_without_a_date_has_no_times(changed, when):
    run = read(changed(lambda content: content.update(datetime=when)))
    assert "} 0.0455\n" in openmetrics([run])
    with pytest.raises(UserError, match="name each run once"):
        openmetrics([run, read(EVERY_KIND), run])


def test_a_run_that_is_named_twice_is_refused_by_each_format(small):
    for write in FORMATS.values():
        with pytest.raises(UserError, match=r"small\.json: holds bench/test_article"):
            write([small, small])


def test_files_of_one_cell_go_together_only_where_the_format_tells_them_apart(small, changed):
    other = read(changed(lambda content: content["machine_info"]["midas_bench"].update(fingerprint="other")))
    with pytest.raises(UserError, match=r"and so does small\.json; export each by itself, or use --format openmetrics"):
        bencher([small, other])
    assert openmetrics([small, other]).count(f'{ONNX}",kind="latency",machine="other"') == 7


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_files_without_a_figure_are_refused(changed, write):
    def ratios_alone(content):
        content["benchmarks"] = [cell for cell in content["benchmarks"] if cell["extra_info"]["kind"] == "ratio"]

    run = read(changed(ratios_alone))
    with pytest.raises(UserError, match=r"changed\.json: holds no time, throughput, peak of memory or start-up; name"):
        write([run])
    with pytest.raises(UserError, match="2 files: hold no time"):
        write([run, run])


def test_a_median_of_zero_is_below_the_timer_and_left_out(changed):
    def unresolved(content):
        content["benchmarks"][2]["stats"].update(min=0.0, median=0.0, max=0.0, mean=0.0, data=[0.0] * 10)

    run = read(changed(unresolved))
    assert ONNX not in bencher([run])
    assert ONNX not in openmetrics([run])


def test_an_interval_that_reaches_zero_leaves_the_throughput_without_ends(changed):
    def reaches_zero(content):
        data = [0.0, 0.0, 0.0, *content["benchmarks"][2]["stats"]["data"][3:]]
        content["benchmarks"][2]["stats"].update(min=0.0, data=data)

    measures = json.loads(bencher([read(changed(reaches_zero))]))[ONNX]
    assert measures["latency"]["lower_value"] == 0
    assert measures["throughput"].keys() == {"value"}


def test_bencher_is_spared_a_name_that_it_would_refuse_the_file_for(changed):
    run = read(changed(lambda content: content["benchmarks"][0].update(fullname="ü" * 513)))
    with pytest.raises(UserError, match="has a name of 1026 bytes, and Bencher takes 1024"):
        bencher([run])


def test_names_that_no_format_can_hold_are_escaped_in_each(changed):
    run = read(changed(lambda content: content["benchmarks"][0].update(fullname='a\n"b"\\\udce9')))
    assert 'a\\n"b"\\\\udce9' in json.loads(bencher([run]))
    assert 'a\\n"b"\\\\udce9: median time' in entries(run)
    assert 'cell="a\\\\n\\"b\\"\\\\\\\\udce9"' in openmetrics([run]).encode().decode()
