"""What cannot be had is a usage error before anything is made or measured."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_benchmark.session import BenchmarkSession

from midas_bench.errors import UserError
from midas_bench.measure.plugin import option_checks


@pytest.fixture
def config(tmp_path):
    session = BenchmarkSession.__new__(BenchmarkSession)
    session.skip = session.disabled = False
    session.save = session.json = session.autosave = None
    session.storage = SimpleNamespace(path=tmp_path / "storage", default_machine_id="Linux")
    option = SimpleNamespace(
        benchmark_timer="time.perf_counter",
        benchmark_json=None,
        benchmark_group_by="group",
        benchmark_disable=False,
        benchmark_skip=False,
        collectonly=False,
    )
    return SimpleNamespace(
        option=option,
        rootpath=tmp_path,
        invocation_params=SimpleNamespace(dir=tmp_path),
        args=["bench/"],
        session=session,
        pluginmanager=SimpleNamespace(get_plugin=lambda _: session),
    )


CELL = SimpleNamespace(name="test_cells[fake-b1]", callspec=SimpleNamespace(params={"batch_size": 1}))


def error(config, items=(CELL,), resume=False):
    with pytest.raises(UserError) as raised:
        option_checks.check_options(config, list(items), resume)
    return str(raised.value)


def test_possible_options_are_not_refused(config, tmp_path):
    config.option.benchmark_json = tmp_path / "out.json"
    config.option.benchmark_group_by = "group,param:batch_size"
    option_checks.check_options(config, [CELL], resume=False)


def test_a_journal_goes_beside_the_json_where_that_alone_can_be_written(config, tmp_path):
    assert option_checks.journal_folder(config) == tmp_path / "storage/Linux"
    (tmp_path / "file").write_text("")
    config.session.storage.path = tmp_path / "file"
    assert "file/Linux/journal.jsonl: cannot be written" in error(config)
    assert error(config).endswith("or name another place with --benchmark-storage")
    config.option.benchmark_json = tmp_path / "out.json"
    assert option_checks.journal_folder(config) == tmp_path
    config.session.autosave = True
    assert "--benchmark-storage" in error(config)


def test_a_timer_of_nanoseconds_is_refused(config):
    config.option.benchmark_timer = "time.perf_counter_ns"
    assert error(config).endswith("; use time.perf_counter")


def test_where_nothing_is_measured_nothing_is_refused(config):
    config.option.benchmark_timer = "time.perf_counter_ns"
    config.session.disabled = True
    option_checks.check_options(config, [CELL], resume=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent/out.json", "there is no folder"),
        ("folder", "is a folder; name a file in it"),
        ("taken.json", "taken, which is a file; name another file"),
    ],
)
def test_a_json_file_that_cannot_be_written_is_refused(config, tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "taken").touch()
    config.option.benchmark_json = tmp_path / name
    assert message in error(config)
    assert f"--benchmark-json={tmp_path / name}: " in error(config)


def test_a_json_file_without_the_right_to_write_it_is_refused(config, tmp_path, monkeypatch):
    config.option.benchmark_json = tmp_path / "out.json"
    asked = []
    monkeypatch.setattr(os, "access", lambda path, _: asked.append(path))
    assert "cannot be written; check its permissions" in error(config)
    (tmp_path / "out.json").touch()
    error(config)
    assert asked == [tmp_path, tmp_path / "out.json"]


def test_a_grouping_by_a_parameter_that_a_cell_lacks_is_refused(config):
    config.option.benchmark_group_by = "group,param:scene"
    assert "--benchmark-group-by=param:scene: test_cells[fake-b1] has no such parameter" in error(config)


def test_a_resumed_run_must_be_saved_somewhere(config):
    assert error(config, resume=True).endswith("; add --benchmark-autosave")
    config.session.autosave = "tag"
    option_checks.check_options(config, [CELL], resume=True)


@pytest.mark.parametrize("argument", ["bench", "bench/test_cells.py::test_cells[a::b]", "."])
def test_xdist_is_refused_for_benchmarks(config, argument):
    (config.rootpath / "bench").mkdir()
    config.args = ["tests", argument]
    option_checks.check_parallel(config)
    config.option.dist = "load"
    with pytest.raises(UserError, match="benchmarks cannot run in parallel; leave -n out"):
        option_checks.check_parallel(config)
    config.workerinput = {}
    option_checks.check_parallel(config)


def test_xdist_is_allowed_for_tests_and_for_benchmarks_that_time_nothing(config):
    config.option.dist = "load"
    config.args = ["tests"]
    option_checks.check_parallel(config)
    config.args = ["bench"]
    config.option.benchmark_disable = True
    option_checks.check_parallel(config)


@pytest.mark.slow
def test_xdist_is_refused_before_it_starts_a_worker(fake):
    ran = fake.run("-p", "xdist.plugin", "-n", "2")
    assert ran.code == pytest.ExitCode.USAGE_ERROR, ran.output
    assert "ERROR: bench/: benchmarks cannot run in parallel; leave -n out" in ran
    assert not Path(fake.root / "events").exists()
