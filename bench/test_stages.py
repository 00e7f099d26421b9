"""Where does the time go before and after the network: the article's way beside ours?"""

import pytest

from midas_bench.depth import heatmap_png
from midas_bench.depth.process_threads import use_threads
from midas_bench.depth.recipe import find_recipe
from midas_bench.depth.torch_extra import NO_TORCH


def has_the_network(recipe, model=None, **_):
    """Leave the article's recipe out of a comparison of models: it prepares photos for its own network alone."""
    return recipe == "fast" or model is None


pytestmark = pytest.mark.makes_sense.with_args(has_the_network)
both_recipes = pytest.mark.parametrize("recipe", ["article", "fast"])


@pytest.fixture
def stage(cell, run, model, recipe, request):
    """Give a recipe's stages, with the run's thread count set in OpenCV and torch."""
    if recipe == "article":
        request.getfixturevalue("articles_network")
        pytest.importorskip("torch", reason=NO_TORCH)
    use_threads(run.config.threads)
    cell.describe(kind="stage", recipe=recipe, threads=run.config.threads)
    return find_recipe(recipe, model.weights.interface)


@both_recipes
def test_decode(cell, stage, batch):
    """Time encoded bytes -> RGB."""
    cell.describe(stage="decode")
    cell.time("decode one photo", stage.decode, batch.data[0])


@both_recipes
def test_preprocess(cell, stage, batch):
    """Time RGB -> the network's input."""
    cell.describe(stage="preprocess")
    cell.time("preprocess one photo", stage.preprocess, [stage.decode(batch.data[0])])


@both_recipes
def test_heatmap(cell, stage, model, batch):
    """Time depth -> heat map in the photo's size."""
    cell.describe(stage="heatmap")
    photo = batch.photos[0]
    depth = model.references["fast"].depth([photo])[0]
    cell.time("heat map of one photo", stage.heatmap, depth, photo.width, photo.height)


@pytest.mark.extended
@pytest.mark.parametrize("recipe", ["fast"])
def test_write(cell, stage, model, batch):
    """Time heat map -> bytes of a PNG."""
    cell.describe(stage="write")
    photo = batch.photos[0]
    depth = model.references["fast"].depth([photo])[0]
    cell.time("PNG of one heat map", heatmap_png.encode, stage.palette_map(depth, photo.width, photo.height))
