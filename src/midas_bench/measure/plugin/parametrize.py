"""The matrix: which cells there are, and the open pipelines that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from midas_bench import scene_photos
from midas_bench.cpu import allowed_cores
from midas_bench.errors import UserError
from midas_bench.measure.plugin.open_pipelines import OpenedPipeline
from midas_bench.measure.plugin.run_models import RunModel
from midas_bench.measure.plugin.settings import RUN, RunContext, is_cell
from midas_bench.scene_photos import Batch

FAILURE = pytest.StashKey[UserError]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each benchmark the axes it asks for, in the order of ids: model, backend, threads, batch size, scene."""
    if "cell" not in metafunc.fixturenames:
        return
    run = metafunc.config.stash[RUN]
    try:
        names = list(run.scenes)
    except UserError as error:
        # raised once, when collection is over, and not once per module
        metafunc.config.stash[FAILURE] = error
        names = []
    fixtures: Sequence[str] = metafunc.fixturenames
    if "model" in fixtures and run.settings.compared_models:
        metafunc.parametrize("model", run.settings.compared_models, indirect=True, scope="module")
    if "backend" in fixtures:
        metafunc.parametrize("backend", run.settings.backends, scope="module")
    if "threads" in fixtures:
        every_count = metafunc.definition.get_closest_marker("every_thread_count")
        counts = range(1, allowed_cores() + 1) if every_count else run.settings.threads
        if every_count or len(counts) > 1:
            metafunc.parametrize("threads", counts, ids="t{}".format, scope="module")
    if "batch_size" in fixtures:
        metafunc.parametrize("batch_size", run.batch_sizes, ids="b{}".format)
    if "scene" in fixtures:
        metafunc.parametrize("scene", names)


# before -m looks at the markers
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out cells that make no sense, and mark those beyond the default run as `extended`."""
    failure = config.stash.get(FAILURE, None)
    if failure is not None:
        raise pytest.UsageError(str(failure))
    quick = config.stash[RUN].settings.quick
    kept = [
        item
        for item in items
        if _condition_holds(item, "makes_sense") and not (quick and _has_marker(item, "not_quick"))
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    for item in items:
        if not _condition_holds(item, "by_default"):
            item.add_marker("extended")


def _has_marker(item: pytest.Item, marker: str) -> bool:
    return item.get_closest_marker(marker) is not None


def _condition_holds(item: pytest.Item, marker: str) -> bool:
    """Ask the condition that a marker carries about the cell's parameters; true where there is no such marker."""
    condition = item.get_closest_marker(marker)
    if condition is None or not is_cell(item):
        return True
    return bool(condition.args[0](**getattr(item, "callspec").params))  # noqa: B009  (not in Item's type)


@pytest.fixture(scope="session")
def peaks(run: RunContext, pytestconfig: pytest.Config) -> Mapping[int, Mapping[str, float]]:
    """Give this machine's peak for each thread count, measured once per run; empty where nothing is timed."""
    return {} if pytestconfig.option.benchmark_disable else run.peaks


@pytest.fixture(scope="module")
def model(run: RunContext, request: pytest.FixtureRequest) -> RunModel:
    """Give the network of a cell; a benchmark that asks for it runs once for each of several models."""
    return run.model(getattr(request, "param", None))


@pytest.fixture(scope="module")
def threads(run: RunContext) -> int:
    """Give the thread count of cells that are not parametrised by it."""
    return run.config.threads


# for each cell anew: between two cells of a module another pipeline may set the process's threads, or close this one
@pytest.fixture
def opened(run: RunContext, model: RunModel, backend: str, threads: int) -> OpenedPipeline:
    """Give the open pipeline of one network and backend."""
    return _opened(run, model, backend, threads, "fast")


@pytest.fixture(scope="session")
def articles_network(run: RunContext) -> None:
    """Skip what times the article's recipe where another network runs, or one of another size."""
    if run.without_article:
        pytest.skip(run.without_article)


@pytest.fixture
def article(run: RunContext, threads: int, articles_network: None) -> OpenedPipeline:  # noqa: ARG001
    """Give the article's recipe: eager, with Pillow and torchvision before it."""
    return _opened(run, run.models[0], "eager", threads, "article")


def _opened(run: RunContext, model: RunModel, backend: str, threads: int, recipe: str) -> OpenedPipeline:
    config = replace(model.config, backend=backend, threads=threads, recipe=recipe)
    return run.pipelines.take(config, scene_photos.first_per_scene(run.scenes)[0].data)


@pytest.fixture
def batch(run: RunContext, scene: str, request: pytest.FixtureRequest) -> Batch:
    """Take the scene's photos for one call; one photo where the benchmark has no batch size."""
    size = request.getfixturevalue("batch_size") if "batch_size" in request.fixturenames else 1
    return scene_photos.batch(run.scenes[scene], size)


@pytest.fixture
def one_photo(run: RunContext) -> Batch:
    """Take the first scene's first photo, for benchmarks that have no scenes."""
    return scene_photos.batch(next(iter(run.scenes.values())), 1)


@pytest.fixture
def largest_photo(run: RunContext) -> Batch:
    """Take the photo with the most pixels, whatever it shows."""
    return scene_photos.batch([scene_photos.largest(run.photos)], 1)
