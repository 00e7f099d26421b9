"""How much faster than the article's recipe is each backend? All of them interleaved in one run, on all cores."""

from dataclasses import asdict, replace

import pytest

from midas_bench import allocator, scene_photos
from midas_bench.measure.blocks import blocks, log_ratios
from midas_bench.measure.worker_client import TimedCall, WorkerSpec
from midas_bench.results.kinds import ratio_fields

BLOCKS = 10
ROUNDS = 6
SEED = 4
ARTICLE = "article"

pytestmark = [pytest.mark.extended, pytest.mark.not_quick, pytest.mark.expected_seconds(40)]


def arm(run, name, photos):
    """Describe a worker: a backend or the article's recipe, with one photo per pipeline."""
    recipe, backend = ("article", "eager") if name == ARTICLE else ("fast", name)
    config = asdict(replace(run.config, backend=backend, recipe=recipe))
    # the article's recipe has no allocator settings: they belong to our own recipe
    environment = dict.fromkeys(allocator.SETTINGS, "") if name == ARTICLE else None
    pipelines = {p: {"photos": scene_photos.batch([photo], 1).paths, "config": config} for p, photo in photos.items()}
    return WorkerSpec(name, pipelines, environment)


@pytest.fixture(scope="module")
def measured(run, measured_once):
    """Measure all backends together, once, in blocks."""

    def all_blocks():
        photos = scene_photos.usual_and_largest(run.scenes)
        arms = [arm(run, name, photos) for name in (ARTICLE, *run.settings.backends)]
        groups = [[TimedCall(each.name, photo) for each in arms] for photo in photos]
        return blocks(arms, groups, ROUNDS, SEED, BLOCKS, pinned=False)

    return measured_once(all_blocks)


@pytest.mark.usefixtures("articles_network")
@pytest.mark.parametrize("photo", ["usual", "large"])
def test_speedup(cell, run, measured, backend, photo):
    """Record the article's time over the backend's, for a usual photo and for the largest."""

    def ratio():
        above, below = TimedCall(ARTICLE, photo), TimedCall(backend, photo)
        return ratio_fields(log_ratios(measured(), lambda seconds: seconds[above] / seconds[below]))

    cell.describe(
        kind="ratio",
        ratio=f"article/{backend}, {photo} photo",
        numerator="article's recipe",
        denominator=backend,
        backend=backend,
        threads=run.config.threads,
    )
    cell.record("speed-up over the article's recipe", ratio)
