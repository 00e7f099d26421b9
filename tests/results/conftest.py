from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from midas_bench.results.files import read
from midas_bench.results.runs import Run

SMALL = Path(__file__).parent / "data/small.json"


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synthetic", Path(__file__).parent / "synthetic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small() -> Run:
    """Give a small run whose every figure can be computed by hand."""
    return read(SMALL)


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """Save the small run after a change: `changed(lambda content: ...)`."""

    def save(change: Callable[[dict[str, Any]], object] = lambda _: None, name: str = "changed.json") -> Path:
        content = json.loads(SMALL.read_text())
        change(content)
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return save


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Save what another project's pytest-benchmark would, without raw rounds."""
    stats = {"min": 1e-6, "max": 4e-6, "mean": 2e-6, "stddev": 1e-7, "median": 2e-6, "rounds": 1000}
    names = ("test_parse", "test_render")
    benchmarks = [
        {
            "name": name,
            "fullname": f"tests/test_speed.py::{name}",
            "group": None,
            "extra_info": {"kind": 3, "scene": ["any"], "photos": "thing"},
            "stats": {key: value * (i + 1) if key != "rounds" else value for key, value in stats.items()},
        }
        for i, name in enumerate(names)
    ]
    path = tmp_path / "foreign.json"
    path.write_text(json.dumps({"benchmarks": benchmarks, "machine_info": {"machine": "arm64"}, "version": "5.2.0"}))
    return path
