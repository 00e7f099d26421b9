"""How long does the whole way take, from encoded photos to heat maps, with each backend and batch size?"""


def test_pipeline(cell, opened, batch, batch_size):
    """Time decode, preprocess, inference and heat map of one batch."""
    cell.check(lambda: opened.pipeline.run(batch.data).depth, batch)
    cell.time(f"pipeline, batch {batch_size}", opened.pipeline, batch.data)
