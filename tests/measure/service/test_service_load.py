from contextlib import suppress
from dataclasses import replace

import pytest

from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.measure.service import service_load as service
from midas_bench.measure.service.load_results import LostError
from midas_bench.measure.service.server_process import serving
from midas_bench.processes import ProcessDiedError

PATIENT = ("--deadline", "3600")


@pytest.fixture(scope="module")
def config(graphs):
    pytest.importorskip("flask", reason="needs the extra [web]")
    return resolve(PipelineConfig("onnx", threads=1, weights="seeded", cache_dir=str(graphs)))


@pytest.mark.slow
def test_the_real_server_is_loaded_beside_the_pipeline(config, project, photos, monkeypatch):
    monkeypatch.setattr(service, "WARM_UP_S", 0.0)  # then the first requests count, however long they take
    paths = [str(photo.path) for photo in photos.values()]
    with serving(config, project, *PATIENT) as server:
        closed, seen = service.closed_loop(server, paths, 2, 1.0)
        opened = service.open_loop(server, paths, 3.0, 1.5, seed=1)
    for duration_s in (1.0, 4.0, 16.0):
        with suppress(LostError):
            alone = service.pipeline_per_second(config, paths, duration_s)
            break
    assert closed.p99_s >= closed.p50_s > 0
    assert {one.outcome for one in seen.sent} == {"200"}
    assert closed.peak_rss_bytes is None or closed.peak_rss_bytes > 100 << 20
    assert seen.client_cpu_s > 0
    assert opened.requests > 0
    assert alone > 0


@pytest.mark.slow
def test_200_good_and_bad_requests_lose_nothing_and_both_sides_count_the_same(config, project, photos):
    with serving(config, project, *PATIENT) as server:
        soaked = service.soak(server, [photo.path for photo in photos.values()], 200, 8, seed=1, timeout_s=300)
    assert soaked.requests == 200
    assert not soaked.unexpected
    assert soaked.counted == soaked.answered
    assert len({name for name, _ in soaked.outcomes}) > 5
    assert len(soaked.rss_bytes) == 200


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(config, tmp_path):
    weights = replace(config.weights, source="file", path=str(tmp_path / "none.pt"))
    with (
        pytest.raises(ProcessDiedError, match=r"the server was not ready: midas-bench: .*none\.pt"),
        serving(replace(config, weights=weights), tmp_path),
    ):
        pass
