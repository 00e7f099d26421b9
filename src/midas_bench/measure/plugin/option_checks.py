"""Refuse flags of pytest-benchmark that cannot be honoured, before anything is made or measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from midas_bench.errors import UserError
from midas_bench.files import check_writable
from midas_bench.measure.plugin import internals
from midas_bench.results.cell_reader import TIMERS_IN_NANOSECONDS
from midas_bench.results.run_files import depth_maps_of


def check_parallel(config: pytest.Config) -> None:
    """Refuse to share cells out: pytest-benchmark then measures nothing, and the run succeeds.

    Raises:
        UserError: the benchmarks are among what xdist is to share out.
    """
    option = config.option
    alone = getattr(option, "dist", "no") == "no" or hasattr(config, "workerinput")
    if alone or option.benchmark_disable or option.benchmark_skip or option.collectonly:
        return
    bench = config.rootpath / "bench"
    for argument in config.args:
        path = (config.invocation_params.dir / argument.partition("::")[0]).resolve()
        if path == bench or bench in path.parents or path in bench.parents:
            raise UserError(argument, "benchmarks cannot run in parallel", "leave -n out, or add --benchmark-disable")


def check_options(config: pytest.Config, cells: Sequence[pytest.Item], resume: bool) -> None:
    """Look at the flags of a run that has cells.

    Raises:
        UserError: one cannot be had.
    """
    if not internals.measures(config):
        return
    _check_timer(config)
    _check_json(config)
    _check_group_by(config, cells)
    journal_folder(config)
    if resume and not internals.saves(config):
        raise UserError("--resume", "the run would save no results", "add --benchmark-autosave")


def journal_folder(config: pytest.Config) -> Path:
    """Return where the run's journal goes: to the storage, or beside --benchmark-json if that alone can be written.

    Raises:
        UserError: neither can be.
    """
    storage = internals.storage_folder(config)
    try:
        check_writable(storage / "journal.jsonl", "--benchmark-storage")
    except UserError:
        json_path = config.option.benchmark_json
        if json_path is None or internals.stores(config):
            raise
        return Path(json_path).absolute().parent
    return storage


def _check_timer(config: pytest.Config) -> None:
    timer = str(config.option.benchmark_timer)
    if timer.endswith(TIMERS_IN_NANOSECONDS):
        reason = "counts nanoseconds, and pytest-benchmark takes them for seconds"
        raise UserError(f"--benchmark-timer={timer}", reason, f"use {timer.removesuffix(TIMERS_IN_NANOSECONDS)}")


def _check_json(config: pytest.Config) -> None:
    path = config.option.benchmark_json
    if path is None:
        return
    maps = depth_maps_of(path)
    flag = f"--benchmark-json={path}"
    if path.is_dir():
        raise UserError(flag, "is a folder", "name a file in it, such as out.json")
    if not path.parent.is_dir():
        raise UserError(flag, f"there is no folder {path.parent}", "make it first, or name another file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UserError(flag, "cannot be written", "check its permissions, or name another file")
    if maps.exists() and not maps.is_dir():
        raise UserError(flag, f"its depth maps need the folder {maps}, which is a file", "name another file")


def _check_group_by(config: pytest.Config, cells: Sequence[pytest.Item]) -> None:
    for grouping in config.option.benchmark_group_by.split(","):
        name = grouping.removeprefix("param:")
        for cell in cells if name != grouping else ():
            if name not in getattr(getattr(cell, "callspec", None), "params", {}):
                advice = "choose cells that have it with -k, or group by another"
                raise UserError(f"--benchmark-group-by={grouping}", f"{cell.name} has no such parameter", advice)
