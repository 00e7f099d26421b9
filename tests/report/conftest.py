from __future__ import annotations

import importlib.util
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"
spec = importlib.util.spec_from_file_location("results_conftest", RESULTS / "conftest.py")
assert spec is not None
assert spec.loader is not None
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)

synthetic, small, changed, foreign = shared.synthetic, shared.small, shared.changed, shared.foreign
