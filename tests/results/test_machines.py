"""Kinds of machine side by side. Their fingerprints are altered copies of one made-up run: no such machine exists."""

import pytest

from midas_bench.results.intervals import Interval
from midas_bench.results.kinds import Latency
from midas_bench.results.machines import MachineResult, Machines, described, joules_per_photo, machines
from midas_bench.results.price import Prices
from midas_bench.results.record import CellNoise
from midas_bench.results.run_files import read
from midas_bench.results.runs import CellRecord, Times


@pytest.fixture
def altered(synthetic, tmp_path):
    """Make a run of a machine that does not exist: `altered("a", speed=2.0, change=...)`."""

    def run(name, speed=1.0, change=lambda _: None, scenes=("street", "pet"), when="2026-01-02T03:04:05+00:00"):
        content = synthetic.content(synthetic.Maker(1, speed, scenes).everything(depth_maps=False), when)
        content["machine_info"]["midas_bench"] |= {
            "fingerprint": f"altered-{name}", "cpu_model": f"Altered(R) CPU {name}"
        }  # fmt: skip
        change(content)
        return read(synthetic.save(tmp_path / f"{name}.json", content, depth_maps=False))

    return run


def side_by_side(*runs, prices=Prices()):  # noqa: B008 - frozen
    return machines([MachineResult(run.name, run) for run in runs], prices)


def other_weights(content):
    for benchmark in content["benchmarks"]:
        benchmark["extra_info"]["weights"] = {"source": "official", "sha256": "70" * 32}


def other_version(content):
    content["machine_info"]["midas_bench"]["versions"]["onnxruntime"] = "1.25.0"


def test_each_machine_has_its_own_answers_peak_and_price_the_fastest_first(altered):
    shown = side_by_side(altered("slow", 3.0), altered("fast"), prices=Prices(other=0.36))
    fast, slow = shown.rows
    assert (fast.label, slow.label) == ("fast", "slow")
    for row in shown.rows:
        latency, throughput = row.answers["latency"], row.answers["throughput"]
        assert latency.winner.backend == "onnx"
        assert latency.figure.low < latency.figure.estimate < latency.figure.high
        assert row.roof.record.info.backend == "onnx"
        assert row.roof.share.low < row.roof.share.estimate < row.roof.share.high
        assert row.price.estimate == pytest.approx(100 / throughput.figure.estimate)
        assert row.price.high == pytest.approx(100 / throughput.figure.low)
    assert slow.answers["latency"].figure.estimate == pytest.approx(3 * fast.answers["latency"].figure.estimate)
    assert slow.roof.share.estimate == pytest.approx(fast.roof.share.estimate / 3)
    assert slow.answers["memory"].figure == fast.answers["memory"].figure


def test_equal_runs_differ_in_nothing(altered):
    shown = side_by_side(altered("a"), altered("b", 1.1))
    assert shown.differences() == {}
    assert [shown.unlike(row) for row in shown.rows] == [(), ()]


def test_other_weights_or_photos_do_not_compare_and_most_machines_decide(altered):
    runs = [altered("a"), altered("b", 1.1), altered("c", 1.2, other_weights), altered("d", 1.3, scenes=("street",))]
    shown = side_by_side(*runs)
    assert [shown.unlike(row) for row in shown.rows] == [(), (), ("weights",), ("photos",)]
    differences = shown.differences()
    assert set(differences) == {"weights", "photos"}
    assert differences["weights"][2] == "official (70707070)"
    assert differences["photos"][3].startswith("china.jpg (")
    assert "chelsea.jpg" not in differences["photos"][3]


def test_of_two_machines_the_newer_run_decides_what_compares(altered):
    old, new = altered("old"), altered("new", 2.0, other_weights, when="2026-02-02T03:04:05+00:00")
    shown = side_by_side(old, new)
    assert {row.label: shown.unlike(row) for row in shown.rows} == {"old": ("weights",), "new": ()}


def test_what_a_file_does_not_say_is_like_nothing(altered):
    def silent(content):
        for benchmark in content["benchmarks"]:
            benchmark["extra_info"].pop("photos", None)

    shown = side_by_side(altered("a"), altered("b", 1.1, silent), altered("c", 1.2, silent))
    assert [shown.unlike(row) for row in shown.rows] == [(), ("photos",), ("photos",)]
    assert side_by_side(altered("b", 1.1, silent)).unlike(shown.rows[1]) == ()


def test_versions_are_named_and_compare(altered):
    shown = side_by_side(altered("a"), altered("b", 1.1, other_version))
    assert shown.differences() == {"onnxruntime": ["1.24.0", "1.25.0"]}
    assert [shown.unlike(row) for row in shown.rows] == [(), ()]


def test_a_best_set_up_of_fewer_backends_is_named(altered):
    def only_eager(content):
        content["benchmarks"] = [b for b in content["benchmarks"] if b["extra_info"].get("backend") == "eager"]

    shown = side_by_side(altered("a"), altered("b", 1.0, only_eager))
    assert shown.differences()["backends"] == ["eager, jit, onnx", "eager"]


def test_a_run_without_a_pipeline_has_a_row_without_figures(altered):
    def stages(content):
        content["benchmarks"] = [b for b in content["benchmarks"] if b["extra_info"]["kind"] == "stage"]

    shown = side_by_side(altered("a"), altered("b", 1.0, stages), prices=Prices(other=1.0))
    empty = shown.rows[1]
    assert (empty.answers, empty.roof, empty.price, empty.joules_per_photo) == ({}, None, None, None)


def test_no_machine_at_all_differs_in_nothing():
    assert Machines(()).differences() == {}


def test_a_machine_is_called_by_its_cpu_and_its_cores(altered):
    assert described(altered("X")) == "Altered CPU X, 2 cores"


def cell(name, energies_j, batch_size=1, disturbed_passes=()):
    times = Times(9, 0.1, 0.1, 0.1, 0.1, 0.0, passes_s=[0.1] * len(energies_j))
    noise = CellNoise(noisy=False, disturbed_passes=disturbed_passes)
    info = Latency(energy_by_pass_j=tuple(energies_j), batch_size=batch_size, noise=noise)
    return CellRecord(fullname=name, name=name, kind="latency", times=times, info=info)


def test_energy_per_photo_is_that_of_a_call_over_its_photos_with_the_spread_of_the_passes():
    steady = joules_per_photo([cell("a", [4.0] * 6, batch_size=2), cell("b", [8.0] * 6, batch_size=2)])
    assert (steady.estimate, steady.low, steady.high) == (pytest.approx(3.0),) * 3
    varied = joules_per_photo([cell("a", [4.0, 4.2, 3.8, 4.1, 3.9, 4.3], batch_size=2)])
    assert varied.estimate == pytest.approx(2.025)
    assert varied.low < varied.estimate < varied.high


def test_energy_of_a_single_pass_has_no_interval():
    assert joules_per_photo([cell("a", [4.0])]) == Interval(4.0, 4.0, 4.0, confidence=0.0)


@pytest.mark.parametrize(
    "cells",
    [[], [cell("a", [])], [cell("a", [4.0, 4.0]), cell("b", [])], [cell("a", [0.0, 0.0])], [cell("a", [1.0], None)]],
)
def test_without_a_reading_for_every_cell_there_is_no_energy(cells):
    assert joules_per_photo(cells) is None
