import inspect
from collections import Counter

import numpy as np
import pytest

from midas_bench.depth import calls as calls_module
from midas_bench.depth.calls import PHOTOS_PER_WORKER, calls, long_stream_photos
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.stages import STAGES
from midas_bench.errors import UserError


def test_the_signature_is_frozen():
    parameters = inspect.signature(calls).parameters.values()
    assert [(parameter.name, parameter.kind.name) for parameter in parameters] == [
        ("photos", "POSITIONAL_OR_KEYWORD"),
        ("config", "VAR_KEYWORD"),
    ]


@pytest.fixture(scope="module")
def by_name(graphs, photos):
    data = [photos["pet"].data, photos["street"].data]
    with calls(data, backend="onnx", weights="seeded", threads=1, cache_dir=str(graphs)) as named:
        yield named


def test_there_is_a_call_for_the_pipeline_and_each_stage(by_name):
    assert tuple(by_name) == ("pipeline", *STAGES, "stream", "long_stream")


def test_each_call_does_its_stage_on_all_photos(by_name, photos):
    sizes = [(photos[scene].height, photos[scene].width, 3) for scene in ("pet", "street")]
    assert [(decoded.height, decoded.width, 3) for decoded in by_name["decode"]()] == sizes
    assert by_name["preprocess"]().shape == (2, 3, 256, 256)
    assert by_name["inference"]().shape == (2, 256, 256)
    assert [heatmap.shape for heatmap in by_name["heatmap"]()] == sizes


def test_the_stages_together_are_the_pipeline(by_name):
    for whole, last in zip(by_name["pipeline"](), by_name["heatmap"](), strict=True):
        np.testing.assert_array_equal(whole, last)


def test_a_stream_gives_what_the_pipeline_gives(by_name):
    # onnx computes a batch in another order than its photos one by one
    for whole, one in zip(by_name["pipeline"](), by_name["stream"](), strict=True):
        assert np.abs(whole.astype(int) - one).max() <= 12  # one step of the colours


@pytest.mark.parametrize(("cores", "threads", "workers"), [(1, 1, 2), (2, 1, 2), (2, 2, 2), (8, 1, 8), (64, 4, 16)])
def test_a_long_stream_has_photos_for_every_core(monkeypatch, cores, threads, workers):
    monkeypatch.setattr(calls_module, "allowed_cores", lambda: cores)
    assert long_stream_photos(threads) == PHOTOS_PER_WORKER * workers


@pytest.mark.parametrize("different", [1, 2])
def test_a_long_stream_repeats_its_photos_and_keeps_nothing(graphs, photos, monkeypatch, different):
    data = [photos["pet"].data, photos["street"].data][:different]
    config = {"backend": "onnx", "weights": "seeded", "threads": 1, "cache_dir": str(graphs)}
    streamed = []

    def heatmap(_pipeline, _palette, photo):
        streamed.append(photo)
        return np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setattr(DepthPipeline, "_heatmap", heatmap)
    with calls(data, **config) as named:
        assert named["long_stream"]() is None
    count = long_stream_photos(1)
    assert Counter(streamed) == dict.fromkeys(data, count // different)


def test_the_calls_end_with_the_block(graphs, photos):
    with calls([photos["pet"].data], backend="onnx", weights="seeded", cache_dir=str(graphs)) as named:
        pass
    with pytest.raises(ValueError, match="closed"):
        named["inference"]()


def test_a_bad_photo_is_found_at_the_door(graphs):
    with pytest.raises(UserError, match="is empty"), calls([b""], weights="seeded", cache_dir=str(graphs)):
        pass
