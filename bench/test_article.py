"""How long does the article's own recipe take? The reference that every claim and speed-up is measured against."""


def test_article(cell, article, batch):
    """Time Pillow, torchvision, the eager network and the heat map on one photo."""
    cell.check(lambda: article.pipeline.run(batch.data).depth, batch)
    cell.time("article's recipe, one photo", article.pipeline, batch.data)
