from __future__ import annotations

from pathlib import Path

import pytest

from midas_bench.depth import weights
from midas_bench.depth.backends import registry


@pytest.fixture(scope="session")
def ready(cache_dir: Path) -> Path:
    """Give a cache that holds the graphs, whoever made them."""
    for name in ("jit", "onnx"):
        registry.prepare(name, weights.seeded(), cache_dir)
    return cache_dir
