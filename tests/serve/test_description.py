"""Requests made up from the server's own description, and answers held against it, by schemathesis."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("flask", reason="needs the extra [web]")
schemathesis = pytest.importorskip("schemathesis", reason="needs the extra [dev]")
pytestmark = pytest.mark.slow

from hypothesis import HealthCheck, given, seed, settings, strategies  # noqa: E402
from schemathesis.checks import positive_data_acceptance  # noqa: E402

from midas_bench.depth.config import PipelineConfig  # noqa: E402
from midas_bench.serve.openapi import description  # noqa: E402
from midas_bench.serve.serve_config import ServeConfig  # noqa: E402

EXAMPLES = 60
OPERATIONS = [
    pytest.param(path, method.upper(), id=f"{method.upper()} {path}")
    for path, methods in description(ServeConfig())["paths"].items()
    for method in methods
]


@pytest.fixture(scope="module")
def real(serving, graphs, samples):
    pipeline = PipelineConfig(threads=1, weights="seeded", cache_dir=str(graphs))
    with serving(ServeConfig(pipeline=pipeline, samples=samples)) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def photos_among_the_bytes(encode):
    """Let some bodies be photos: no schema of bytes can ask for one."""
    pixels = np.random.default_rng(2).integers(0, 255, (40, 30, 3), np.uint8)
    for name in ("JPEG", "PNG", "WEBP"):
        photo = encode(pixels, name)
        schemathesis.openapi.media_type(f"image/{name.lower()}", strategies.sampled_from([photo, photo[:200], b""]))


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_answers_are_as_described(real, path, method):
    schema = schemathesis.openapi.from_url(f"{real.url}/openapi.json")
    operation = schema[path][method]
    seen: Counter[int] = Counter()

    @seed(8)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def holds(case):
        # what fits the schema and is no photo is refused all the same
        seen[case.call_and_validate(excluded_checks=[positive_data_acceptance]).status_code] += 1

    holds()
    if path == "/api/depth":
        assert {200, 400, 415} <= set(seen)
    elif path == "/samples/{name}":
        assert set(seen) <= {200, 404}
    elif method == "GET":
        assert set(seen) == {200}
