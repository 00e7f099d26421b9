import cv2
import matplotlib
import numpy as np
import pytest

from midas_bench.depth import baseline_recipe
from midas_bench.depth.heatmap import INFERNO_RGB, grey, grey16, heatmap, palette_map

DARKEST, BRIGHTEST = (0, 0, 4), (252, 255, 164)  # Inferno's ends as RGB


def by_palette(*given):
    indices = palette_map(*given)
    assert indices.dtype == np.uint8
    return INFERNO_RGB[:, 0][indices]


both_recipes = pytest.mark.parametrize(
    "paint", [heatmap, by_palette, baseline_recipe.heatmap], ids=["fast", "palette", "article"]
)


def ramp(axis):
    line = np.linspace(3, 7, 256, dtype=np.float32)
    return np.ascontiguousarray(np.broadcast_to(line if axis == 1 else line[:, None], (256, 256)))


@both_recipes
def test_the_nearest_is_bright_yellow_and_the_farthest_black(paint):
    painted = paint(ramp(1), 256, 256)
    assert tuple(painted[0, 0]) == DARKEST
    assert tuple(painted[0, -1]) == BRIGHTEST


@both_recipes
def test_it_has_the_photos_size_and_is_rgb_of_8_bits(paint):
    painted = paint(ramp(0), 64, 32)
    assert painted.shape == (32, 64, 3)
    assert painted.dtype == np.uint8


@both_recipes
def test_rows_stay_rows_and_columns_columns(paint):
    across, down = (paint(ramp(axis), 128, 128).astype(int).sum(axis=2) for axis in (1, 0))
    assert (across == across[0]).all()
    assert (down == down[:, :1]).all()
    assert across[0, 0] < across[0, 64] < across[0, -1]
    assert down[0, 0] < down[64, 0] < down[-1, 0]


@both_recipes
def test_a_bright_corner_stays_in_its_corner(paint):
    depth = np.zeros((256, 256), np.float32)
    depth[:64, 192:] = 1  # top right
    painted = paint(cv2.GaussianBlur(depth, (0, 0), 5), 400, 100)  # a hard edge would overshoot
    assert tuple(painted[5, -5]) == BRIGHTEST
    for row, column in ((5, 5), (-5, 5), (-5, -5)):
        assert tuple(painted[row, column]) == DARKEST


@both_recipes
@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, 1e30])
def test_a_constant_depth_is_black(paint, value):
    painted = paint(np.full((256, 256), value, np.float32), 20, 10)
    assert painted.shape == (10, 20, 3)
    assert (painted == DARKEST).all()


@both_recipes
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_depth_that_is_no_number_is_an_error(paint, broken):
    depth = ramp(0)
    depth[3, 5] = broken
    with pytest.raises(ValueError, match="NaN or infinity"):
        paint(depth, 20, 10)


@both_recipes
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_only_the_order_of_depths_counts_and_not_their_scale(paint, scale):
    painted = paint(ramp(1) * np.float32(scale), 256, 4)
    assert np.abs(painted.astype(int) - paint(ramp(1), 256, 4)).max() <= 12  # one step of the colours


def test_the_range_is_stretched_evenly():
    values = grey(ramp(1), 256, 1)[0].astype(int)
    np.testing.assert_allclose(values, np.arange(256), atol=1)


def test_with_16_bits_the_range_is_stretched_as_with_8():
    for size in ((256, 256), (640, 427), (100, 1000)):
        fine, coarse = grey16(ramp(1), *size), grey(ramp(1), *size)
        assert fine.dtype == np.uint16
        assert (fine.min(), fine.max()) == (0, 65_535)
        assert np.abs(fine / 257 - coarse).max() <= 0.51  # rounding alone
    assert not grey16(np.full((256, 256), 3, np.float32), 20, 10).any()
    with pytest.raises(ValueError, match="NaN"):
        grey16(np.full((256, 256), np.nan, np.float32), 20, 10)


def test_the_colours_are_inferno():
    painted = heatmap(ramp(1), 256, 1)[0] / 255
    reference = matplotlib.colormaps["inferno"](grey(ramp(1), 256, 1)[0])[:, :3]
    np.testing.assert_allclose(painted, reference, atol=0.02)


@both_recipes
def test_all_recipes_paint_the_same(paint):
    depth = cv2.GaussianBlur(np.random.default_rng(2).random((256, 256), np.float32), (0, 0), 9)
    np.testing.assert_array_equal(paint(depth, 321, 123), baseline_recipe.heatmap(depth, 321, 123))


@pytest.fixture(scope="module")
def sharp(project):
    """Give the true inverse depth of the rendered photos in the network's size: edges as sharp as they can be."""
    paths = sorted((project / "fixtures/images/depth").glob("*.png"))
    assert paths
    whole = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) for path in paths]
    return [cv2.resize(one, (256, 256), interpolation=cv2.INTER_AREA) for one in whole]


@pytest.mark.parametrize("size", [(1280, 853), (513, 513), (2000, 1500)])
@pytest.mark.parametrize("paint", [heatmap, by_palette])
def test_stretching_before_enlarging_looks_the_same(sharp, paint, size):
    for depth in sharp:
        difference = np.abs(paint(depth, *size).astype(int) - baseline_recipe.heatmap(depth, *size))
        assert difference.mean() < 1.3  # of 255; seen: 1.16, at 513x513
        assert np.percentile(difference, 99.9) <= 10  # seen: 9


def test_a_map_of_the_size_that_is_coloured_and_below_is_the_articles(sharp):
    for size in ((512, 900), (4000, 300)):
        for paint in (heatmap, by_palette):
            np.testing.assert_array_equal(paint(sharp[0], *size), baseline_recipe.heatmap(sharp[0], *size))


def test_the_depth_is_left_alone_and_the_map_is_ones_own():
    depth = ramp(0)
    depth.flags.writeable = False
    first = heatmap(depth, 256, 256)
    before = first.copy()
    heatmap(depth[::-1], 256, 256)
    np.testing.assert_array_equal(first, before)
