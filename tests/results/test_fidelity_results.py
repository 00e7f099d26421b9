import pytest

from midas_bench.depth.backends.registry import MAX_RELATIVE_ERROR
from midas_bench.results.fidelity_results import EXACT, points
from midas_bench.results.run_files import read


def figures(**ours):
    return {
        "max_relative_error": 3e-6,
        "mean_relative_error": 1e-6,
        "rank_correlation": 1.0,
        "flipped_pairs": 0.0,
        **ours,
    }


@pytest.fixture
def run_with(synthetic, tmp_path):
    def save_cells(*cells):
        maker = synthetic.Maker()
        for number, (backend, typical_s, info) in enumerate(cells):
            maker.add(
                f"bench/test_pipeline.py::test_pipeline[{backend}-{number}]", typical_s, backend=backend,
                **{"recipe": "fast", "batch_size": 1, "threads": 2, "scene": "street", **info},
            )  # fmt: skip
        return read(synthetic.save(tmp_path / "run.json", synthetic.content(maker.benchmarks))).records

    return save_cells


def test_fidelity_takes_the_worst_cell_but_for_the_mean(run_with):
    ranked = points(
        run_with(
            ("onnx-int8", 0.016, figures(rank_correlation=0.97, flipped_pairs=0.04, mean_relative_error=0.02)),
            ("onnx-int8", 0.016, figures(max_relative_error=0.2, mean_relative_error=0.04, rank_correlation=-0.5)),
        )
    )
    [point] = ranked
    assert (point.rank_correlation, point.flipped_pairs, point.max_relative_error) == (-0.5, 0.04, 0.2)
    assert point.mean_relative_error == pytest.approx(0.03)
    assert len(point.cells) == 2


def test_backends_come_fastest_first_each_at_its_best_thread_count(run_with):
    ranked = points(
        run_with(
            ("eager", 0.09, figures()),
            ("onnx", 0.08, figures(threads=1)),
            ("onnx", 0.045, figures(threads=2)),
        )
    )
    assert [(p.backend, p.cells[0].info.threads) for p in ranked] == [("onnx", 2), ("eager", 2)]


def test_fidelity_ignores_cells_of_other_kinds(run_with):
    assert not points(
        run_with(
            ("onnx", 0.1, figures(batch_size=4)),
            ("eager", 0.1, figures(recipe="article")),
            ("jit", 0.1, {"max_relative_error": 1e-6}),
        )
    )


def test_a_correlation_that_is_no_number_is_named(synthetic, tmp_path):
    from midas_bench.errors import UserError

    maker = synthetic.Maker()
    maker.add("bench/test_pipeline.py::test_pipeline[x]", 0.1, rank_correlation="high")
    with pytest.raises(UserError, match=r"rank_correlation of .* is 'high' and not a number"):
        read(synthetic.save(tmp_path / "run.json", synthetic.content(maker.benchmarks)))


def test_limit_of_exact_depth_is_the_same_in_reader_and_run():
    assert EXACT == MAX_RELATIVE_ERROR  # neither side may import the other
