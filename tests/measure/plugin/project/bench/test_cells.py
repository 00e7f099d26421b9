"""How long does the fake backend take?"""


def test_cells(cell, opened, batch, batch_size):
    """Time the whole pipeline, as the real suite does."""
    cell.check(lambda: opened.pipeline.run(batch.data).depth, batch)
    cell.time(f"batch {batch_size}", opened.pipeline, batch.data)
