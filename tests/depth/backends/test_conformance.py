"""What every backend of the registry keeps to."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from midas_bench.cpu import allowed_cores
from midas_bench.depth import photo
from midas_bench.depth.backends import registry
from midas_bench.depth.calibration import project_photos
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.network import load_network
from midas_bench.depth.preprocess import preprocess
from midas_bench.depth.weights import resolve, seeded

THREADS = allowed_cores()


@pytest.fixture(scope="session")
def batch(photos):
    """Give 8 inputs of the network, no two alike."""
    four = preprocess([photo.decode(taken.data) for taken in photos.values()])
    both = np.concatenate([four, four[..., ::-1]])
    both.flags.writeable = False
    return both


@pytest.fixture(scope="session")
def eager_depth(batch, seeded_network):
    """Compute the depth of each input by itself, without a backend."""
    import torch

    with torch.inference_mode():
        return np.concatenate([seeded_network(torch.tensor(batch[n : n + 1])).numpy() for n in range(len(batch))])


FAST = ("jit", "onnx")
# a row for another CPU is no test of this one; a missing library is a skip, which CI takes for a failure
ROWS = [
    pytest.param(row.name, marks=[] if row.name in FAST else [pytest.mark.slow])
    for row in registry.ROWS
    if registry.suits_cpu(row)
]


@pytest.fixture(scope="module", params=ROWS)
def row(request):
    row = registry.REGISTRY[request.param]
    reason = registry.missing(row)
    if reason:
        pytest.skip(str(reason))
    return row


@pytest.fixture(scope="module")
def load(prepared):
    """Open a backend on seeded weights."""

    def loaded(row, threads=THREADS):
        return registry.load(row.name, seeded(), threads, prepared(row.name), project_photos())

    return loaded


@pytest.fixture(scope="module")
def backend(row, load):
    opened = load(row)
    yield opened
    opened.close()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_it_agrees_with_eager_at_every_batch_size(backend, row, batch, eager_depth, count):
    depth = backend(batch[:count])
    assert depth.shape == (count, 256, 256)
    assert depth.dtype == np.float32
    assert depth.min() >= 0
    for ours, expected in zip(depth, eager_depth, strict=False):
        error = np.abs(ours - expected).max() / np.ptp(expected)
        # random weights magnify rounding: this tells a graph that is wrong, not one that is coarse
        assert error <= (registry.MAX_RELATIVE_ERROR if row.exact else 0.5)
        assert row.exact or np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.9


def test_what_it_computes_depends_on_its_input(backend, batch):
    depth = backend(batch[:2])
    assert np.abs(depth[0] - depth[1]).max() > 0.05 * np.ptp(depth)


def test_the_same_input_gives_the_same_depth(backend, batch):
    first, second = backend(batch[:2]), backend(batch[:2])
    np.testing.assert_allclose(first, second, atol=1e-6 * np.ptp(first))


def test_a_result_outlives_the_next_call(backend, batch):
    first = backend(batch[:1])
    before = first.copy()
    second = backend(batch[1:2])
    np.testing.assert_array_equal(first, before)
    assert not np.shares_memory(first, second)


def test_a_read_only_and_a_scattered_batch_are_read_and_left_alone(backend, batch, eager_depth):
    scattered = np.asfortranarray(batch[:2])
    before = scattered.copy()
    assert not batch.flags.writeable
    assert not scattered.flags.c_contiguous
    np.testing.assert_allclose(backend(scattered), backend(batch[:2]), atol=1e-6 * np.ptp(eager_depth))
    np.testing.assert_array_equal(scattered, before)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((3, 256, 256), np.float32),
        np.zeros((1, 3, 128, 128), np.float32),
        np.zeros((1, 256, 256, 3), np.float32),
        np.zeros((0, 3, 256, 256), np.float32),
        np.zeros((1, 3, 256, 256), np.float64),
    ],
    ids=lambda wrong: f"{wrong.dtype}{wrong.shape}",
)
def test_a_batch_of_another_shape_or_type_is_refused(backend, wrong):
    with pytest.raises(ValueError, match="expected float32"):
        backend(wrong)


@pytest.mark.parametrize("threads", sorted({1, THREADS}))
def test_it_takes_the_threads_it_is_given_and_serves_two_callers(row, load, batch, eager_depth, threads):
    opened = load(row, threads)
    try:
        parts = [batch[n : n + 1] for n in (0, 1, 2, 3)]
        alone = [opened(part) for part in parts]
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(opened, parts))
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5 * np.ptp(eager_depth))
        assert opened.threads == threads
    finally:
        opened.close()


def test_a_closed_backend_says_so_and_another_can_be_opened(row, load, batch):
    first = load(row)
    first.close()
    first.close()
    with pytest.raises(ValueError, match="closed"):
        first(batch[:1])
    second = load(row)
    try:
        assert second(batch[:1]).shape == (1, 256, 256)
    finally:
        second.close()


SIZES = [(160, 256), (256, 160), (384, 384)]


def at_other_sizes():
    """Give every backend at one other size, and onnx at all; what takes minutes to make is for the night."""
    for row in filter(registry.suits_cpu, registry.ROWS):
        is_slow_to_make = row.compiles or row.extra == "litert"
        for size in SIZES if row.name == "onnx" else SIZES[:1]:
            nightly = [pytest.mark.nightly] * (is_slow_to_make or size != SIZES[0])
            yield pytest.param(row.name, size, marks=[pytest.mark.slow, *nightly], id=f"{row.name}-{size[0]}x{size[1]}")


@pytest.fixture(scope="module")
def of_any_name(checkpoint, tmp_path_factory):
    """Give a checkpoint and a cache whose names are no UTF-8."""
    folder = tmp_path_factory.mktemp("any")
    path = Path(shutil.copy(checkpoint, folder / os.fsdecode(b"caf\xe9\n.pt")))
    return path, folder / os.fsdecode(b"cach\xe9")


# one more graph each: other weights and other sizes are tested on the same
@pytest.mark.parametrize(("row", "size"), list(at_other_sizes()), indirect=["row"])
def test_it_agrees_with_eager_on_other_weights_at_other_sizes_and_weights_and_cache_have_any_name(
    row, size, of_any_name, seeded_network, photos, calibration
):
    import torch

    height, width = size
    path, cache_dir = of_any_name
    given = resolve(str(path), cache_dir)
    other = replace(given, interface=replace(MIDAS, height=height, width=width))
    # one photo: compile would compile a second time for several
    batch = preprocess([photo.decode(photos["street"].data)], other.interface)
    opened = registry.load(row.name, other, THREADS, cache_dir, calibration)
    try:
        depth = opened(batch)
        with pytest.raises(ValueError, match=f"expected float32 .N, 3, {height}, {width}., got float32"):
            opened(np.zeros((1, 3, 256, 256), np.float32))
    finally:
        opened.close()
    with torch.inference_mode():
        expected, of_seeded = (one(torch.from_numpy(batch)).numpy() for one in (load_network(given), seeded_network))
    assert depth.shape == (1, height, width)
    assert np.abs(depth - expected).max() / np.ptp(expected) <= (registry.MAX_RELATIVE_ERROR if row.exact else 0.5)
    assert row.exact or np.corrcoef(depth.ravel(), expected.ravel())[0, 1] > 0.9
    assert np.abs(depth - of_seeded).max() > 0.01 * np.ptp(of_seeded)
