"""How long does the network alone take?"""

from midas_bench.depth.preprocess import preprocess
from midas_bench.scenes import batch as photos_for


def test_inference(cell, opened, run, batch_size):
    """Time the backend on a batch that is ready: float32 (N, 3, 256, 256) -> (N, 256, 256)."""
    photos = photos_for([photo for scene in run.scenes.values() for photo in scene[:1]], batch_size)
    ready = preprocess([opened.pipeline.stations.decode(data) for data in photos.data])
    cell.describe(kind="stage", stage="inference", batch_size=batch_size)
    cell.check(opened.pipeline.backend(ready), photos)
    cell.time("inference alone", opened.pipeline.backend, ready)
