"""What the page's scripts compute, in a real browser, against OpenCV and the pipeline on random pictures."""

import cv2
import numpy as np
import pytest

from midas_bench.depth.heatmap import COLOURED_SIDE, INFERNO_RGB, palette_map

pytestmark = pytest.mark.browser

MOST_UNEQUAL = 1e-4
"""Share of the pixels that may differ by 1; on x86 none does, and OpenCV has code of its own for other processors."""


def picture(height, width, channels=3):
    noise = np.random.default_rng(height * width).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return noise if channels == 3 else noise[..., 0]


def unequal(ours, theirs):
    difference = np.abs(ours.astype(int) - theirs.astype(int))
    assert difference.max() <= 1
    return (difference > 0).mean()


@pytest.mark.parametrize(
    ("width", "height"), [(640, 427), (512, 512), (451, 300), (999, 257), (512, 600), (1024, 768), (257, 2049)]
)
def test_pictures_shrink_as_opencv_shrinks_them(call, width, height):
    photo = picture(height, width)
    made = np.frombuffer(call("resize.js", "area", photo, width, height, 256, 256), np.uint8)
    theirs = cv2.resize(photo, (256, 256), interpolation=cv2.INTER_AREA)
    assert unequal(made.reshape(theirs.shape), theirs) <= MOST_UNEQUAL


@pytest.mark.parametrize(
    ("width", "height", "to_width", "to_height", "channels"),
    [
        (300, 200, 256, 256, 3), (90, 100, 256, 256, 3), (200, 300, 256, 256, 3), (1, 1, 256, 256, 3),
        (512, 512, 1280, 853, 1), (512, 512, 513, 2000, 1), (512, 512, 4000, 3000, 1),
    ],
)  # fmt: skip
def test_pictures_are_enlarged_as_opencv_enlarges_them(call, width, height, to_width, to_height, channels):
    photo = picture(height, width, channels)
    made = np.frombuffer(call("resize.js", "linear", photo, width, height, to_width, to_height, channels), np.uint8)
    theirs = cv2.resize(photo, (to_width, to_height), interpolation=cv2.INTER_LINEAR)
    assert unequal(made.reshape(theirs.shape), theirs) <= MOST_UNEQUAL


@pytest.mark.parametrize("size", [(512, 512), (300, 200), (640, 427), (256, 256)])
def test_depth_is_enlarged_as_opencv_enlarges_it(call, size):
    depth = np.random.default_rng(1).random((256, 256), dtype=np.float32)
    made = np.frombuffer(call("resize.js", "cubic", depth, 256, 256, *size), np.float32)
    theirs = cv2.resize(depth, size, interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(made.reshape(theirs.shape), theirs, atol=1e-6)


@pytest.mark.parametrize("size", [(1280, 853), (640, 427), (31, 400)])
def test_depth_is_coloured_as_the_pipeline_colours_it(call, size):
    depth = cv2.GaussianBlur(np.random.default_rng(2).random((256, 256), dtype=np.float32), (0, 0), 5)
    made = np.frombuffer(call("heatmap.js", "grey", depth, 256, 256, *size, COLOURED_SIDE), np.uint8)
    theirs = palette_map(depth, *size)
    made = made.reshape(theirs.shape)
    # depth is stretched in float32, and some of it ends near a half
    assert unequal(made, theirs) <= 1e-3
    colours = np.frombuffer(call("heatmap.js", "coloured", made, INFERNO_RGB.ravel().tolist()), np.uint8)
    colours = colours.reshape(*theirs.shape, 4)
    assert (colours[..., :3] == INFERNO_RGB[:, 0][made]).all()
    assert (colours[..., 3] == 255).all()


def test_constant_depth_is_black(call):
    made = call("heatmap.js", "grey", np.full((256, 256), 0.1, np.float32), 256, 256, 640, 427, COLOURED_SIDE)
    assert made == bytes(640 * 427)
