"""What do others reach here: their programs from photo to heat map, their benchmark on our graph, a backbone alone?"""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import median

import pytest

from midas_bench import allocator, scene_photos
from midas_bench.depth.artifacts import artifact, is_cached
from midas_bench.depth.backends import registry
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.photo import decode
from midas_bench.depth.preprocess import preprocess
from midas_bench.depth.process_threads import use_threads
from midas_bench.depth.torch_extra import NO_TORCH
from midas_bench.measure.blocks import blocks, log_ratios
from midas_bench.measure.peer_pipelines.base import GRAPH
from midas_bench.measure.peer_pipelines.registry import CALLS, PEERS, missing
from midas_bench.measure.peers import benchmark_app, find_benchmark_app
from midas_bench.measure.worker_client import TimedCall, WorkerSpec
from midas_bench.results.kinds import ratio_fields

PRECISIONS = {"f32": "f32", "as-it-comes": None}
BLOCKS = 12
ROUNDS = 6
SEED = 6
PHOTO = "photo"

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


def is_ours(backend, **_):
    """Tell whether a backend is one that we would set against others' programs: exact, on the graph we deploy."""
    row = registry.find(backend)
    return row.exact and row.reads_onnx


def worker(name, config, photo, peer=None):
    """Describe the worker of one of our backends, or of a peer, which has no settings of the allocator from us."""
    how = {"photos": scene_photos.batch([photo], 1).paths, "config": asdict(config) | ({"peer": peer} if peer else {})}
    environment = dict.fromkeys(allocator.SETTINGS, "") if peer else None
    return WorkerSpec(name, {PHOTO: how}, environment, calls=CALLS if peer else None)


@pytest.fixture(scope="module")
def other_programs(run, measured_once):
    """Measure, by photo, all peers that can run here and our backends, interleaved in blocks on all cores."""
    ours = [name for name in run.settings.backends if is_ours(name)]

    def all_blocks(photo):
        peers = [name for name, peer in PEERS.items() if missing(peer) is None]
        arms = [worker(name, replace(run.config, backend=name), photo) for name in ours]
        arms += [worker(name, run.config, photo, name) for name in peers]
        return blocks(arms, [[TimedCall(arm.name, PHOTO) for arm in arms]], ROUNDS, SEED, BLOCKS, pinned=False)

    return {
        name: measured_once(partial(all_blocks, photo))
        for name, photo in scene_photos.usual_and_largest(run.scenes).items()
    }


@pytest.mark.extended
@pytest.mark.expected_seconds(60)
@pytest.mark.makes_sense.with_args(is_ours)
@pytest.mark.parametrize("photo", ["usual", "large"])
@pytest.mark.parametrize("peer", PEERS)
def test_other_program(cell, run, other_programs, backend, peer, photo):
    """Record another program's time from photo to heat map over ours: same threads, same size of the heat map."""
    reason = missing(PEERS[peer])
    if reason:
        pytest.skip(str(reason))
    if run.settings.models or run.weights.interface != MIDAS:
        pytest.skip("not for this network: other programs run MiDaS_small as it was published")
    cache_dir = Path(run.config.cache_dir)
    if not is_cached(GRAPH, run.weights, cache_dir):
        pytest.importorskip("torch", reason=NO_TORCH)
        # here and not by the workers, whose first start would take as long
        artifact(GRAPH, run.weights, cache_dir)
    title = PEERS[peer].title
    cell.describe_batch(scene_photos.batch([scene_photos.usual_and_largest(run.scenes)[photo]], 1))
    cell.describe(kind="peer-ratio", peer=title, ratio=f"{title}/{backend}, {photo} photo", numerator=title,
                  denominator=backend, backend=backend, threads=run.config.threads)  # fmt: skip

    def measure():
        measured = other_programs[photo]()
        theirs, ours = TimedCall(peer, PHOTO), TimedCall(backend, PHOTO)
        return {
            **ratio_fields(log_ratios(measured, lambda seconds: seconds[theirs] / seconds[ours])),
            "peer_median_s": median(block.median_s(theirs) for block in measured),
            "own_median_s": median(block.median_s(ours) for block in measured),
        }

    cell.record("other programs, photo to heat map", measure)
