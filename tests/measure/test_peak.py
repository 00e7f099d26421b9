import pytest
import torch

from midas_bench.depth.backends import registry
from midas_bench.measure import peak
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.processes import ask


def test_the_peak_is_the_best_rate_of_all_sizes_and_libraries(monkeypatch):
    seconds = {("one", 10): 0.02, ("other", 10): 0.01, ("half", 10): 0.005, ("one", 20): 0.16, ("other", 20): 0.04,
               ("half", 20): 0.08}  # fmt: skip
    kinds = [("f32", "one"), ("f32", "other"), ("bf16", "half"), ("int8", "unasked")]
    monkeypatch.setattr(peak, "_products", lambda size: [(kind, lambda n=name: (n, size)) for kind, name in kinds])
    monkeypatch.setattr(peak, "_shortest_s", lambda call, _: seconds[call()])
    before = torch.get_num_threads()
    try:
        assert peak.peak_flop_per_s(1, ("f32", "bf16"), sizes=(10, 20)) == pytest.approx({"f32": 4e5, "bf16": 4e5})
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_slow_product_is_not_tried_in_larger_sizes(monkeypatch):
    tried = []
    monkeypatch.setattr(peak, "_products", lambda size: [("int8", lambda: size), ("f32", lambda: 0)])
    monkeypatch.setattr(peak, "_shortest_s", lambda call, _: tried.append(call()) or (call() / 1000 or 1e-3))
    rates = peak.peak_flop_per_s(torch.get_num_threads(), ("int8", "f32"), sizes=(100, 300, 500))
    assert [size for size in tried if size] == [100, 300]
    assert rates["int8"] == pytest.approx(2 * 300**3 / 0.3)


def test_what_torch_cannot_multiply_here_has_no_peak(monkeypatch):
    def product():
        raise NotImplementedError("_int_mm")

    monkeypatch.setattr(peak, "_products", lambda _: [("f32", lambda: None), ("int8", product)])
    assert peak.peak_flop_per_s(torch.get_num_threads(), ("f32", "int8"), (10,), patience_s=0).keys() == {"f32"}


def test_the_shortest_of_a_few_calls_counts_and_the_first_does_not(monkeypatch):
    spans = iter([0.5, 0.25])
    now = [0.0]
    calls = []

    def call():
        calls.append(1)
        now[0] += next(spans) if len(calls) > 1 else 0.125

    monkeypatch.setattr(peak.time, "perf_counter", lambda: now[0])
    assert peak._shortest_s(call, patience_s=0.1) == 0.25
    assert len(calls) == 1 + peak.LEAST_CALLS


def test_without_torch_numpy_measures_float32(monkeypatch):
    monkeypatch.setattr(peak, "has_torch", lambda: False)
    assert peak.peak_flop_per_s(1, ("f32", "bf16", "int8"), (16,), patience_s=0).keys() == {"f32"}


@pytest.mark.slow
def test_a_fresh_process_measures_the_peak_of_every_precision_that_backends_use_here():
    precisions = {row.precision for row in registry.ROWS if registry.suits_cpu(row)}
    # one small product each: without the CPU's instructions for it the largest takes a minute
    rates = ask(MODULE, {"task": "peak", "threads": 1, "precisions": sorted(precisions), "sizes": [256]}, 120.0)
    assert rates.keys() == precisions >= {"f32", "int8"}
    assert all(1e7 < rate < 1e16 for rate in rates.values())
