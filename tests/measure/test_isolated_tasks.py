import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from midas_bench.depth.calls import long_stream_photos
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.measure import isolated_tasks
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.measure.memory_sampler import MemorySampler
from midas_bench.processes import ProcessDiedError, ask
from midas_bench.results.units import MIB

PATIENCE_S = 240.0


def config_for(backend, cache_dir):
    return resolve(PipelineConfig(backend, None, "seeded", cache_dir=str(cache_dir))).to_json()


def test_an_unknown_isolated_task_raises_process_died():
    with pytest.raises(ProcessDiedError, match="KeyError: 'no such task'"):
        ask(MODULE, {"task": "no such task"}, PATIENCE_S)


def test_a_graph_is_made_for_the_backend_that_is_asked_for(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(
        isolated_tasks.registry, "prepare", lambda name, _, cache, photos: made.append((name, cache, photos))
    )
    config = replace(PipelineConfig.from_json(config_for("onnx", tmp_path)), calibration=("a.jpg",))
    assert isolated_tasks.handle({"task": "graph", "config": config.to_json()}) == {}
    assert made == [("onnx", tmp_path, ("a.jpg",))]


@pytest.mark.parametrize(
    ("more", "calls"),
    [
        ({}, ["call [b'photo']", "call [b'photo']"]),
        ({"stream": False}, ["call [b'photo']", "call [b'photo']"]),
        ({"stream": True}, ["stream of b'photo'", "stream of b'photo'"]),
    ],
)
def test_memory_calls_or_streams_so_often_and_measures_in_order(monkeypatch, tmp_path, more, calls):
    (tmp_path / "a.jpg").write_bytes(b"photo")
    happened = []

    class Pipeline:
        def __enter__(self):
            happened.append("load")
            return self

        def __exit__(self, *_):
            happened.append("close")

        def __call__(self, photos):
            happened.append(f"call {photos}")

        config = SimpleNamespace(threads=1)

        def map(self, photos):
            every = list(photos)
            assert len(every) == long_stream_photos(1)
            happened.append(f"stream of {every[0]}")
            return iter(every)

    def resident_bytes():
        happened.append("rss")
        return len(happened)

    monkeypatch.setattr(isolated_tasks.registry, "runtime", lambda name: happened.append(f"import {name}"))
    monkeypatch.setattr(isolated_tasks.DepthPipeline, "open", lambda config: Pipeline())  # noqa: ARG005
    monkeypatch.setattr(isolated_tasks.memory_sampler, "resident_bytes", resident_bytes)
    monkeypatch.setattr(isolated_tasks.memory_sampler, "peak_bytes", lambda: happened.append("peak") or 99)
    config = config_for("onnx", tmp_path)
    request = {"task": "memory", "config": config, "photos": [str(tmp_path / "a.jpg")], "calls": 2}
    reply = isolated_tasks.handle(request | more)
    assert happened == ["import onnx", "rss", "load", "rss", *calls, "close", "peak"]
    assert reply == {"baseline_rss_bytes": 2, "loaded_rss_bytes": 4, "peak_rss_bytes": 99}


def test_the_reference_is_each_photos_depth_by_itself(monkeypatch, tmp_path):
    class Pipeline:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def run(self, photos):
            return type("Prediction", (), {"depth": np.full((len(photos), 2, 2), len(photos[0]), np.float32)})()

    monkeypatch.setattr(isolated_tasks.DepthPipeline, "open", lambda config: Pipeline())  # noqa: ARG005
    paths = [tmp_path / "a", tmp_path / "bb"]
    for path in paths:
        path.write_text(path.name)
    request = {"task": "reference", "config": config_for("eager", tmp_path), "photos": list(map(str, paths))}
    outputs = [tmp_path / "0.npy", tmp_path / "1.npy"]
    assert isolated_tasks.handle(request | {"outputs": list(map(str, outputs))}) == {}
    assert [np.load(path).tolist() for path in outputs] == [[[1, 1], [1, 1]], [[2, 2], [2, 2]]]


@pytest.mark.slow
def test_onnx_stays_under_350_mib_with_one_photo(graphs, photos):
    sampler = MemorySampler()
    paths = [str(photos["street"].path)]
    request = {"task": "memory", "config": config_for("onnx", graphs), "photos": paths, "calls": 5}
    reply = ask(MODULE, request, PATIENCE_S, started=sampler.start)
    sampler.finish()
    assert 20 * MIB < reply["baseline_rss_bytes"] < reply["loaded_rss_bytes"] < reply["peak_rss_bytes"] < 350 * MIB
    assert max(sampler.rss_bytes) <= 1.01 * reply["peak_rss_bytes"]


class ScriptedStart:
    """A clock, and work that moves it: so many seconds for each thing that a process does at its start."""

    def __init__(self):
        self.now_s = 500.0
        self.calls_s = [8.0, 4.0, 4.0, 4.0, 1.0, 2.0, 3.0, 2.0, 9.0]

    def take(self, seconds, gives=None):
        self.now_s += seconds
        return gives

    def open(self, config):
        del config
        return self.take(16.0, self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.take(1024.0)

    def __call__(self, photos):
        del photos
        self.take(self.calls_s.pop(0))


@pytest.mark.parametrize("built_now", [True, False], ids=["empty cache", "warm cache"])
def test_startup_times_each_phase_alone_and_the_export_apart(monkeypatch, tmp_path, built_now):
    config = config_for("jit", tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"photo")
    start = ScriptedStart()
    artifact = SimpleNamespace(built_now=built_now, build_s=60.0)
    monkeypatch.setattr(isolated_tasks.time, "perf_counter", lambda: start.now_s)
    monkeypatch.setattr(isolated_tasks.time, "time", lambda: start.now_s)
    monkeypatch.setattr(isolated_tasks.registry, "runtime", lambda _: start.take(32.0))
    monkeypatch.setattr(isolated_tasks.registry, "prepare", lambda *_: start.take(64.0, artifact))
    monkeypatch.setattr(isolated_tasks.DepthPipeline, "open", start.open)
    request = {"task": "startup", "config": config, "photos": [str(tmp_path / "a.jpg")], "asked_at_s": 498.0}
    report = isolated_tasks.handle(request)
    memory = report.pop("memory")
    # what Linux alone tells; shared pages count whole or in part
    assert memory is None or 0 < memory["uss_bytes"] <= memory["pss_bytes"]
    assert report == {
        "import": 34.0,
        "load": 16.0,
        "first_inference": 8.0,
        "steady": 2.0,  # the median of the five calls after three to warm up
        "build_s": 60.0 if built_now else None,
    }
    assert start.calls_s == []


@pytest.mark.slow
def test_a_real_start_has_all_phases(graphs, photos):
    config, paths = config_for("onnx", graphs), [str(photos["pet"].path)]
    before_s = time.time()
    reply = ask(MODULE, {"task": "startup", "config": config, "photos": paths, "asked_at_s": before_s}, PATIENCE_S)
    phases = [reply[name] for name in ("import", "load", "first_inference", "steady")]
    assert all(seconds > 0 for seconds in phases)
    assert sum(phases) < time.time() - before_s
    assert reply["build_s"] is None
