"""Tasks for fresh processes; run as `python -m midas_bench.measure.isolated_tasks`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from midas_bench.depth.backends import registry
from midas_bench.depth.calls import long_stream
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.measure import memory_sampler
from midas_bench.processes import Reply, answer

MODULE = "midas_bench.measure.isolated_tasks"
STEADY_CALLS = 5
WARM_UP_CALLS = 3


def reference(request: Reply) -> Reply:
    """Compute the depth of each photo by itself and save it: `photos` and `outputs` are paths of equal number."""
    with DepthPipeline.open(config=PipelineConfig.from_json(request["config"])) as pipeline:
        for photo, output in zip(request["photos"], request["outputs"], strict=True):
            depth = pipeline.run([Path(photo).read_bytes()]).depth[0]
            with Path(output).open("wb") as file:
                np.save(file, depth)
    return {}


def memory(request: Reply) -> Reply:
    """Report resident bytes after imports, after loading, and at the peak of `calls` calls on `photos`.

    With `stream` each call is a long stream of the photos.
    """
    config = resolve(PipelineConfig.from_json(request["config"]))
    registry.runtime(config.backend)
    baseline_bytes = memory_sampler.resident_bytes()
    with DepthPipeline.open(config=config) as pipeline:
        loaded_bytes = memory_sampler.resident_bytes()
        photos = [Path(photo).read_bytes() for photo in request["photos"]]
        for _ in range(request["calls"]):
            if request.get("stream"):
                long_stream(pipeline, photos)
            else:
                pipeline(photos)
    return {
        "baseline_rss_bytes": baseline_bytes,
        "loaded_rss_bytes": loaded_bytes,
        "peak_rss_bytes": memory_sampler.peak_bytes(),
    }


def startup(request: Reply) -> Reply:
    """Report the seconds from the question (`asked_at_s`, Unix time) to imports, loaded, first result, steady state.

    An empty cache is filled first, and that time is reported apart.
    """
    config = resolve(PipelineConfig.from_json(request["config"]))
    registry.runtime(config.backend)
    import_s = time.time() - request["asked_at_s"]
    clock = time.perf_counter
    artifact = registry.prepare(config.backend, config.weights, Path(config.cache_dir), config.calibration)
    photos = [Path(photo).read_bytes() for photo in request["photos"]]
    start_s = clock()
    with DepthPipeline.open(config=config) as pipeline:
        loaded_s = clock()
        pipeline(photos)
        first_s = clock()
        for _ in range(WARM_UP_CALLS):
            pipeline(photos)
        steady_s = []
        for _ in range(STEADY_CALLS):
            before_s = clock()
            pipeline(photos)
            steady_s.append(clock() - before_s)
        memory = memory_sampler.own_memory()
    return {
        "import": import_s,
        "load": loaded_s - start_s,
        "first_inference": first_s - loaded_s,
        "steady": float(np.median(steady_s)),
        "build_s": artifact.build_s if artifact and artifact.built_now else None,
        "memory": memory and memory._asdict(),
    }


def browser_startup(request: Reply) -> Reply:
    """Report what a page's start-up costs, and the memory of its browser; save the depth of the photo.

    That memory is what a few photos leave. `assets` and `profiles` are folders, `output` is a path.
    """
    from midas_bench.measure.browser.open_page import device_files, open_page

    config = resolve(PipelineConfig.from_json(request["config"]))
    files = device_files(config, Path(request["assets"]))
    [model] = files.graphs
    [photo] = (Path(photo).read_bytes() for photo in request["photos"])
    with open_page(files, photo, profiles=request["profiles"]) as page:
        empty = page.memory()
        load = page.load(model, config.threads)
        for _ in range(WARM_UP_CALLS):
            page.round()
        used = page.memory()
        np.save(request["output"], page.depth()[None])
    return {
        "bytes": load.bytes,
        "page_startup_s": {
            "open": page.opened_s,
            "download": load.download_s,
            "compile": load.compile_s,
            "first_inference": load.first_inference_s,
        },
        "empty": empty and empty._asdict(),
        "used": used and used._asdict(),
    }


def graph(request: Reply) -> Reply:
    """Make the backend's graph unless the cache has it."""
    config = resolve(PipelineConfig.from_json(request["config"]))
    registry.prepare(config.backend, config.weights, Path(config.cache_dir), config.calibration)
    return {}


def builds(request: Reply) -> Reply:
    """Report how the runtimes were built and how many threads each would take by itself."""
    del request
    import cv2
    import onnxruntime

    return {
        **_torch_build(),
        "onnxruntime": f"{onnxruntime.__version__}, {', '.join(onnxruntime.get_available_providers())}",
        "opencv": f"{cv2.__version__}, {cv2.getNumThreads()} threads by itself",
    }


def _torch_build() -> Reply:
    try:
        import torch
    except ModuleNotFoundError:
        return {}
    capability = torch.backends.cpu.get_cpu_capability()
    return {"torch": f"{torch.__version__}, kernels {capability}, {torch.get_num_threads()} threads by itself"}


def peak(request: Reply) -> Reply:
    """Report this machine's peak on so many `threads`, in operations per second by each of some `precisions`."""
    from midas_bench.measure.peak import SIZES, peak_flop_per_s

    return peak_flop_per_s(request["threads"], request["precisions"], request.get("sizes", SIZES))


def floor(request: Reply) -> Reply:
    """Report the `steps` from a `photo` (path) to a PNG beside their limits, of which `peak` is one; see floor.py."""
    from midas_bench.measure import floor as measuring

    config = resolve(PipelineConfig.from_json(request["config"]))
    steps = measuring.floor(config, Path(request["photo"]).read_bytes(), request["rounds"], request["peak"])
    return {"steps": [msgspec.to_builtins(step) for step in steps]}


TASKS: dict[str, Callable[[Reply], Reply]] = {
    "reference": reference,
    "memory": memory,
    "startup": startup,
    "browser_startup": browser_startup,
    "graph": graph,
    "builds": builds,
    "peak": peak,
    "floor": floor,
}


def handle(request: Reply) -> Reply:
    """Do the task that the request names."""
    return TASKS[request.pop("task")](request)


if __name__ == "__main__":
    sys.exit(answer(handle))
