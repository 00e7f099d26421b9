import pytest

from midas_bench.results.kinds import Stage
from midas_bench.results.roofline import beside_peers, roofs
from midas_bench.results.run_files import read


@pytest.fixture
def run(synthetic, tmp_path):
    """Time two backends and two peers; the onnx network has a peak, and needs 10 ms of it."""
    maker = synthetic.Maker()
    common = {"recipe": "fast", "threads": 2}
    inference = {"kind": "stage", "stage": "inference", **common}
    maker.add("b.py::test_inference[onnx-b1]", 0.020, backend="onnx", batch_size=1, **inference,
              flop=2_000_000_000, peak_flop_per_s=2e11)  # fmt: skip
    maker.add("b.py::test_inference[onnx-b4]", 0.060, backend="onnx", batch_size=4, **inference,
              flop=8_000_000_000, peak_flop_per_s=2e11)  # fmt: skip
    maker.add("b.py::test_inference[eager-b1]", 0.080, backend="eager", batch_size=1, **inference)
    maker.add("b.py::test_inference[eager-t1]", 0.160, backend="eager", batch_size=1, **{**inference, "threads": 1})
    maker.add("p.py::test_app", 7.0, kind="peer", peer="app", peer_median_s=0.030, batch_size=1, threads=2)
    maker.add("p.py::test_backbone", 0.050, kind="peer", peer="backbone", batch_size=1, threads=2)
    return read(synthetic.save(tmp_path / "run.json", synthetic.content(maker.benchmarks)))


def test_the_least_time_is_work_over_peak_and_the_share_says_how_near_it_is(run):
    [four, one] = roofs(run.records)
    assert (one.record.name, four.record.name) == ("test_inference[onnx-b1]", "test_inference[onnx-b4]")
    assert (one.least_s, four.least_s) == (0.01, 0.04)
    assert one.share.estimate == pytest.approx(0.01 / one.record.times.median_s)
    assert one.share.low == pytest.approx(0.01 / one.record.times.interval.high)
    assert one.share.low < one.share.estimate < one.share.high


def test_peers_stand_among_ours_of_the_same_threads_fastest_first(run):
    rows = beside_peers(run.records)
    assert [name for name, _, _ in rows] == ["onnx", "app", "backbone", "eager"]
    times = {name: time for name, _, time in rows}
    assert (times["app"].estimate, times["app"].confidence) == (0.030, 0.0)  # its own word, not the 7 s it took
    assert 0.05 < times["backbone"].low < times["backbone"].high


def test_a_cells_share_follows_from_its_rounds():
    info = Stage(flop=10, peak_flop_per_s=100.0).to_extra_info([0.2, 0.4, 0.3])
    assert info["share_of_peak"] == pytest.approx(1 / 3)
    assert "share_of_peak" not in Stage(flop=10).to_extra_info([0.2])


def test_without_peers_there_is_no_comparison(small):
    assert beside_peers(small.records) == []
    assert roofs(small.records) == []
