"""What do others reach here: OpenVINO's own benchmark on our graph, and timm's backbone alone?"""

from pathlib import Path

import pytest

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.photo import decode
from midas_bench.depth.preprocess import preprocess
from midas_bench.depth.process_threads import use_threads
from midas_bench.depth.torch_extra import NO_TORCH
from midas_bench.measure.peers import benchmark_app, find_benchmark_app

PRECISIONS = {"f32": "f32", "as-it-comes": None}

pytestmark = pytest.mark.not_quick


@pytest.mark.expected_seconds(8)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_benchmark_app(cell, model, threads, precision):
    """Record the median that OpenVINO's benchmark_app reports: latency hint, one image per call, as many threads."""
    command = find_benchmark_app()
    if command is None:
        pytest.skip("needs benchmark_app, which OpenVINO brings; pip install 'midas-bench[peers]'")
    graph = artifact("onnx", model.weights, Path(model.config.cache_dir)).path
    name = f"OpenVINO benchmark_app, {precision.replace('-', ' ')}"
    cell.describe(kind="peer", peer=f"{name}, {model.name}" if model.name else name, batch_size=1, threads=threads)

    def measure():
        median_s = benchmark_app(command, graph, threads, PRECISIONS[precision], interface=model.weights.interface)
        return {"peer_median_s": median_s}

    cell.record("peers", measure)


def test_backbone(cell, run, threads, one_photo):
    """Time timm's tf_efficientnet_lite3, features only, in PyTorch eager mode: the network's first part."""
    if run.settings.models:
        pytest.skip("not for this model: timm's backbone is a part of MiDaS_small")
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    # the imports take a second: only this cell should wait for them
    from midas_bench.depth.torchvision_compat import timm

    use_threads(threads)
    backbone = timm.create_model("tf_efficientnet_lite3", features_only=True).eval()
    image = torch.from_numpy(preprocess([decode(one_photo.data[0])], run.weights.interface))
    cell.describe(kind="peer", peer="timm backbone, eager", threads=threads)
    with torch.inference_mode():
        cell.time("timm's backbone alone", backbone, image)
