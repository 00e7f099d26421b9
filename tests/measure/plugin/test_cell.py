"""The instrument itself, on a scripted clock: what is inside the timed region, what is not, and in which order."""

import json
import statistics

import pytest

from midas_bench.cli.main import main
from midas_bench.depth.flop import PLAIN_FLOP
from midas_bench.measure import energy
from midas_bench.results.shared_copy import OF_COMMIT

TICK_S = 2.0**-30  # as scripted.py has it

CLOCK = "--benchmark-timer=scripted.now"
ONE_CELL = ["-k", "b1-street", CLOCK, "--benchmark-min-rounds=6", "--benchmark-max-time=0.001"]

NOTHING = """
def test_empty_call(cell):
    cell.time("nothing", lambda: None)
"""
WRONG_AFTERWARDS = """
def test_cells(cell, opened, batch):
    cell.check(lambda: opened.pipeline.run(batch.data).depth, batch)
    cell.time("group", opened.pipeline, batch.data)
    assert False
"""
STAGE = """
import scripted

def test_stage(cell, one_photo):
    cell.describe(kind="stage", stage="decode")
    cell.time("decode one photo", lambda: scripted.sleep(0.125))
"""
ITS_OWN = """
import scripted

def test_memory(cell):
    reports = iter([{"load_s": 1.0}, {"load_s": 2.0}, {"load_s": 3.0}])

    def work():
        scripted.note("work")
        scripted.sleep(0.5)
        return next(reports)

    cell.describe(kind="memory", peak_rss_bytes=1 << 30)
    cell.record("memory", work, 3, lambda all_of_them: {"load_s": max(one["load_s"] for one in all_of_them)})
"""
PEAK = """
import scripted
from midas_bench.measure.plugin import settings

def ask(module, request, timeout_s):
    scripted.note(f"{request['task']} {request['threads']}")
    return {"f32": 1e11, "int8": 1e12}

settings.ask = ask

def test_cells(cell, opened, peaks, batch, batch_size):
    cell.describe(kind="stage", stage="inference")
    cell.describe_work(batch_size, peaks)
    cell.time("group", opened.pipeline.backend, [0] * batch_size)
"""


@pytest.fixture
def scripted(fake):
    fake.environment["FAKE_CLOCK"] = "yes"
    return fake


@pytest.fixture(scope="module")
def measured(new_project):
    """Give a project that measured one cell on the scripted clock, on a machine that was busy."""
    project = new_project()
    project.environment["FAKE_CLOCK"] = "yes"
    ran = project.run(*ONE_CELL, FAKE_CALLS_S="[0.0625]", FAKE_BUSY="1.5")
    assert ran.code == 0, ran.output
    return project


def only(project):
    [row] = project.saved()["benchmarks"]
    return row


def test_load_check_warm_up_and_probe_are_outside_the_timed_region(measured):
    """Each of them moves the clock by seconds, a call by a sixteenth of one."""
    row = only(measured)
    assert row["stats"]["data"] == [0.0625 + TICK_S] * 6


def test_the_order_of_calls_is_as_promised(measured):
    assert measured.events() == [
        "reference",  # made before the first cell
        "probe 0.1",  # once a live session's threads sleep
        "open 2",
        "call",  # the first inference
        "call",  # for the check, and the first of three to warm up
        "check",
        *["call"] * 2,
        *["call"] * 3,  # half of the rounds
        "probe 0.1",
        "call",  # one to warm up in each further pass
        *["call"] * 3,  # the other half
        "probe 0.1",
        "close",
    ]


def test_raw_rounds_are_exactly_the_scripted_durations_in_their_order(scripted):
    calls_s = [number / 1024 for number in range(1, 13)]
    scripted.run(*ONE_CELL, FAKE_CALLS_S=json.dumps(calls_s))
    # one for the first inference, one for the check, two more to warm up; one to warm up in the second pass
    timed_s = calls_s[4:7] + calls_s[8:11]
    assert only(scripted)["stats"]["data"] == [seconds + TICK_S for seconds in timed_s]


@pytest.mark.parametrize(
    ("rounds", "given"),
    [
        (9, ["p50"]),
        (20, ["p50", "p90", "p95"]),
        pytest.param(10, ["p50", "p90"], marks=pytest.mark.slow),
        pytest.param(99, ["p50", "p90", "p95"], marks=pytest.mark.slow),
        pytest.param(100, ["p50", "p90", "p95", "p99"], marks=pytest.mark.slow),
    ],
)
def test_a_percentile_is_given_only_where_enough_rounds_stand_behind_it(scripted, rounds, given):
    calls_s = [number / 1024 for number in range(6, 6 + 106)]
    scripted.run(*ONE_CELL[:3], f"--benchmark-min-rounds={rounds}", "--benchmark-max-time=0", FAKE_CALLS_S=str(calls_s))
    info = only(scripted)["extra_info"]
    assert [name for name, value in info["latency_s"].items() if value is not None] == given
    data = only(scripted)["stats"]["data"]
    assert len(data) == rounds
    # linear interpolation between the sorted rounds
    for name in given:
        place = int(name[1:]) / 100 * (rounds - 1)
        low = min(int(place), rounds - 2)
        assert info["latency_s"][name] == pytest.approx(data[low] + (place - low) * (data[low + 1] - data[low]))
    assert info["images_per_second"] == pytest.approx(1 / info["latency_s"]["p50"])
    # two passes know no more than that the median is anywhere between theirs, and beyond
    interval = info["median_ci_s"]
    half = (rounds + 1) // 2
    assert info["rounds_by_pass"] == [half, rounds - half]
    of_passes = [statistics.median(data[:half]), statistics.median(data[half:])]
    assert interval["low"] < min(of_passes) < max(of_passes) < interval["high"]
    assert interval["confidence"] == 0.95


def test_the_time_that_is_asked_for_is_filled_with_rounds(scripted):
    scripted.run("-k", "b1-street", CLOCK, "--benchmark-max-time=1", FAKE_CALLS_S="[0.0625]")
    assert only(scripted)["stats"]["rounds"] == 16


@pytest.mark.slow
def test_each_backend_is_opened_once_and_closed_at_the_end(scripted):
    scripted.run("--backend=fake,other", "-k", "street", CLOCK)
    alive = [event.split()[0] for event in scripted.events() if event.split()[0] in ("open", "close")]
    assert alive == ["open", "open", "close", "close"]
    assert [len(row["extra_info"]["rounds_by_pass"]) for row in scripted.saved()["benchmarks"]] == [2] * 8


def test_a_cells_own_measurement_is_recorded_for_each_round(scripted):
    scripted.bench(ITS_OWN)
    scripted.run(CLOCK)
    assert scripted.events() == ["reference", "probe 0.1", "work", "work", "work", "probe 0.1"]
    row = only(scripted)
    assert row["stats"]["data"] == [0.5 + TICK_S] * 3
    assert row["extra_info"]["load_s"] == 3.0
    assert row["extra_info"]["kind"] == "memory"
    assert "latency_s" not in row["extra_info"]


@pytest.mark.slow
def test_a_stage_needs_no_backend(scripted):
    scripted.bench(STAGE)
    assert scripted.run(CLOCK).code == 0
    assert not [event for event in scripted.events() if event.startswith("open")]
    assert only(scripted)["stats"]["data"] == [0.125 + TICK_S] * 3


def test_an_output_that_differs_from_eagers_fails_before_anything_is_timed(scripted):
    ran = scripted.run(*ONE_CELL, FAKE_REFERENCE="1.01")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert "fake differs from eager by 0.0099 of the depth range, more than 0.001; nothing was timed" in ran
    assert scripted.events()[-3:] == ["check", "probe 0.1", "close"]
    assert "1 failed" in ran
    assert scripted.files() == []


def test_an_output_within_the_tolerance_is_timed_and_its_error_recorded(scripted):
    assert scripted.run(*ONE_CELL, FAKE_REFERENCE="1.0005").code == 0
    assert only(scripted)["extra_info"]["max_relative_error"] == pytest.approx(0.0005, rel=0.01)


def test_a_cell_that_fails_after_it_was_timed_is_no_result(scripted):
    scripted.bench(WRONG_AFTERWARDS)
    assert scripted.run("-k", "street", CLOCK).code == pytest.ExitCode.TESTS_FAILED
    assert scripted.files() == []


def test_with_benchmarks_disabled_each_cell_is_called_once_and_not_watched(scripted):
    assert scripted.run("-k", "b1-street", "--benchmark-disable").code == 0
    assert scripted.events() == ["reference", "open 2", "call", "call", "check", "call", "close"]


def test_the_overhead_around_a_call_is_under_one_percent_of_ten_milliseconds(fake):
    """The median of thousands of calls of nothing, with the real clock: about a microsecond, where 100 are allowed."""
    fake.bench(NOTHING)
    fake.run("--benchmark-min-rounds=2000")
    row = only(fake)
    assert row["stats"]["rounds"] >= 2000
    assert row["stats"]["median"] < 0.01 * 0.01


def test_extra_info_describes_the_measured_cell(scripted):
    scripted.run("-k", "b4-pet", CLOCK, FAKE_CALLS_S="[0.0625]")
    row = only(scripted)
    info = row["extra_info"]
    expected = {
        "kind": "latency",
        "scene": "pet",
        "backend": "fake",
        "recipe": "fast",
        "batch_size": 4,
        "input_shape": [4, 3, 256, 256],
        "photos_repeated": True,
        "max_relative_error": 0.0,
    }
    assert {name: info[name] for name in expected} == expected
    assert [(photo["file"], photo["width"], photo["height"]) for photo in info["photos"]] == [("pet2.png", 12, 8)] * 4
    assert info["images_per_second"] == pytest.approx(4 / (0.0625 + TICK_S))
    assert info["weights"]["source"] == "seeded"
    assert row["group"] == "batch 4"
    assert info["noise"]["page_faults_per_call"] >= 0
    assert info["cpu_s"] >= 0


def test_the_peak_is_measured_once_before_a_backend_is_alive(scripted):
    scripted.bench(PEAK)
    ran = scripted.run("-k", "street and (b1 or b2)", CLOCK, "--threads=1", FAKE_CALLS_S="[0.5]")
    assert ran.code == 0, ran.output
    events = scripted.events()
    assert events.index("peak 1") < events.index("open 1")
    assert events.count("peak 1") == 1
    for info in (cell["extra_info"] for cell in scripted.rows("cell")):
        assert info["flop"] == info["batch_size"] * PLAIN_FLOP
        assert info["peak_flop_per_s"] == 1e11
        assert info["share_of_peak"] == pytest.approx(info["flop"] / 1e11 / (0.5 + TICK_S))


def test_no_peak_is_measured_where_nothing_is_timed(scripted):
    scripted.bench(PEAK)
    ran = scripted.run("-k", "b1-street", "--benchmark-disable")
    assert ran.code == 0, ran.output
    assert not [event for event in scripted.events() if event.startswith("peak")]


def test_the_machine_stands_in_machine_info_and_its_condition_does_not(measured):
    saved = measured.saved()
    assert saved["machine_info"]["midas_bench"]["fingerprint"] == "abcdef012345"
    assert saved["midas_bench"]["conditions"]["busy_cores"] == 1.5
    assert not [name for name in saved["machine_info"]["cpu"] if name.startswith("hz_actual")]
    assert "busy_cores" not in json.dumps(saved["machine_info"])


@pytest.mark.slow
def test_the_terminal_shows_the_budget_the_passes_and_each_cell_once(scripted):
    ran = scripted.run("-k", "b1", CLOCK, "--budget=90s")
    assert "3 cells in passes, about 1 min 30 s at most; --budget changes that" in ran
    passes = [line for line in ran.output.splitlines() if line.startswith("pass ")]
    assert [line.partition(", ")[0] for line in passes] == ["pass 1: 3 of 3 cells", "pass 2: 3 of 3 cells"]
    assert all(line.endswith(" left") for line in passes)
    lines = [line.split()[0] for line in ran.output.splitlines() if "timed in 2 passes" in line]
    assert lines == [f"bench/test_cells.py::test_cells[fake-b1-{scene}]" for scene in ("street", "indoor", "pet")]


ENERGY = """
from pathlib import Path

import scripted
from midas_bench.measure import energy

ZONE = Path(__file__).parent.parent / "powercap/intel-rapl:0"
ZONE.mkdir(parents=True, exist_ok=True)
(ZONE / "name").write_text("package-0")
(ZONE / "max_energy_range_uj").write_text("1000000000")
(ZONE / "energy_uj").write_text("999000000")
found, read_uj = energy.packages, energy.read_uj


def noted(of):
    scripted.note("counter")
    return read_uj(of)


def packages():
    return found(ZONE.parent)


packages()
energy.packages, energy.read_uj = packages, noted


def test_cell(cell):
    def work():
        scripted.note("call")
        scripted.sleep(0.25)
        counter = ZONE / "energy_uj"
        counter.write_text(str((int(counter.read_text()) + 3_000_000) % 1_000_000_000))

    cell.time("work", work)
"""


def test_energy_is_read_around_the_rounds_of_each_visit_and_never_between_them(scripted):
    scripted.bench(ENERGY)
    ran = scripted.run(CLOCK, "--benchmark-min-rounds=4", "--benchmark-max-time=0")
    assert ran.code == 0, ran.output
    events = [event for event in scripted.events() if event in ("counter", "call")]
    # warm-up calls stand before the first reading of a visit
    visits = " ".join(events).split("counter call call counter")
    assert len(visits) == 3
    assert "counter" not in "".join(visits)
    info = only(scripted)["extra_info"]
    assert info["energy_by_pass_j"] == [pytest.approx(3.0)] * 2


def test_energy_is_stored_only_where_this_machine_has_counters(measured):
    assert ("energy_by_pass_j" in only(measured)["extra_info"]) == bool(energy.packages())


def test_a_shared_copy_of_a_real_run_names_neither_its_host_nor_its_folder(measured, tmp_path):
    [path] = measured.files()
    content = json.loads(path.read_text())
    content["benchmarks"][0]["extra_info"]["noise"]["reasons"] = [f"{measured.root}/backup ran"]
    original = tmp_path / "run.json"
    original.write_text(json.dumps(content))
    assert main(["share", str(original), "-o", str(tmp_path / "copy.json")]) == 0
    copied = json.loads((tmp_path / "copy.json").read_text())
    assert copied["benchmarks"][0]["extra_info"]["noise"]["reasons"] == ["backup ran"]
    content["benchmarks"][0]["extra_info"]["noise"]["reasons"] = ["backup ran"]
    del content["machine_info"]["node"]
    content["commit_info"] = {key: value for key, value in content["commit_info"].items() if key in OF_COMMIT}
    assert copied == content
