"""Depth of other models beside the base's: maps of two sizes are compared at the larger one."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from midas_bench.gate import depth_change
from midas_bench.gate.depth_change import depth_changes, enlarged

PHOTOS = [SimpleNamespace(file="one.jpg"), SimpleNamespace(file="two.jpg")]
RAMP = np.linspace(0, 1, 40, dtype=np.float32)
BASE = np.stack([np.add.outer(RAMP, RAMP), np.add.outer(RAMP, -RAMP)]).astype(np.float32)


@pytest.fixture
def given(monkeypatch):
    """Compare a head's maps with `BASE`: `given(maps)`."""

    def compare(head):
        maps = {"base": BASE, "head": head}
        arms = {name: SimpleNamespace(title=f"{name}.onnx") for name in maps}
        sides = SimpleNamespace(photos={"street": PHOTOS}, arms=arms)
        monkeypatch.setattr(depth_change, "worker_specs", lambda *_: {name: name for name in maps})
        monkeypatch.setattr(depth_change, "_depth", lambda name, *_: {"street": maps[name]})
        return depth_changes(sides, "onnx", None)

    return compare


def test_maps_of_one_size_are_compared_as_they_are(given):
    changes = given(BASE)
    assert [(change.photo, change.largest_error, change.resized) for change in changes] == [
        ("one.jpg", 0, ""),
        ("two.jpg", 0, ""),
    ]


@pytest.mark.parametrize(("height", "width"), [(10, 20), (80, 60)])
def test_of_two_sizes_the_smaller_is_enlarged_and_that_is_said(given, height, width):
    head = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) for one in BASE])
    for change in given(head):
        said = "depth of head.onnx is {}x{}, the base's 40x40: the smaller is enlarged, as for a heat map"
        assert change.resized == said.format(height, width)
        assert change.rank_correlation > 0.99
        assert 0 < change.largest_error < 0.1


def test_enlarged_maps_keep_what_they_show():
    large = enlarged(BASE, 120, 80)
    assert (large.shape, large.dtype) == ((2, 80, 120), np.float32)
    assert np.abs(large[:, ::2, ::3] - BASE).mean() < 0.02
    assert enlarged(BASE, 40, 40) is BASE
