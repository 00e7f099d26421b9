"""The one module that touches pytest-benchmark's internals; hence the pin to 5.3 in pyproject.toml."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import ceil
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from pytest_benchmark.session import BenchmarkSession, PerformanceRegression
from pytest_benchmark.stats import Metadata

Regression = PerformanceRegression
"""What pytest-benchmark raises below its tables where --benchmark-compare-fail found a slower cell."""


def session_of(config: pytest.Config) -> BenchmarkSession:
    """Return pytest-benchmark's session."""
    session = config.pluginmanager.get_plugin("pytest-benchmark")
    assert isinstance(session, BenchmarkSession)
    return session


def measures(config: pytest.Config) -> bool:
    """Tell whether this run times anything: not with --benchmark-disable, --benchmark-skip or --collect-only."""
    session = session_of(config)
    return not (session.disabled or session.skip or config.option.collectonly)


def saves(config: pytest.Config) -> bool:
    """Tell whether a file was asked for."""
    session = session_of(config)
    return bool(session.save or session.autosave or session.json)


def stores(config: pytest.Config) -> bool:
    """Tell whether a file is to be saved in the storage, with --benchmark-autosave or --benchmark-save."""
    session = session_of(config)
    return bool(session.save or session.autosave)


def save_something_only(config: pytest.Config) -> None:
    """Ask for no file where there is nothing to save: pytest-benchmark would warn of what we say in other words."""
    session = session_of(config)
    if not session.benchmarks:
        session.save = session.autosave = session.json = None


def save_within(config: pytest.Config, saving: Callable[[Callable[[], None]], None]) -> None:
    """Let `saving` call what saves the files; that returns once all of them are written."""
    session = session_of(config)
    save = session.handle_saving
    session.handle_saving = lambda: saving(save)  # type: ignore[method-assign]


def storage_folder(config: pytest.Config) -> Path:
    """Return where --benchmark-storage keeps this kind of machine's files."""
    storage = session_of(config).storage
    folder = getattr(storage, "path", None)  # elasticsearch:// has none
    return Path(folder or config.rootpath / ".benchmarks") / str(storage.default_machine_id)


def regressions(config: pytest.Config) -> int:
    """Return how many cells --benchmark-compare-fail found slower."""
    return len(session_of(config).performance_regressions)


def as_row(benchmark: Any) -> dict[str, Any] | None:
    """Return a timed benchmark fixture in the form it has in pytest-benchmark's JSON, raw rounds included."""
    if benchmark is None or not benchmark.stats or benchmark.has_error:
        return None
    row: dict[str, Any] = benchmark.stats.as_dict(include_data=True)
    return row


def rounds_s(benchmark: BenchmarkFixture) -> list[float]:
    """Return the raw rounds of a timed fixture, in seconds a call."""
    return list(benchmark.stats.stats.data) if benchmark.stats is not None else []


def timer(benchmark: BenchmarkFixture) -> Callable[[], float]:
    """Return the clock that times the fixture's rounds, in seconds."""
    clock: Callable[[], float] = benchmark._timer
    return clock


def iterations(benchmark: BenchmarkFixture, call_s: float) -> int:
    """Return how many calls a round needs to be long beside the clock's precision, as pytest-benchmark calibrates."""
    precision_s = benchmark._get_precision(benchmark._timer)  # type: ignore[no-untyped-call]
    least_s = float(max(benchmark._min_time, precision_s * benchmark._calibration_precision))
    return max(1, ceil(least_s / max(call_s, float(precision_s))))


def joined(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return several rows of one cell as one, with the raw rounds of all in their order and the figures of these."""
    data = [seconds for row in rows for seconds in row["stats"]["data"]]
    metadata = _metadata({**rows[0], "stats": {**rows[0]["stats"], "data": data}})
    whole: dict[str, Any] = metadata.as_dict(include_data=True)  # type: ignore[no-untyped-call]
    return whole


def suppress_unused_warning(benchmark: BenchmarkFixture) -> None:
    """Keep pytest-benchmark from warning of a cell that failed, or was interrupted, before it could be timed."""
    benchmark.skipped = True


def restore_results(
    config: pytest.Config, rows: Iterable[Mapping[str, Any]], profiles: Mapping[str, object] = MappingProxyType({})
) -> None:
    """Let table, JSON and comparison include cells whose rounds are of several visits, or of an interrupted run.

    Their profiles, where --benchmark-cprofile made some, are given by the cell's id.
    """
    session = session_of(config)
    session.benchmarks[:0] = [_metadata(row, profiles.get(row["fullname"])) for row in rows]


def _metadata(row: Mapping[str, Any], profile: object = None) -> Metadata:
    fixture = SimpleNamespace(
        **{key: row[key] for key in ("name", "fullname", "group", "param", "params", "extra_info")},
        cprofile_stats=profile,
        has_error=False,
    )
    metadata = Metadata(fixture, row["stats"]["iterations"], row["options"])  # type: ignore[no-untyped-call]
    for seconds in row["stats"]["data"]:
        metadata.stats.update(seconds)  # type: ignore[no-untyped-call]  # a call each already, so exact
    return metadata


def keep_only(config: pytest.Config, fullnames: Collection[str]) -> None:
    """Drop what did not finish: the cell that Ctrl-C cut short has rounds too, and is not worth its name."""
    session = session_of(config)
    session.benchmarks[:] = [bench for bench in session.benchmarks if bench.fullname in fullnames]


def forget(config: pytest.Config, fullname: str) -> object:
    """Drop a visit of a cell, whose rounds are kept elsewhere, and return its profile if there is one."""
    session = session_of(config)
    dropped = [bench for bench in session.benchmarks if bench.fullname == fullname]
    session.benchmarks[:] = [bench for bench in session.benchmarks if bench.fullname != fullname]
    return dropped[-1].cprofile_stats if dropped else None


def order(config: pytest.Config, fullnames: Iterable[str]) -> None:
    """Sort the cells as an uninterrupted run would have them."""
    position = {name: number for number, name in enumerate(fullnames)}
    session_of(config).benchmarks.sort(key=lambda bench: position.get(bench.fullname, len(position)))
