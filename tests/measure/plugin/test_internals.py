"""What is leant on in pytest-benchmark, and would break with another version of it."""

from types import SimpleNamespace

import pytest
from pytest_benchmark.session import BenchmarkSession
from pytest_benchmark.stats import Metadata

from midas_bench.measure.plugin import internals


def metadata(name, rounds_s, iterations=1):
    fixture = SimpleNamespace(
        name=name,
        fullname=f"bench/{name}",
        group="group",
        param="p",
        params={"backend": "fake"},
        extra_info={"kind": "latency"},
        cprofile_stats=None,
        has_error=False,
    )
    cell = Metadata(fixture, iterations, {"timer": "perf_counter", "min_rounds": 3})
    for seconds in rounds_s:
        cell.update(seconds * iterations)
    return cell


@pytest.fixture
def config():
    session = BenchmarkSession.__new__(BenchmarkSession)
    session.benchmarks = []
    session.skip = session.disabled = False
    session.save = session.json = session.autosave = None
    plugins = SimpleNamespace(get_plugin=lambda name: session if name == "pytest-benchmark" else None)
    return SimpleNamespace(pluginmanager=plugins, option=SimpleNamespace(collectonly=False), session=session)


@pytest.mark.parametrize("iterations", [1, 3, 7])
def test_a_cell_that_is_given_back_is_the_same_to_the_last_digit(config, iterations):
    rounds_s = [0.1, 0.3, 0.7, 1 / 3, 1e-7]
    row = metadata("a", rounds_s, iterations).as_dict(include_data=True)
    internals.restore_results(config, [row])
    [given] = config.session.benchmarks
    assert given.as_dict(include_data=True) == row
    assert not given.has_error
    assert given


def test_earlier_cells_come_first_until_they_are_put_in_order(config):
    config.session.benchmarks = [metadata("b", [1.0]), metadata("d", [1.0])]
    internals.restore_results(config, [metadata(name, [1.0]).as_dict() for name in ("c", "a")])
    assert [bench.name for bench in config.session.benchmarks] == ["c", "a", "b", "d"]
    internals.order(config, ["bench/a", "bench/b", "bench/c"])
    assert [bench.name for bench in config.session.benchmarks] == ["a", "b", "c", "d"]


def test_forget_and_keep_only_drop_cells_by_name(config):
    config.session.benchmarks = [metadata(name, [1.0]) for name in "abc"]
    internals.forget(config, "bench/b")
    assert [bench.name for bench in config.session.benchmarks] == ["a", "c"]
    internals.keep_only(config, {"bench/c", "bench/other"})
    assert [bench.name for bench in config.session.benchmarks] == ["c"]


def timed(**changes):
    return SimpleNamespace(**({"stats": metadata("a", [1.0]), "has_error": False} | changes))


@pytest.mark.parametrize("fixture", [None, timed(has_error=True), timed(stats=None), timed(stats=metadata("a", []))])
def test_a_benchmark_without_stats_or_with_an_error_has_no_row(fixture):
    assert internals.as_row(fixture) is None


def test_a_row_holds_the_raw_rounds():
    assert internals.as_row(timed())["stats"]["data"] == [1.0]


@pytest.mark.parametrize("what", ["skip", "disabled"])
def test_a_run_that_skips_or_disables_benchmarks_measures_nothing(config, what):
    assert internals.measures(config)
    setattr(config.session, what, True)
    assert not internals.measures(config)


def test_a_run_that_collects_measures_nothing(config):
    config.option.collectonly = True
    assert not internals.measures(config)


def test_a_file_is_asked_for_only_if_there_is_something_to_save(config):
    config.session.autosave = "auto"
    config.session.benchmarks = [metadata("a", [1.0])]
    internals.save_something_only(config)
    assert internals.saves(config)
    config.session.benchmarks = []
    internals.save_something_only(config)
    assert not internals.saves(config)
