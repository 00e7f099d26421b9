"""How far from the least that this machine allows is each step from a photo to a PNG?"""

from dataclasses import replace

import pytest

from midas_bench import scene_photos
from midas_bench.depth.backends import registry
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.processes import ask

ROUNDS = 40
TIMEOUT_S = 600.0


@pytest.mark.extended
@pytest.mark.not_quick
@pytest.mark.expected_seconds(15)
@pytest.mark.parametrize("photo", ["usual", "large"])
def test_floor(cell, run, model, backend, threads, peaks, photo):
    """Record each step's time and its limit, which take turns in a process of their own."""
    chosen = scene_photos.usual_and_largest(run.scenes)[photo]
    config = replace(model.config, backend=backend, threads=threads)
    cell.describe_batch(scene_photos.batch([chosen], 1))
    cell.describe(kind="floor", backend=backend, threads=threads)

    def measure():
        peak = peaks.get(threads, {}).get(registry.find(backend).precision)
        return ask(
            MODULE,
            {"task": "floor", "config": config.to_json(), "photo": str(chosen.path), "rounds": ROUNDS, "peak": peak},
            TIMEOUT_S,
        )

    cell.record("floor", measure)
