"""How many photos per second does a long stream give, when the next photos are decoded while the network has one?"""

from collections import deque
from dataclasses import asdict, replace

import pytest

from midas_bench import scene_photos
from midas_bench.measure.blocks import blocks, log_ratios
from midas_bench.measure.worker_client import TimedCall, WorkerSpec
from midas_bench.results.kinds import ratio_fields

STREAM_PHOTOS = 24
"""Long enough for the first and the last, which have the cores to themselves, to count little."""
SHORT_STREAM_PHOTOS = 12
"""For the ratio, whose blocks warm up with whole streams."""
BLOCKS = 6
ROUNDS = 2
SEED = 3

pytestmark = pytest.mark.not_quick


def in_the_default_run(backend, **_):
    """Leave torch's backends out: they are not what one streams with, and take half a minute."""
    return backend not in ("eager", "jit")


@pytest.fixture(scope="module")
def threads():
    """Give each photo one thread: as many photos run in parallel as there are cores."""
    return 1


@pytest.fixture
def stream(run):
    """Take the first photo of each scene, again and again."""
    firsts = scene_photos.first_per_scene(run.scenes)
    return scene_photos.batch(firsts, len(firsts)), scene_photos.batch(firsts, STREAM_PHOTOS)


@pytest.mark.by_default.with_args(in_the_default_run)
def test_stream(cell, opened, stream):
    """Time a whole stream, from encoded photos to heat maps."""
    different, photos = stream
    pipeline = opened.pipeline
    cell.describe_batch(different)
    cell.check(lambda: pipeline.run(different.data).depth, different)
    cell.describe(kind="stream", scene=None, batch_size=None, stream_photos=STREAM_PHOTOS)

    def whole():
        deque(pipeline.map(photos.data), maxlen=0)

    cell.time(f"stream of {STREAM_PHOTOS} photos", whole, warm_up_calls=1)


@pytest.mark.extended
@pytest.mark.usefixtures("articles_network")
@pytest.mark.expected_seconds(60)
def test_stream_over_article(cell, run, backend, threads, stream):
    """Record the time of the article's recipe for one photo over a stream's time per photo, all cores for both."""
    different, photos = stream
    paths = photos.paths[:SHORT_STREAM_PHOTOS]
    ours = asdict(replace(run.config, backend=backend, threads=threads))
    theirs = asdict(replace(run.config, backend="eager", recipe="article"))
    arms = [
        WorkerSpec(backend, {"stream": {"photos": paths, "config": ours}}),
        WorkerSpec("article", {"one": {"photos": different.paths[:1], "config": theirs}}),
    ]
    above, below = TimedCall("article", "one"), TimedCall(backend, "stream", "stream")

    def measure():
        measured = blocks(arms, [(above, below)], ROUNDS, SEED, BLOCKS, pinned=False)
        return ratio_fields(log_ratios(measured, lambda seconds: seconds[above] / (seconds[below] / len(paths))))

    cell.describe(
        kind="ratio",
        ratio=f"article/{backend} stream",
        numerator="article one pipeline",
        denominator=f"{backend} stream, per photo",
        backend=backend,
        threads=threads,
    )
    cell.record("article's recipe over a stream", measure)
