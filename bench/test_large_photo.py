"""What does a photo cost that is much larger than the network's input, as a camera gives it?"""

import pytest

pytestmark = pytest.mark.not_quick


def test_large_photo(cell, opened, largest_photo):
    """Time the pipeline on the largest photo of all."""
    cell.check(lambda: opened.pipeline.run(largest_photo.data).depth, largest_photo)
    cell.time("pipeline, the largest photo", opened.pipeline, largest_photo.data)


def test_large_photo_article(cell, article, largest_photo):
    """Time the article's recipe on it."""
    cell.check(lambda: article.pipeline.run(largest_photo.data).depth, largest_photo)
    cell.time("pipeline, the largest photo", article.pipeline, largest_photo.data)
