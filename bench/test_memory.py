"""How much memory does it take, from encoded photos to heat maps, in a process that does nothing else?"""

from dataclasses import replace

import pytest

from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.measure.memory_sampler import MemorySampler
from midas_bench.processes import ask

CALLS = 5
TIMEOUT_S = 300.0

pytestmark = [pytest.mark.not_quick, pytest.mark.expected_seconds(6)]


def in_the_default_run(backend, batch_size, scene, **_):
    """Keep each backend at batch 4, the article's eager with one photo, and the least: ONNX Runtime with one."""
    return scene == "street" and (batch_size == 4 or (backend, batch_size) in {("onnx", 1), ("eager", 1)})


def in_a_fresh_process(config, photos):
    """Run the pipeline in a process of its own, watched from outside, and return what it reports."""
    sampler = MemorySampler()
    request = {"task": "memory", "config": config.to_json(), "photos": photos.paths, "calls": CALLS}
    reply = ask(MODULE, request, TIMEOUT_S, started=sampler.start)
    sampler.finish()
    # this system keeps no high-water mark
    if reply["peak_rss_bytes"] is None:
        reply["peak_rss_bytes"] = max(sampler.rss_bytes)
    return reply | {"rss_over_time": {"t_s": sampler.t_s, "rss_bytes": sampler.rss_bytes}}


@pytest.mark.by_default.with_args(in_the_default_run)
def test_memory(cell, model, backend, threads, batch, batch_size):
    """Record resident memory after imports, after loading, and at its peak; sampled from outside over time."""
    config = replace(model.config, backend=backend, threads=threads)
    cell.describe(kind="memory", backend=backend, threads=threads, recipe="fast")
    cell.record(f"process for memory, batch {batch_size}", lambda: in_a_fresh_process(config, batch))


@pytest.mark.extended
@pytest.mark.usefixtures("articles_network")
def test_memory_article(cell, run, threads, one_photo):
    """Record the same for the article's recipe."""
    config = replace(run.config, backend="eager", threads=threads, recipe="article")
    cell.describe(kind="memory", backend="eager", threads=threads, recipe="article")
    cell.record("process for memory, batch 1", lambda: in_a_fresh_process(config, one_photo))
