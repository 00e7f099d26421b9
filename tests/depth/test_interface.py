import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from midas_bench.depth.config import PipelineConfig
from midas_bench.depth.interface import MIDAS, NetworkInterface
from midas_bench.depth.preprocess import least_side, preprocess
from midas_bench.depth.recipe import find_recipe
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError

WIDE = NetworkInterface(height=196, width=308)
PICTURE = np.random.default_rng(0).integers(0, 256, (196, 308, 3), np.uint8)


def test_another_size_is_filled_by_the_whole_photo():
    [batch] = preprocess([PICTURE], WIDE)
    expected = (PICTURE / 255 - MIDAS.mean) / MIDAS.std
    np.testing.assert_allclose(batch, expected.transpose(2, 0, 1), atol=1e-6)


def test_channels_come_last_where_the_network_has_them_last():
    first = preprocess([PICTURE, PICTURE[::-1]], WIDE)
    last = preprocess([PICTURE, PICTURE[::-1]], replace(WIDE, layout="NHWC"))
    assert last.shape == (2, 196, 308, 3)
    np.testing.assert_array_equal(last, first.transpose(0, 2, 3, 1))


def test_half_precision_is_rounded_after_normalising():
    half = preprocess([PICTURE], replace(WIDE, dtype="float16"))
    np.testing.assert_array_equal(half, preprocess([PICTURE], WIDE).astype(np.float16))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_whole_numbers_are_the_pixels_themselves(layout):
    [batch] = preprocess([PICTURE], replace(WIDE, dtype="uint8", layout=layout))
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch, PICTURE if layout == "NHWC" else PICTURE.transpose(2, 0, 1))


def test_mean_deviation_and_scale_are_the_networks():
    own = replace(WIDE, mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0), scale=1.0)
    [batch] = preprocess([PICTURE], own)
    expected = (PICTURE - (1.0, 2.0, 3.0)) / (2.0, 4.0, 8.0)
    np.testing.assert_allclose(batch, expected.transpose(2, 0, 1), atol=1e-4)


def test_a_photo_is_decoded_no_smaller_than_the_longer_side_needs():
    assert (least_side(MIDAS), least_side(WIDE)) == (320, 385)


def test_the_articles_recipe_is_for_midas_alone():
    with pytest.raises(UserError, match="recipe article: makes MiDaS_small's input of 256x256 alone; choose"):
        find_recipe("article", WIDE)


MAP = np.array([[[1.0, 2.0], [4.0, 8.0]]], np.float32)


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 1, 2, 2), (1, 2, 2, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_maps_of_any_shape_and_type_become_one_form(shape, dtype):
    maps = MIDAS.inverse_depth(MAP.reshape(shape).astype(dtype))
    assert maps.dtype == np.float32
    np.testing.assert_array_equal(maps, MAP)


def test_what_is_inverse_depth_already_is_not_copied():
    assert MIDAS.inverse_depth(MAP) is MAP


@pytest.mark.parametrize("shape", [(1, 1000), (1, 2, 8, 8), (4,)])
def test_what_is_no_map_is_refused(shape):
    with pytest.raises(ValueError, match=r"in place of \(N, H, W\)"):
        MIDAS.inverse_depth(np.zeros(shape, np.float32))


def test_depth_becomes_inverse_depth_and_stays_finite():
    metric = replace(MIDAS, meaning="depth")
    np.testing.assert_allclose(metric.inverse_depth(MAP), 1 / MAP)
    # each photo by itself: 0 counts as a thousandth of its largest
    both = metric.inverse_depth(np.array([[[0.0, 10.0]], [[0.0, 1000.0]]], np.float32))
    np.testing.assert_allclose(both, [[[100.0, 0.1]], [[1.0, 0.001]]])
    assert (metric.inverse_depth(-MAP) == 1).all()


def test_the_interface_reaches_another_process():
    weights = Weights("model", "0" * 64, "own.onnx", replace(WIDE, mean=(0.5, 0.5, 0.5), output="depth"), ("w.bin",))
    assert Weights(**json.loads(json.dumps(weights.to_json()))) == weights
    config = PipelineConfig(weights=weights)
    assert PipelineConfig.from_json(config.to_json()) == config
    assert hash(weights) == hash(replace(weights))


def test_an_older_revision_is_sent_no_field_that_it_may_lack():
    assert set(Weights("seeded", "0" * 64).to_json()) == {"source", "sha256", "path"}


def test_how_a_network_is_fed_is_part_of_what_identifies_its_depth():
    plain = Weights("model", "0" * 64, "own.onnx")
    assert plain.fingerprint == plain.sha256
    others = [replace(MIDAS, **change) for change in ({"width": 320}, {"meaning": "depth"}, {"output": "b"})]
    assert len({replace(plain, interface=other).fingerprint for other in (MIDAS, *others)}) == 4
    assert asdict(plain)["interface"]["height"] == 256
