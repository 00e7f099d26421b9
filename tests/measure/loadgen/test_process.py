"""LoadGen itself, driving a pipeline that sleeps; in a process of its own, for LoadGen keeps global state."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("mlperf_loadgen", reason="needs midas-bench[load]")

from midas_bench.measure.loadgen import logs
from midas_bench.measure.loadgen.rules import SCENARIOS
from midas_bench.results.json_fields import Fields
from midas_bench.results.load_records import Load
from midas_bench.results.struct_reader import read

DRIVE = """
import json, sys, time
from dataclasses import replace
from pathlib import Path
from midas_bench.measure.loadgen.process import Driver
from midas_bench.measure.loadgen.rules import FULL, SHORT
how = json.loads(sys.argv[1])
rules = replace(FULL if how["full"] else SHORT, **how["rules"])
driver = Driver(lambda index: time.sleep(how["sleep_s"]), 1, 4, how["expected_s"], rules, Path(how["logs"]))
print(json.dumps({name: driver.scenario(name, how["bound_s"]).to_extra_info() for name in how["scenarios"]}))
"""


def drive(folder, scenarios, least, *, full=False, bound_s=None, sleep_s=0.004, expected_s=None, **rules):
    chosen = {"duration_s": 0.05, "probe_s": 0.05, "least": dict.fromkeys(SCENARIOS, least), "probes": 3, **rules}
    how = {"logs": str(folder), "scenarios": scenarios, "rules": chosen, "full": full, "bound_s": bound_s}
    command = [sys.executable, "-c", DRIVE, json.dumps(how | {"sleep_s": sleep_s, "expected_s": expected_s or sleep_s})]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: read(Fields(folder, name, fields), Load) for name, fields in json.loads(ran.stdout).items()}


def test_four_scenarios_in_one_process_each_keep_their_logs(tmp_path):
    loads = drive(tmp_path, SCENARIOS, 20)
    assert list(loads) == list(SCENARIOS)
    assert loads["single-stream"].queries >= 20
    assert loads["multi-stream"].queries == 20  # eight samples a query: the count, not the duration, ends it
    assert loads["offline"].queries == 1
    assert loads["offline"].query_latency_s == {}
    for name in ("single-stream", "multi-stream", "offline"):
        assert (tmp_path / name / "mlperf_log_summary.txt").read_text().startswith("=====")
        assert loads[name].logs == str(tmp_path / name)
    assert all(load.valid is False and load.judged == "short run" for load in loads.values())
    assert all("a short run of 0.05 s" in load.invalid_reason for load in loads.values())
    # a sample takes 4 ms and no less
    assert all(load.query_latency_s["p50"] >= 0.004 for name, load in loads.items() if name != "offline")
    server = loads["server"]
    assert len(server.load_points) == len(list((tmp_path / "server").iterdir())) == 3
    assert server.latency_bound_s == pytest.approx(3 * loads["single-stream"].query_latency_s["p90"])
    assert all(point.requests >= 20 for point in server.load_points)


def test_enough_queries_by_full_rules_are_valid_and_too_few_are_not(tmp_path):
    enough = drive(tmp_path / "enough", ["single-stream"], 64, full=True)["single-stream"]
    assert (enough.valid, enough.invalid_reason, enough.judged) == (True, None, "valid")
    assert enough.early_stopping_s >= 0.004
    few = drive(tmp_path / "few", ["single-stream"], 3, full=True, sleep_s=0.03)["single-stream"]
    assert (few.valid, few.judged, few.early_stopping_s) == (False, "not valid", None)
    assert "early stopping: Only processed" in few.invalid_reason


def test_a_bound_that_no_rate_can_hold_is_said_and_never_valid(tmp_path):
    server = drive(tmp_path, ["server"], 5, full=True, bound_s=0.002, probes=2)["server"]
    assert server.target_per_second is None
    assert server.valid is False
    assert "the latency bound was not met" in server.invalid_reason
    assert [point.offered_per_second for point in server.load_points] == pytest.approx([175.0, 87.5])


def test_the_search_for_a_rate_starts_from_what_single_stream_saw(tmp_path):
    chosen = {"bound_s": 5.0, "probes": 1, "expected_s": 5.0}  # as by a first look that was disturbed
    known = drive(tmp_path / "known", ["single-stream", "server"], 20, **chosen)["server"]
    mean_s = logs.outcome(tmp_path / "known/single-stream", "single-stream").mean_s
    assert known.load_points[0].offered_per_second == pytest.approx(0.7 / mean_s)
    own = drive(tmp_path / "own", ["server"], 20, probes=1, expected_s=5.0)["server"]
    mean_s = logs.outcome(tmp_path / "own/server/00-bound", "single-stream").mean_s
    assert own.load_points[0].offered_per_second == pytest.approx(0.7 / mean_s)


def test_by_full_rules_the_rate_found_is_run_for_the_whole_duration(tmp_path):
    server = drive(tmp_path, ["server"], 5, full=True, bound_s=5.0, duration_s=0.3, probes=1)["server"]
    assert server.target_per_second == pytest.approx(175.0)
    names = sorted(folder.name for folder in (tmp_path / "server").iterdir())
    assert names == ["01-search-175.00", "02-run-175.00"]
    assert logs.log_values(tmp_path / "server" / names[1])["effective_min_duration_ms"] == 300
    assert logs.log_values(tmp_path / "server" / names[0])["effective_min_duration_ms"] == 50


FAILS = """
import sys
from pathlib import Path
from midas_bench.measure.loadgen import sut
def respond(index):
    raise OSError("gone")
try:
    sut.drive(respond, 2, 4, sut.settings("offline", 0.01, 8, 0.001, 2), Path(sys.argv[1]))
except OSError as error:
    print(error)
"""


def test_an_error_in_the_pipeline_ends_the_run_and_is_raised(tmp_path):
    ran = subprocess.run([sys.executable, "-c", FAILS, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "gone\n"


LOGS = """
import sys
from pathlib import Path
import numpy as np
from midas_bench.measure.loadgen import sut
chosen = sut.settings("offline", 0.001, 1, 0.001, 1)
chosen.mode = sut.ACCURACY
sut.drive(lambda index: np.full((2, 3), index, np.float32), 1, 5, chosen, Path(sys.argv[1]))
"""


def test_an_accuracy_run_logs_each_sample_once(tmp_path):
    subprocess.run([sys.executable, "-c", LOGS, str(tmp_path)], check=True, timeout=60)
    answered = logs.responses(tmp_path, (2, 3))
    assert sorted(answered) == [0, 1, 2, 3, 4]
    assert all(np.array_equal(depth, np.full((2, 3), index)) for index, depth in answered.items())
