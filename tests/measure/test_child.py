import time

import numpy as np
import pytest

from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.measure import child
from midas_bench.measure.child import MODULE
from midas_bench.measure.rss import MIB, Watch
from midas_bench.processes import ProcessDiedError, ask

PATIENCE_S = 240.0


def config_for(backend, cache_dir):
    return resolve(PipelineConfig(backend, None, "seeded", cache_dir=str(cache_dir))).to_json()


def test_an_unknown_task_is_no_answer():
    with pytest.raises(ProcessDiedError, match="KeyError: 'no such task'"):
        ask(MODULE, {"task": "no such task"}, PATIENCE_S)


def test_memory_calls_the_pipeline_so_often_and_measures_in_order(monkeypatch, tmp_path):
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

    def resident_bytes():
        happened.append("rss")
        return len(happened)

    monkeypatch.setattr(child.registry, "runtime", lambda name: happened.append(f"import {name}"))
    monkeypatch.setattr(child.DepthPipeline, "open", lambda config: Pipeline())  # noqa: ARG005
    monkeypatch.setattr(child.rss, "resident_bytes", resident_bytes)
    monkeypatch.setattr(child.rss, "peak_bytes", lambda: happened.append("peak") or 99)
    config = config_for("onnx", tmp_path)
    reply = child.handle({"task": "memory", "config": config, "photos": [str(tmp_path / "a.jpg")], "calls": 2})
    order = ["import onnx", "rss", "load", "rss", "call [b'photo']", "call [b'photo']", "close", "peak"]
    assert happened == order
    assert reply == {"baseline_rss_bytes": 2, "loaded_rss_bytes": 4, "peak_rss_bytes": 99}


def test_the_reference_is_each_photos_depth_by_itself(monkeypatch, tmp_path):
    class Pipeline:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def run(self, photos):
            return type("Prediction", (), {"depth": np.full((len(photos), 2, 2), len(photos[0]), np.float32)})()

    monkeypatch.setattr(child.DepthPipeline, "open", lambda config: Pipeline())  # noqa: ARG005
    paths = [tmp_path / "a", tmp_path / "bb"]
    for path in paths:
        path.write_text(path.name)
    request = {"task": "reference", "config": config_for("eager", tmp_path), "photos": list(map(str, paths))}
    outputs = [tmp_path / "0.npy", tmp_path / "1.npy"]
    assert child.handle(request | {"outputs": list(map(str, outputs))}) == {}
    assert [np.load(path).tolist() for path in outputs] == [[[1, 1], [1, 1]], [[2, 2], [2, 2]]]


@pytest.mark.slow
def test_onnx_stays_under_350_mib_with_one_photo(ready, photos):
    watch = Watch()
    paths = [str(photos["street"].path)]
    request = {"task": "memory", "config": config_for("onnx", ready), "photos": paths, "calls": 5}
    reply = ask(MODULE, request, PATIENCE_S, started=watch.start)
    watch.finish()
    assert 20 * MIB < reply["baseline_rss_bytes"] < reply["loaded_rss_bytes"] < reply["peak_rss_bytes"] < 350 * MIB
    assert max(watch.rss_bytes) <= 1.01 * reply["peak_rss_bytes"]


@pytest.mark.slow
def test_startup_reports_each_phase_and_the_export_apart(ready, photos, tmp_path):
    for cache, build in ((ready, False), (tmp_path, True)):
        request = {
            "task": "startup",
            "config": config_for("jit", cache),
            "photos": [str(photos["pet"].path)],
            "asked_at_s": time.time(),
        }
        before_s = time.time()
        reply = ask(MODULE, request, PATIENCE_S)
        whole_s = time.time() - before_s
        phases = {name: reply[name] for name in ("import", "load", "first_inference", "steady")}
        assert all(seconds > 0 for seconds in phases.values())
        assert (reply["build_s"] is not None) == build
        # none of the phases holds the export
        assert sum(phases.values()) + (reply["build_s"] or 0) < whole_s
