import io

import numpy as np
import pytest
from PIL import Image

from midas_bench.depth import baseline_recipe, photo, preprocess
from midas_bench.scene_photos import SCENES

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize("scene", SCENES)
def test_it_does_what_torchvision_is_documented_to_do(photos, scene):
    picture = Image.open(io.BytesIO(photos[scene].data)).convert("RGB")
    resized = np.asarray(picture.resize((256, 256), Image.Resampling.BILINEAR)) / 255
    expected = ((resized - MEAN) / STD).transpose(2, 0, 1)
    [batch] = baseline_recipe.preprocess([baseline_recipe.decode(photos[scene].data)])
    assert batch.dtype == np.float32
    np.testing.assert_allclose(batch, expected, atol=1e-5)


@pytest.mark.parametrize("scene", SCENES)
def test_ours_gives_the_network_nearly_the_same(photos, scene):
    [theirs] = baseline_recipe.preprocess([baseline_recipe.decode(photos[scene].data)])
    [ours] = preprocess.preprocess([photo.decode(photos[scene].data)])
    assert np.abs(ours - theirs).mean() < 0.06  # of a standard deviation: they resize by different filters
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99


def test_several_photos_become_one_batch_in_order(photos):
    pictures = [baseline_recipe.decode(photos[scene].data) for scene in SCENES]
    batch = baseline_recipe.preprocess(pictures)
    assert batch.shape == (4, 3, 256, 256)
    for one, picture in zip(batch, pictures, strict=True):
        np.testing.assert_array_equal(one, baseline_recipe.preprocess([picture])[0])
