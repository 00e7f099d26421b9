import numpy as np
import pytest

from midas_bench.depth.heatmap import INFERNO_RGB
from midas_bench.gate.outputs import VISIBLE_LEVELS, compare
from midas_bench.measure.worker_client import SavedArrays


@pytest.fixture
def saved(tmp_path):
    def made(name, *arrays):
        path = tmp_path / name
        path.write_bytes(b"".join(array.tobytes() for array in arrays))
        return SavedArrays(path, [array.shape for array in arrays], str(arrays[0].dtype) if arrays else "uint8")

    return made


GREY = np.full((50, 40, 3), 100, np.uint8)


def test_equal_heat_maps_are_identical(saved):
    found = compare("output", saved("a", GREY, GREY), saved("b", GREY, GREY))
    assert (found.changed, found.text) == (False, "identical heat maps")


def test_rounding_of_one_grey_level_is_no_change(saved):
    assert np.abs(np.diff(INFERNO_RGB[:, 0].astype(int), axis=0)).max() < VISIBLE_LEVELS
    found = compare("output", saved("a", GREY), saved("b", GREY + 5))
    assert (found.changed, found.largest) == (False, 5)
    assert "up to 5 of 255 levels" in found.text


def test_one_channel_that_differs_visibly_in_a_corner_is_a_change(saved):
    other = GREY.copy()
    other[:3, :1, 2] += 20
    found = compare("output", saved("a", GREY), saved("b", other))
    assert found.changed
    assert found.visible_share == 3 / 2000
    assert "visibly in 0.15% of the pixels" in found.text


def test_a_single_changed_pixel_is_no_change_of_the_heat_map(saved):
    other = GREY.copy()
    other[0, 0] = 255
    assert not compare("output", saved("a", GREY), saved("b", other)).changed


def test_another_shape_is_a_change_even_with_as_many_pixels(saved):
    found = compare("output", saved("a", GREY), saved("b", GREY.reshape(40, 50, 3)))
    assert found.changed
    assert found.text == "outputs of another shape or type"


@pytest.mark.parametrize("base", [GREY, GREY.astype(np.float32)])
def test_another_type_is_a_change(saved, base):
    found = compare("output", saved("a", base), saved("b", GREY.astype(np.float64)))
    assert (found.changed, found.largest) == (True, None)


def test_outputs_that_are_no_pixels_are_compared_byte_by_byte(saved):
    depth = np.zeros((2, 2), np.float32)
    assert not compare("output", saved("a", depth), saved("b", depth)).changed
    assert compare("output", saved("a", depth), saved("b", depth + 1)).changed


def test_other_arrays_are_compared_over_the_range_of_the_base(saved):
    base = np.linspace(0, 4, 40, dtype=np.float32).reshape(4, 10)
    near, far = base + np.float32(0.002), base + np.float32(0.02)
    assert not compare("output", saved("a", base), saved("b", base)).changed
    assert not compare("output", saved("a", base), saved("b", near)).changed
    found = compare("output", saved("a", base), saved("b", far))
    assert found.changed
    assert found.relative_error == pytest.approx(0.005, rel=1e-3)
    assert compare("output", saved("a", base), saved("b", base.astype(np.float64))).changed


def test_what_became_infinite_is_a_change(saved):
    base, other = np.ones((2, 2), np.float32), np.ones((2, 2), np.float32)
    other[0, 0] = np.nan
    assert compare("output", saved("a", base), saved("b", other)).changed
    assert not compare("output", saved("a", other), saved("b", other)).changed
