import io

import cv2
import matplotlib.image
import numpy as np
import pytest
from PIL import Image

from midas_bench.depth import heatmap_png
from midas_bench.depth.formats import png
from midas_bench.depth.heatmap import INFERNO_RGB
from midas_bench.depth.photo import decode
from midas_bench.depth.pipeline import DepthPipeline


def with_pillow(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def with_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]


def with_matplotlib(data):
    return (matplotlib.image.imread(io.BytesIO(data), format="png")[..., :3] * 255).round().astype(np.uint8)


READERS = [with_pillow, with_opencv, with_matplotlib, decode]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (256, 256), (427, 641)])
def test_every_reader_sees_the_colours_of_the_indices(read, size):
    indices = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    np.testing.assert_array_equal(read(heatmap_png.encode(indices)), INFERNO_RGB[:, 0][indices])


def test_it_is_a_sound_png_with_a_palette_and_nothing_else():
    data = heatmap_png.encode(np.tile(np.arange(256, dtype=np.uint8), (40, 1)))
    contents = png.contents(data, 10_240)
    assert (contents.width, contents.height, contents.exif) == (256, 40, b"")
    assert contents.plain == data
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.mode, picture.size, picture.info) == ("P", (256, 40), {})


def test_views_of_other_arrays_are_encoded_as_they_look():
    indices = np.random.default_rng(0).integers(0, 256, (60, 80)).astype(np.uint8)[::-2, ::3]
    np.testing.assert_array_equal(with_pillow(heatmap_png.encode(indices)), INFERNO_RGB[:, 0][indices])


def test_the_largest_photos_heat_map_has_todays_colours_in_a_quarter_of_the_bytes(graphs, project):
    photo = project / "fixtures/images/street_large.jpg"
    with DepthPipeline.open("onnx", weights="seeded", cache_dir=str(graphs)) as pipeline:
        [rgb] = pipeline([photo])
        data = heatmap_png.encode(pipeline.run([photo], palette=True).heatmaps[0])
    assert rgb.shape == (3000, 4000, 3)
    for read in READERS:
        difference = cv2.absdiff(read(data), rgb)
        assert difference.mean() < 0.5  # of 255; seen: 0.27
        assert np.percentile(difference, 99.9) <= 6  # seen: 2
    plain = io.BytesIO()
    Image.fromarray(rgb).save(plain, "PNG", compress_level=1)
    assert len(data) < plain.tell() / 3
