"""The steps of a real photo beside their limits."""

import io

import numpy as np
import pytest
from PIL import Image

from midas_bench.depth import preprocess
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.flop import DEPLOYED_FLOP
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.photo import check, decode_reduced, decode_roughly
from midas_bench.measure.floor import floor
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.processes import ask

STEPS = ["decode", "preprocess", "inference", "heatmap", "write"]
INPUT_BYTES = 3 * 256 * 256 * 4


@pytest.fixture
def config(graphs):
    return resolve(PipelineConfig("onnx", 1, "seeded", cache_dir=str(graphs)))


def test_each_step_has_its_time_and_its_limit(config, photos):
    photo = photos["pet"]
    steps = {step.step: step for step in floor(config, photo.data, 2, 1e12)}
    assert list(steps) == STEPS
    assert all(0 < step.median_s < 60 and 0 < step.least_s < 60 for step in steps.values())
    pixels = decode_reduced(photo.data, preprocess.least_side(MIDAS)).pixels
    assert steps["preprocess"].bytes_moved == pixels.nbytes + INPUT_BYTES
    assert steps["heatmap"].bytes_moved == 256 * 256 * 4 + photo.width * photo.height
    assert photo.width * photo.height < steps["write"].bytes_moved < 2 * photo.width * photo.height
    assert (steps["inference"].flop, steps["inference"].least_s) == (DEPLOYED_FLOP, DEPLOYED_FLOP / 1e12)


def test_a_limit_that_is_not_known_is_none(config):
    encoded = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 90, 90)).save(encoded, "PNG")
    steps = {step.step: step for step in floor(config, encoded.getvalue(), 1)}
    assert [name for name, step in steps.items() if step.least_s is None] == ["decode", "inference"]


def test_a_process_of_its_own_reports_the_steps(config, photos):
    request = {"task": "floor", "config": config.to_json(), "photo": str(photos["pet"].path), "rounds": 1}
    reply = ask(MODULE, request | {"peak": None}, 120.0)
    assert [step["step"] for step in reply["steps"]] == STEPS


def test_the_rough_decode_has_the_scale_of_ours_and_nearly_its_pixels(photos):
    photo = photos["street"]
    least = preprocess.least_side(MIDAS)
    ours, rough = decode_reduced(photo.data, least).pixels, decode_roughly(check(photo.data), least)
    assert rough.shape == ours.shape != (photo.height, photo.width, 3)
    assert np.abs(rough.astype(int) - ours).mean() < 5
