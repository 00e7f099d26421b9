"""The matrix: which cells there are, and one open backend at a time for those that share it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from midas_bench import scenes
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.errors import UserError
from midas_bench.measure.plugin.settings import RUN, Run
from midas_bench.scenes import Batch

FAILURE = pytest.StashKey[UserError]()


@dataclass(frozen=True)
class Opened:
    """A pipeline, and what it cost to have it.

    Attributes:
        load_s: opening it; its graph was made and cached before.
        first_inference_s: its first call.
    """

    pipeline: DepthPipeline
    load_s: float
    first_inference_s: float


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each benchmark the axes it asks for, in the order that ids read: backend, batch size, scene."""
    if "cell" not in metafunc.fixturenames:
        return
    run = metafunc.config.stash[RUN]
    try:
        names = list(run.scenes)
    except UserError as error:
        metafunc.config.stash[FAILURE] = error  # said once, when collection is over, and not once a module
        names = []
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", run.settings.backends, scope="module")
    if "batch_size" in metafunc.fixturenames:
        metafunc.parametrize("batch_size", run.batch_sizes, ids="b{}".format)
    if "scene" in metafunc.fixturenames:
        metafunc.parametrize("scene", names)


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    failure = config.stash.get(FAILURE, None)
    if failure is not None:
        raise pytest.UsageError(str(failure))


@pytest.fixture(scope="module")
def opened(run: Run, backend: str) -> Iterator[Opened]:
    """Open one backend for the cells of a module, and close it before the next is opened."""
    yield from _open(run, backend, "fast")


@pytest.fixture(scope="module")
def article(run: Run) -> Iterator[Opened]:
    """Open the article's recipe: eager, with Pillow and torchvision before it."""
    yield from _open(run, "eager", "article")


def _open(run: Run, backend: str, recipe: str) -> Iterator[Opened]:
    config = replace(run.config, backend=backend, recipe=recipe)
    start_s = time.perf_counter()
    with DepthPipeline.open(config=config) as pipeline:
        loaded_s = time.perf_counter()
        first_photo = next(iter(run.scenes.values()))[0]
        pipeline.run([first_photo.data])
        yield Opened(pipeline, loaded_s - start_s, time.perf_counter() - loaded_s)


@pytest.fixture
def batch(run: Run, scene: str, request: pytest.FixtureRequest) -> Batch:
    """Take the scene's photos for one call; one photo where the benchmark has no batch size."""
    size = request.getfixturevalue("batch_size") if "batch_size" in request.fixturenames else 1
    return scenes.batch(run.scenes[scene], size)
