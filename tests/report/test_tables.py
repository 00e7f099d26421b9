from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from midas_bench.render.document import Table
from midas_bench.render.floor import floor_table
from midas_bench.report import tables
from midas_bench.report.charts.throughput import stage_means
from midas_bench.report.claims import findings
from midas_bench.results import fidelity_results, units
from midas_bench.results.compare import ComparedRuns, compare
from midas_bench.results.frame import frame
from midas_bench.results.intervals import Interval
from midas_bench.results.kinds import RatioBounds, Stage, StepTime
from midas_bench.results.recommendations import answers
from midas_bench.results.record import CellNoise
from midas_bench.results.roofline import beside_peers, roofs
from midas_bench.results.run_files import read
from midas_bench.results.runs import CellRecord, Times

X = units.TIMES
NOTHING = units.NOTHING


def texts(table: Table | None) -> list[list[str]]:
    assert table is not None
    return [[cell.text for cell in row] for row in table.rows]


def row(table: Table | None, start: str) -> list[str]:
    return next(fields for fields in texts(table) if fields[0].startswith(start))


@pytest.fixture
def calm(small):
    """Give the small run, as if the machine had been quiet."""
    quiet = CellNoise(noisy=False)
    records = [replace(r, info=structs.replace(r.info, noise=quiet)) for r in small.records]
    return replace(small, records=tuple(records))


def test_tables_tell_models_apart(synthetic, tmp_path):
    cells = synthetic.Maker(scenes=("street",)).models({"large": 1.0, "small": 0.5}, depth_maps=False)
    run = read(synthetic.save(tmp_path / "models.json", synthetic.content(cells)))
    names = {f"{model} on {backend}" for model in ("large", "small") for backend in ("onnx", "openvino")}
    assert {fields[1] for fields in texts(tables.memory(frame([run])))} == names
    for table in (tables.startup(run.records), tables.streams(run.records), tables.roofline(roofs(run.records))):
        assert {fields[0] for fields in texts(table)} == names
    assert set(stage_means(run.records)) == names
    assert stage_means(run.records)["small on onnx"]["decode"].estimate < 0.002
    agreements = fidelity_results.agreements(run.records)
    table = tables.alternatives(answers(run.records)[:1], agreements)
    assert {fields[0]: fields[3] for fields in texts(table)} == {
        f"{name} (2 threads)": "1" if "large" in name else "0.930" for name in names
    }
    assert "with that of large, which was named first" in table.note
    closeness = tables.fidelity(fidelity_results.points(run.records))
    assert [column.title for column in closeness.columns][2:4] == ["correlation with large", "pairs kept"]
    assert row(closeness, "small on openvino")[2:4] == ["0.930", "93.0 %"]


def test_table_of_cells_shows_every_timed_cell(small):
    table = tables.cells_table(frame([small]))
    # the 2nd and 9th of ten ordered rounds; the deviation of 1..10 is the root of 82.5 / 9
    assert row(table, "test_article") == [
        "test_article[street]", "106 ms", "102 to 109 ms", "106 ms", "101 ms", "3.03 ms", "10", "9.48", NOTHING,
        "quiet",
    ]  # fmt: skip
    assert row(table, "test_pipeline[onnx-b1") == [
        "test_pipeline[onnx-b1-street]", "45.5 ms", "42.0 to 49.0 ms", "45.5 ms", "41.0 ms", "3.03 ms", "10", "22.0",
        NOTHING, "noisy",
    ]  # fmt: skip
    assert row(table, "test_pipeline[onnx-b4")[-3] == "27.5"
    assert row(table, "test_decode") == [
        "test_decode[street-article]", "4.50 ms", "4.00 to 5.00 ms", "4.50 ms", "4.00 ms", "548 µs", "6", NOTHING,
        NOTHING, "quiet",
    ]  # fmt: skip
    assert len(table.rows) == 5


def test_table_of_the_article_shows_means_and_peak_memory(small):
    best = answers(small.records)[0]
    assert texts(tables.article_table(frame([small]), best)) == [
        ["the article", "all four", "1.05 to 1.23 s", "0.9 to 1.1 GB", "0.8 images/s", "its own machine"],
        # 900 MiB are 0.9437 GB; means, as in the article
        ["article's recipe", "street", "106 ms", "0.944 GB", "9.48 images/s", "10 rounds, standard deviation 3.03 ms"],
        ["onnx", "street", "45.5 ms", "0.315 GB", "22.0 images/s",
         "10 rounds, standard deviation 3.03 ms, machine disturbed"],
    ]  # fmt: skip


def test_the_relative_cost_of_the_alternatives(calm):
    table = texts(tables.alternatives(answers(calm.records)))
    assert [(fields[3], fields[0]) for fields in table] == [
        ("lowest latency", "onnx (2 threads)"),
        ("lowest latency", "eager (2 threads)"),
        ("lowest latency", "article's recipe (2 threads)"),
        ("highest throughput", "onnx (batch 4, 2 threads)"),
        ("highest throughput", "eager (batch 1, 2 threads)"),
        ("highest throughput", "article's recipe (batch 1, 2 threads)"),
        ("least memory", "onnx (batch 1)"),
        ("least memory", "article's recipe (batch 1)"),
    ]
    assert table[0][1] == f"1{X}"
    assert table[1][2].startswith("95.5 ms (")
    assert table[1][1].startswith(f"2.10{X} (")
    assert table[4][1].startswith(f"2.63{X} (")
    assert table[7][1:3] == [f"3.00{X}", "900 MiB"]


def test_claims_are_judged_by_their_intervals(calm):
    judged = {finding.id: (finding.measured, finding.verdict) for finding in findings(calm.records)}
    assert judged["one-photo"] == ("street 106 ms (102 to 109)", "does not hold")
    assert judged["memory"] == ("0.944 GB", "holds")
    # exp of -0.7 -+ 0.1 / sqrt(3) * 4.30265 = 0.387, 0.497, 0.637; less from one
    assert judged["onnx"] == ("50.3 % (36.3 to 61.3)", "does not hold")
    assert judged["combined"] == ("onnx 50.3 % (36.3 to 61.3)", "holds")
    # exp of 0 -+ 0.248, the other way up
    assert judged["batches"] == (f"onnx 1.00{X} (0.780 to 1.28)", "cannot tell")
    assert judged["preprocessing"] == ("6.00 % (5.00 to 7.00)", "does not hold")
    assert judged["scene"] == (f"pet/street 1.00{X} (0.995 to 1.01)", "does not hold")
    assert judged["parameters"] == ("stored 21.3 million; used 16.6 million", "does not hold")
    assert judged["torchscript"] == (NOTHING, "cannot tell")
    assert judged["throughput"][1] == "does not hold"
    assert judged["real-time"][1] == "does not hold"  # onnx makes 22 per second
    why = {finding.id: finding.why for finding in findings(calm.records)}
    assert why["torchscript"] == "The run has neither a block ratio 'jit/eager' nor passes with both."
    assert why["batches"].startswith("The interval reaches over the limit.")


def test_a_claim_is_not_judged_without_an_interval(small):
    few = [replace(r, times=replace(r.times, interval=None, rounds_s=r.times.rounds_s[:0])) for r in small.records]
    judged = {finding.id: finding for finding in findings(few)}
    assert judged["one-photo"].verdict == "cannot tell"
    assert judged["one-photo"].measured == "street 106 ms"
    assert judged["one-photo"].why.startswith("No interval: too few rounds")


@pytest.mark.parametrize("short_first", [True, False])
def test_a_claim_rests_on_the_form_of_a_ratio_that_has_most_blocks(small, short_first):
    short, long = (
        [replace(r, info=structs.replace(r.info, interval=interval, block_log_ratios=(0.0,) * blocks))
         for r in small.records if r.kind == "ratio" and r.info.name in ("onnx/eager", "b4/b1 per photo onnx")]
        for blocks, interval in (
            (4, RatioBounds(estimate=0.1, low=0.1, high=0.1)), (20, RatioBounds(estimate=0.5, low=0.4, high=0.625))
        )
    )  # fmt: skip
    judged = {finding.id: finding for finding in findings(short + long if short_first else long + short)}
    assert judged["batches"].measured == f"onnx 2.00{X} (1.60 to 2.50)"
    assert judged["combined"].measured == f"onnx {judged['onnx'].measured}"


def test_claims_without_any_cell_say_why(foreign):
    assert {finding.verdict for finding in findings(read(foreign).records) if finding.id != "parameters"} == {
        "cannot tell"
    }


def test_memory_of_each_process(small):
    assert texts(tables.memory(frame([small]))) == [
        ["test_memory[onnx-b1-street]", "onnx", "fast", "1", "street", "100 MiB", "200 MiB", "300 MiB"],
        ["test_memory[eager-b1-street]", "eager", "article", "1", "street", "400 MiB", "600 MiB", "900 MiB"],
    ]


def test_work_peak_and_the_share_that_is_reached(small):
    times = Times(10, 0.04, 0.04, 0.03, 0.05, 0.0, Interval(0.04, 0.03, 0.05))
    info = Stage(stage="inference", backend="onnx", batch_size=2, threads=2, flop=4_000_000_000, peak_flop_per_s=2e11)
    cell = CellRecord(fullname="a::b", name="b", kind="stage", times=times, info=info)
    assert texts(tables.roofline(roofs([*small.records, cell]))) == [
        ["onnx", "2", "2", "40.0 ms (30.0 to 50.0)", "4.00 GFLOP", "200 GFLOP/s", "20.0 ms", "50.0 % (40.0 to 66.7)"]
    ]
    assert tables.roofline([]) is None


def test_table_of_peers_lists_them_among_our_backends(synthetic, tmp_path):
    records = read(synthetic.run(tmp_path / "run.json")).records
    table = texts(tables.peers(beside_peers(records)))
    assert [fields[:3] for fields in table] == [
        ["timm backbone, eager", "peer", "2"],
        ["OpenVINO benchmark_app, f32", "peer", "2"],
        ["onnx", "ours", "2"],
        ["jit", "ours", "2"],
        ["eager", "ours", "2"],
    ]
    assert table[1][3] == "46.0 ms"
    assert tables.peers([]) is None


def test_start_up_by_phase(small):
    assert texts(tables.startup(small.records)) == [
        ["onnx", "warm", "3", "400 ms", "200 ms", "100 ms", "50.0 ms", NOTHING]
    ]


def test_ratios_from_blocks(small):
    assert texts(tables.ratios(small.records)) == [
        ["onnx/eager", f"0.497{X}", "0.387 to 0.637", "3", NOTHING],
        ["b4/b1 per photo onnx", f"1.00{X}", "0.780 to 1.28", "3", NOTHING],
        ["article preprocess share", f"0.0600{X}", "0.0500 to 0.0700", "0", NOTHING],
        ["inference: pet/street", f"1.00{X}", "0.995 to 1.01", "0", NOTHING],
    ]


def test_noisy_cells_and_what_was_not_measured(small, changed):
    assert texts(tables.noisy(small.records)) == [
        ["test_pipeline[onnx-b1-street]", "sentinel 1.31 times its usual time"]
    ]
    assert tables.unmeasured(small) is None

    def change(content):
        content["midas_bench"] |= {
            "failed": [{"cell": "f", "reason": "out of memory"}],
            "skipped": [{"cell": "s", "reason": "no AVX2"}],
        }
        content["midas_bench"]["planned"].append("n")

    assert texts(tables.unmeasured(read(changed(change)))) == [
        ["f", "failed: out of memory"], ["s", "skipped: no AVX2"], ["n", "not reached"],
    ]  # fmt: skip


def test_table_of_the_machine_shows_fingerprint_and_versions(small):
    facts = dict(texts(tables.facts(small.machine)))
    assert facts["fingerprint"] == "abc123"
    assert facts["physical cores"] == "2"
    assert texts(tables.versions(small.machine)) == [["torch", "2.13.0"]]


def test_table_of_a_comparison_shows_both_sides_and_the_ratio(small):
    compared = compare(ComparedRuns("old", (small,)), ComparedRuns("new", (small,)))
    fields = row(tables.comparison(compared, 1), "test_memory[eager")
    assert fields == ["test_memory[eager-b1-street]", f"1.00{X}", "no verdict", NOTHING, "peak memory", "900 MiB",
                      "900 MiB", ""]  # fmt: skip
    timed = row(tables.comparison(compared, 1), "test_article")
    assert timed[:3] == ["test_article[street]", f"1.00{X}", "no verdict"]
    assert timed[4:7] == ["median time", "106 ms", "106 ms"]
    low, high = map(float, timed[3].split(" to "))
    assert low < 1 < high
    assert tables.one_sided(compared, 1) is None
    assert tables.machines_differ(compared, 1) is None


@pytest.mark.slow
def test_the_parameters_are_as_many_as_the_claim_says(seeded_network):
    import tomllib
    from importlib.resources import files

    rows = tomllib.loads(files("midas_bench.report").joinpath("claims.toml").read_text())["claim"]
    claim = next(row for row in rows if row["id"] == "parameters")
    named = dict(seeded_network.named_parameters())
    unused = sum(value.numel() for name, value in named.items() if "refinenet4.resConfUnit1" in name)
    stored = sum(value.numel() for value in named.values())
    assert (claim["stored"], claim["used"]) == (stored, stored - unused)


def test_a_photos_floor_is_the_sum_of_its_steps_and_an_impossible_share_is_flagged():
    steps = [StepTime("decode", 0.002, 0.001), StepTime("heatmap", 0.001, 0.002, 3_000_000)]
    table = floor_table("floor", "a title", steps)
    assert texts(table) == [
        ["decode", "2.00 ms", "1.00 ms", "50.0 %", ""],
        ["heatmap", "1.00 ms", "2.00 ms", "above 100 %", "3.00 MB read and written"],
        ["the photo", "3.00 ms", NOTHING, NOTHING, ""],
    ]
    assert table.rows[1][3].status == "unsure"
    whole = floor_table("floor", "a title", [steps[0], StepTime("write", 0.002, 0.001, 10**6)])
    assert texts(whole)[-1] == ["the photo", "4.00 ms", "2.00 ms", "50.0 %", ""]
    unknown = texts(floor_table("floor", "a title", [*steps, StepTime("inference", 0.05, None, None, 10**9)]))
    assert unknown[2:] == [["inference", "50.0 ms", NOTHING, NOTHING, "1.00 GFLOP"],
                           ["the photo", "53.0 ms", NOTHING, NOTHING, ""]]  # fmt: skip


def test_a_run_has_a_floor_table_for_each_photo_and_backend():
    [table] = tables.floors(read(Path(__file__).parent / "data/every-kind.json").records)
    assert table.title.startswith("Distance to the limit: onnx, ")
    assert texts(table)[-1] == ["the photo", "63.2 ms", "36.1 ms", "57.1 %", ""]
