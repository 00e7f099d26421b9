from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from midas_bench.errors import UserError
from midas_bench.results.kinds import Memory
from midas_bench.results.load_records import Load, LoadPoint, knee
from midas_bench.results.run_files import read
from midas_bench.results.runs import of_type


def point(rate, p99_s, **more):
    return LoadPoint(offered_per_second=rate, achieved_per_second=rate, p50_s=0.05, p90_s=0.06, p99_s=p99_s, **more)


POINTS = (point(5.0, 0.1), point(9.0, 0.19), point(12.0, 0.5), point(11.0, 0.18, requests=100, rejected=3))
SERVER = Load(
    scenario="server", rules="full", valid=False, invalid_reason="the latency bound was not met", queries=5000,
    query_latency_s={"p50": 0.05, "p90": 0.06, "p99": 0.19}, images_per_second=8.9, latency_bound_s=0.2,
    target_per_second=9.0, load_points=POINTS, peak_rss_bytes=300 << 20, logs="reports/loadgen/x",
)  # fmt: skip


def test_the_knee_is_the_largest_rate_within_the_bound_with_nothing_refused():
    assert knee(POINTS, 0.2) == POINTS[1]
    assert knee(POINTS, 1.0) == POINTS[2]
    assert knee(POINTS, 0.01) is None
    assert knee(POINTS, None) is None
    assert POINTS[3].rejected_share == 0.03


def test_an_offered_rate_of_0_is_a_point_of_an_open_loop():
    idle = point(0.0, 0.05)
    assert replace(SERVER, load_points=(*POINTS, idle)).open_loop[0] == idle
    assert knee((idle, point(9.0, 0.9)), 0.2) == idle
    assert knee((idle,), 0.0) is None


def test_load_is_read_as_it_was_written(changed):
    info = json.loads(json.dumps(replace(SERVER, backend="onnx", threads=2).to_extra_info()))

    def change(content):
        content["benchmarks"][0]["extra_info"] = info

    record = read(changed(change)).records[0]
    assert record.kind == "load"
    assert record.info == replace(SERVER, backend="onnx", threads=2)
    assert record.images_per_second == 8.9
    # no answer to how much memory a call needs
    assert of_type([record], Memory) == []


def test_a_point_without_its_figures_is_refused(changed):
    def change(content):
        info = json.loads(json.dumps(SERVER.to_extra_info()))
        del info["load_points"][1]["p99_s"]
        content["benchmarks"][0]["extra_info"] = info

    with pytest.raises(UserError, match=r"p99_s of load_points\[1\]"):
        read(changed(change))


@pytest.mark.parametrize(
    ("rules", "valid", "judgement"),
    [("short", False, "short run"), ("full", True, "valid"), ("full", False, "not valid"), (None, None, "")],
)
def test_only_a_full_run_is_ever_called_valid(rules, valid, judgement):
    assert Load(scenario="offline", rules=rules, valid=valid).judged == judgement
