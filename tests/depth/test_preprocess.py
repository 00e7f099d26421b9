import cv2
import numpy as np
import pytest

from midas_bench.depth import photo
from midas_bench.depth.preprocess import preprocess, size_of_original


def plain(colour, height=40, width=60):
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        # (value / 255 - mean) / standard deviation of ImageNet, channel by channel, by hand
        ((255, 0, 0), (2.248908, -2.035714, -1.804444)),
        ((0, 255, 0), (-2.117904, 2.428571, -1.804444)),
        ((0, 0, 255), (-2.117904, -2.035714, 2.640000)),
        ((124, 116, 104), (0.005566, -0.004902, 0.008192)),
    ],
)
def test_a_plain_colour_is_normalised_channel_by_channel(colour, expected):
    [batch] = preprocess([plain(colour)])
    for channel, value in zip(batch, expected, strict=True):
        np.testing.assert_allclose(channel, value, atol=2e-5)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_photos_of_any_size_become_one_batch(count):
    sizes = [(1, 1), (300, 200), (256, 256), (17, 900)]
    batch = preprocess([plain((9, 9, 9), *size) for size in sizes[:count]])
    assert batch.shape == (count, 3, 256, 256)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous


def test_photos_keep_their_place_in_the_batch():
    batch = preprocess([plain((0, 0, 0)), plain((255, 255, 255))])
    assert batch[0].max() < 0 < batch[1].min()


@pytest.mark.parametrize("size", [(64, 64), (600, 400)])
def test_rows_stay_rows(size):
    picture = plain((0, 0, 0), *size)
    picture[: size[0] // 4, size[1] // 2 :] = 255  # wide, at the top right
    [batch] = preprocess([picture])
    bright = batch[0] > 0
    assert bright[20, 200]
    assert not bright[200, 20]
    assert not bright[20, 20]
    assert bright.mean() == pytest.approx(1 / 8, abs=0.01)


def test_fine_texture_is_averaged_when_shrinking():
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 254
    [batch] = preprocess([stripes])
    assert np.ptp(batch[0]) < 0.01
    assert batch[0].mean() == pytest.approx((127 / 255 - 0.485) / 0.229, abs=0.01)


def test_a_photo_of_the_right_size_is_not_blurred():
    picture = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    [batch] = preprocess([picture])
    expected = (picture / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(batch, expected.transpose(2, 0, 1), atol=1e-6)


def test_the_photo_itself_is_left_alone(photos):
    picture = photo.decode(photos["street"].data)
    picture.flags.writeable = False
    before = picture.copy()
    preprocess([picture])
    np.testing.assert_array_equal(picture, before)


def test_a_batch_is_not_overwritten_by_the_next():
    first = preprocess([plain((255, 0, 0))])
    before = first.copy()
    second = preprocess([plain((0, 0, 255))])
    np.testing.assert_array_equal(first, before)
    assert not np.shares_memory(first, second)


def test_the_whole_photo_is_seen_and_not_a_crop():
    picture = plain((0, 0, 0), 300, 900)
    cv2.rectangle(picture, (0, 0), (899, 299), (255, 255, 255), thickness=20)
    [batch] = preprocess([picture])
    assert (batch[0][[0, -1], :] > 0).all()
    assert (batch[0][:, [0, -1]] > 0).all()


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        # by hand: 256 / 1280 * 853 = 170.6 is nearer to 160 than to 192
        (1280, 853, (160, 256)),
        (853, 1280, (256, 160)),
        (4000, 3000, (192, 256)),
        # 144 is as near to 128 as to 160; 4.5 is rounded to 4, the even number
        (1920, 1080, (128, 256)),
        (7, 7, (256, 256)),
        (5000, 100, (32, 256)),
    ],
)
def test_the_original_keeps_the_aspect_ratio_in_multiples_of_32(width, height, size):
    assert size_of_original(width, height) == size
