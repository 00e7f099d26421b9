"""How many users does the server hold, at which latency, and what does HTTP cost beside the pipeline alone?"""

import math
from dataclasses import replace

import pytest

from midas_bench import scene_photos
from midas_bench.errors import UserError
from midas_bench.measure.loadgen.rules import BOUND_OF_P90
from midas_bench.measure.service import service_load as service
from midas_bench.measure.service.server_process import serving
from midas_bench.results.kinds import ratio_fields
from midas_bench.results.load_records import Load, knee
from midas_bench.serve.serve_config import check_installed

CLIENTS = (1, 2, 4, 8, 16)
RATES = (0.5, 0.75, 0.9, 1.0, 1.25, 2.0)
"""Times the highest throughput of the closed loop."""
DURATION_S = 6.0
ROUNDS = 6
ROUND_S = 4.0
SATURATING = 8
SEED = 6
SOAK_REQUESTS = 10_000
SOAK_TIMEOUT_S = 1800.0
MAX_GROWTH = 0.05

pytestmark = [pytest.mark.extended, pytest.mark.not_quick]


@pytest.fixture(scope="module")
def threads():
    """Give each photo one thread, as `midas-bench serve` does."""
    return 1


@pytest.fixture(scope="module")
def config(model, backend, threads):
    """Return what the server's pipeline and the one beside it are opened with."""
    try:
        check_installed()
    except UserError as error:
        pytest.skip(str(error))
    return replace(model.config, backend=backend, threads=threads)


@pytest.fixture(scope="module")
def server(run, config):
    """Run one server for the loads of a backend."""
    with serving(config, run.settings.rootdir) as started:
        yield started


@pytest.fixture(scope="module")
def photos(run):
    """Take the first photo of each scene."""
    firsts = scene_photos.first_per_scene(run.scenes)
    return scene_photos.batch(firsts, len(firsts))


@pytest.fixture(scope="module")
def closed_loads(server, photos, measured_once):
    """Measure the closed loop once."""
    return measured_once(
        lambda: [service.closed_loop(server, photos.paths, clients, DURATION_S) for clients in CLIENTS]
    )


def load_fields(scenario, points, bound_s):
    """Return the fields of a record."""
    best = knee(points, bound_s)
    load = Load(
        scenario=scenario,
        queries=sum(point.requests for point in points),
        images_per_second=max(point.achieved_per_second for point in points),
        latency_bound_s=bound_s,
        target_per_second=best.offered_per_second if best else None,
        load_points=tuple(points),
        peak_rss_bytes=max((point.peak_rss_bytes or 0 for point in points), default=0) or None,
    )
    return load.to_extra_info()


def describe_and_check(cell, config, photos, server, **fields):
    """Describe a cell, and check what the server computes before it is timed."""
    cell.describe_batch(photos)
    cell.describe(backend=config.backend, threads=config.threads, scene=None, batch_size=None, **fields)
    cell.check(lambda: server.depth(photos.data), photos)


@pytest.mark.expected_seconds(40)
def test_closed_loop(cell, config, server, photos, closed_loads):
    """Record throughput and latency with 1 to 16 clients that each wait for their answer."""

    def measure():
        points_and_results = closed_loads()
        cpu_s = max(result.client_cpu_s for _, result in points_and_results)
        return load_fields("closed-loop", [point for point, _ in points_and_results], None) | {"client_cpu_s": cpu_s}

    describe_and_check(cell, config, photos, server, kind="load")
    cell.record("server over HTTP", measure)


@pytest.fixture(scope="module")
def open_loads(server, photos, closed_loads, measured_once):
    """Measure the open loop, and give it with the bound that a p99 must hold."""

    def measure():
        closed_points = [point for point, _ in closed_loads()]
        saturation = max(point.achieved_per_second for point in closed_points)
        rates = (share * saturation for share in RATES)
        points = [service.open_loop(server, photos.paths, rate, DURATION_S, SEED) for rate in rates]
        return points, BOUND_OF_P90 * closed_points[0].p90_s

    return measured_once(measure)


@pytest.mark.expected_seconds(50)
def test_open_loop(cell, config, server, photos, open_loads):
    """Record latency and refusals at rising rates, up to twice what the closed loop could reach."""
    describe_and_check(cell, config, photos, server, kind="load")
    cell.record("server over HTTP", lambda: load_fields("open-loop", *open_loads()))


@pytest.fixture(scope="module")
def rounds(config, server, photos, measured_once):
    """Measure both once: of each round, photos per second over HTTP and without, and the client.

    One sleeps while the other runs, and they take turns in beginning. The client's share is the share of all cores'
    time that it takes from the server.
    """

    def over_http():
        _, result = service.closed_loop(server, photos.paths, SATURATING, ROUND_S)
        return result

    def without_http():
        return service.pipeline_per_second(config, photos.paths, ROUND_S)

    def measure_rounds():
        results = []
        for number in range(ROUNDS):
            order = (over_http, without_http) if number % 2 else (without_http, over_http)
            by_way = {way: way() for way in order}
            results.append((by_way[over_http], by_way[without_http]))
        return results

    return measured_once(measure_rounds)


@pytest.mark.expected_seconds(40)
@pytest.mark.parametrize("client", ["counted", "apart"])
def test_service_over_pipeline(cell, config, server, photos, rounds, client):
    """Record throughput at saturation over the pipeline's own, with the same encoding, threads and batch.

    The client runs on the same cores; with `apart` the time that it took is not the server's.
    """

    def measure():
        results = rounds()
        ratios = [
            math.log(load.steady_per_second / pipeline_per_second / (1 - load.client_share if client == "apart" else 1))
            for load, pipeline_per_second in results
        ]
        cpu_s = sum(load.client_cpu_s for load, _ in results) / len(results)
        return ratio_fields(ratios) | {"client_cpu_s": cpu_s}

    numerator = "server over HTTP" + (", client's CPU apart" if client == "apart" else "")
    describe_and_check(cell, config, photos, server, kind="ratio", ratio=f"{numerator}/pipeline, {config.backend}",
              numerator=numerator, denominator="pipeline and encoding alone")  # fmt: skip
    cell.record("server over the pipeline", measure)


@pytest.mark.expected_seconds(500)
def test_soak(cell, run, config, photos):
    """Send 10,000 good and bad requests: each has its one answer, the server counts the same, memory stays flat."""
    cell.describe(kind="load", backend=config.backend, threads=config.threads)

    def measure():
        with serving(config, run.settings.rootdir) as fresh:
            paths = [photo.path for photo in photos.photos]
            soaked = service.soak(fresh, paths, SOAK_REQUESTS, SATURATING, SEED, SOAK_TIMEOUT_S)
        assert soaked.requests == SOAK_REQUESTS
        assert not soaked.unexpected
        assert soaked.counted == soaked.answered
        assert soaked.rss_growth <= MAX_GROWTH
        return soaked.to_fields()

    cell.record("server over HTTP", measure)
