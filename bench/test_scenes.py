"""Does it matter what a photo shows? Interleaved, at equal size, in blocks of fresh processes on one core."""

from dataclasses import asdict, replace

import cv2
import pytest

from midas_bench.depth.photo import decode
from midas_bench.measure.blocks import blocks, log_ratios
from midas_bench.measure.worker_client import TimedCall, WorkerSpec
from midas_bench.results.kinds import ratio_fields
from midas_bench.scene_photos import SCENES

BASELINE = "street"
SIZE = (1280, 853)
JPEG_QUALITY = 90
BLOCKS = 6
ROUNDS = 6
SEED = 2
CALLS = ("inference", "decode")

pytestmark = [pytest.mark.not_quick, pytest.mark.expected_seconds(5)]


@pytest.fixture(scope="module")
def measured(run, tmp_path_factory, measured_once):
    """Measure all scenes together, once, in blocks."""
    backend = "onnx" if "onnx" in run.settings.backends else run.settings.backends[0]

    def all_blocks():
        config = asdict(replace(run.config, backend=backend, threads=1))
        folder = tmp_path_factory.mktemp("scenes")
        pipelines = {scene: {"photos": [at_common_size(run, scene, folder)], "config": config} for scene in run.scenes}
        groups = [[TimedCall(backend, scene, call) for scene in run.scenes] for call in CALLS]
        return backend, blocks([WorkerSpec(backend, pipelines)], groups, ROUNDS, SEED, run.scaled(BLOCKS, least=3))

    return measured_once(all_blocks)


def at_common_size(run, scene, folder):
    """Store the scene's first photo at the common size, and return its path."""
    rgb = decode(run.scenes[scene][0].data)
    path = folder / f"{scene}.jpg"
    resized = cv2.resize(rgb, SIZE, interpolation=cv2.INTER_AREA)
    # a path that is not UTF-8 ends OpenCV with a segmentation fault
    _, jpeg = cv2.imencode(".jpg", resized[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    path.write_bytes(jpeg.tobytes())
    return str(path)


@pytest.mark.parametrize("stage", CALLS)
@pytest.mark.parametrize("other", [scene for scene in SCENES if scene != BASELINE])
def test_scenes(cell, run, measured, stage, other):
    """Record a scene's time over the street's: for the network, and for the decoder."""
    if {BASELINE, other} - run.scenes.keys():
        pytest.skip(f"needs photos of {BASELINE} and {other}")

    def ratio():
        backend, measured_blocks = measured()
        above, below = (TimedCall(backend, scene, stage) for scene in (other, BASELINE))
        fields = ratio_fields(log_ratios(measured_blocks, lambda seconds: seconds[above] / seconds[below]))
        return fields | {"backend": backend, "numerator": other, "denominator": BASELINE}

    cell.describe(kind="scene", stage=stage, scene=other, baseline_scene=BASELINE, threads=1, recipe="fast")
    cell.record("a scene over the street", ratio)
