"""What does each further core bring?"""

import pytest

pytestmark = pytest.mark.not_quick


@pytest.mark.every_thread_count
def test_threads(cell, opened, one_photo, threads):
    """Time the pipeline on one photo with 1 thread, 2, and so on to the cores this process may use."""
    cell.check(lambda: opened.pipeline.run(one_photo.data).depth, one_photo)
    cell.time(f"pipeline, one photo, {threads} threads", opened.pipeline, one_photo.data)
