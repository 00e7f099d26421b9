"""How long does the network alone take, and what share of this machine's peak is that?"""

from midas_bench import scene_photos


def test_inference(cell, opened, run, peaks, batch_size):
    """Time the backend on a batch that is ready: the network's input -> inverse depth."""
    photos = scene_photos.batch(scene_photos.first_per_scene(run.scenes), batch_size)
    recipe = opened.pipeline.recipe
    ready = recipe.preprocess([recipe.decode(data) for data in photos.data])
    cell.describe(kind="stage", stage="inference", batch_size=batch_size)
    cell.describe_work(batch_size, peaks)
    cell.check(lambda: opened.pipeline.backend(ready), photos)
    cell.time("inference alone", opened.pipeline.backend, ready)
