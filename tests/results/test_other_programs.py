"""Whether ours is ahead of every other program, as the report says it: by intervals alone."""

import math

import pytest

from midas_bench.report import tables
from midas_bench.report.charts.other_programs import other_programs as chart
from midas_bench.results import units
from midas_bench.results.other_programs import contests
from midas_bench.results.run_files import read

X = units.TIMES
AHEAD = [math.log(ratio) for ratio in (1.98, 2.0, 2.02, 2.0)]
UNSURE = [math.log(ratio) for ratio in (0.9, 1.2, 1.1, 1.0)]


@pytest.fixture
def measured(synthetic, tmp_path):
    """Read a run of some peers, given by name and the logarithms of their ratios to a backend."""

    def made(backends=("onnx",), **peers):
        maker = synthetic.Maker()
        for backend in backends:
            for peer, logs in peers.items():
                maker.add(
                    f"p.py::test_other_program[{backend}-{peer}]", 9.0, kind="peer-ratio", peer=peer, backend=backend,
                    ratio=f"{peer}/{backend}", block_log_ratios=logs, threads=2, photos=[maker.photo("street")],
                    peer_median_s=0.1, own_median_s=0.05,
                )  # fmt: skip
        return read(synthetic.save(tmp_path / "run.json", synthetic.content(maker.benchmarks), False)).records

    return made


def test_ours_is_ahead_of_every_peer_where_each_interval_is_above_1(measured):
    [contest] = contests(measured(slow=[log + 1 for log in AHEAD], close=AHEAD))
    assert contest.text == (
        "onnx is ahead of every peer on a photo of 640x427 with 2 threads: 2 other programs, and each interval is "
        f"above 1. The closest, close, takes 2.00{X} (1.97 to 2.03) as long."
    )


def test_one_interval_that_holds_1_takes_the_claim_back_and_is_named(measured):
    [contest] = contests(measured(slow=AHEAD, close=UNSURE))
    assert contest.text == (
        "onnx is not surely ahead of every peer on a photo of 640x427 with 2 threads: 2 other programs ran. "
        f"Intervals that are not above 1: close 1.04{X} (0.857 to 1.27)."
    )


def test_a_peer_without_an_interval_takes_the_claim_back(measured):
    [contest] = contests(measured(slow=AHEAD, once=AHEAD[:1]))
    assert "not surely ahead" in contest.text
    assert contest.text.endswith("once (too few blocks for one).")


def test_the_table_and_the_chart_have_a_row_for_each_peer_and_backend(measured):
    records = measured(backends=("onnx", "openvino"), slow=AHEAD, close=UNSURE)
    table = tables.other_programs(contests(records))
    assert [[cell.text for cell in row] for row in table.rows] == [
        [peer, "640x427", "100 ms", backend, "50.0 ms", span, "4"]
        for backend in ("onnx", "openvino")
        for peer, span in (("close", f"1.04{X} (0.857 to 1.27)"), ("slow", f"2.00{X} (1.97 to 2.03)"))
    ]
    assert [row[5].status for row in table.rows] == ["unsure", "good"] * 2
    drawn = chart(contests(records))
    assert f"close 1.04{X} (0.857 to 1.27) of openvino, 640x427" in drawn.alt
    assert all(f">{text}<" in drawn.svg for text in ("slow", "close", "onnx is 1", "openvino is 1"))
    # ratios to peers are no ratios between backends
    assert tables.ratios(records) is None


def test_without_other_programs_there_is_nothing_to_show(small):
    assert contests(small.records) == []
    assert tables.other_programs([]) is chart([]) is None
