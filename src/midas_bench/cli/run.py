"""`midas-bench run`: the suite's benchmarks by pytest, from any folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from midas_bench.bundle import suite_folder
from midas_bench.errors import missing_libraries

EXPRESSIONS = ("-k", "-m")
"""Flags whose value may look like the name of a file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command; `pytest_arguments` are passed on as they are."""
    parser.usage = "midas-bench run [pytest's arguments]"
    parser.epilog = (
        "Examples: midas-bench run --quick; midas-bench run test_pipeline.py -k onnx --benchmark-autosave. "
        "Results are saved below the current folder. All flags: midas-bench run -- --help"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run pytest on the benchmarks that are installed with the package, and return its exit code.

    Raises:
        UserError: pytest or pytest-benchmark is not installed.
    """
    next_step = "pip install 'midas-bench[test]'"
    absent = missing_libraries("midas-bench run", ("pytest", "pytest_benchmark"), next_step)
    if absent:
        raise absent
    import pytest

    return int(pytest.main(pytest_arguments(arguments.pytest_arguments, suite_folder(), Path.cwd())))


def pytest_arguments(given: Sequence[str], suite: Path, here: Path) -> list[str]:
    """Return pytest's arguments: with the suite's settings, and nothing written into its folder.

    Args:
        given: by the user; benchmark files may be named with or without `bench/`.
        suite: holds `bench/` and `pytest.ini`.
        here: where pytest keeps its cache.
    """
    before = ("", *given)
    files = {
        number: file
        for number, argument in enumerate(given)
        if before[number] not in EXPRESSIONS and (file := _in_suite(argument, suite))
    }
    arguments = [files.get(number, argument) for number, argument in enumerate(given)]
    settings = [f"--rootdir={suite}", "-c", str(suite / "pytest.ini"), "-o", f"cache_dir={here / '.pytest_cache'}"]
    return [*settings, *([] if files else [str(suite / "bench")]), *arguments]


def _in_suite(argument: str, suite: Path) -> str | None:
    """Return where a benchmark file is that the argument names, with the rest of a node ID; None if it names none."""
    name, separator, test = argument.partition("::")
    if not name.endswith(".py"):
        return None
    paths = (suite / name, suite / "bench" / name)
    return next((f"{path}{separator}{test}" for path in paths if path.is_file()), None)
