"""The graphs that a browser runs: those of ONNX Runtime's backends, of the same weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from midas_bench.depth.artifacts import artifact
from midas_bench.depth.backends import registry
from midas_bench.depth.config import Resolved, make_graph, resolve
from midas_bench.errors import UserError
from midas_bench.web import assets
from midas_bench.web.device_files import DTYPES, DeviceFiles

BACKENDS = {"fp32": "onnx", "int8": "onnx-int8"}
"""By the name that users choose a graph by, the backend that runs it outside of a browser."""


def open_device_files(pipeline: Resolved, max_pixels: int, progress: Callable[[str], object]) -> DeviceFiles:
    """Return all that a browser needs to compute what a pipeline computes; graphs are made if the cache lacks them.

    Args:
        pipeline: whose weights, and whose cache.
        max_pixels: of a photo.
        progress: hears of what takes long, and why there is no int8 graph if there is none.

    Raises:
        UserError: what runs in a browser was not fetched, or a browser cannot run this network.
    """
    folder = assets.require(Path(pipeline.cache_dir))
    weights = pipeline.weights
    if weights.external:
        raise UserError(weights.path, "has its weights in further files", "save it as one file for browsers")
    if weights.interface.dtype not in DTYPES:
        next_step = f"export it with an input of {' or '.join(DTYPES)}"
        raise UserError(weights.path, f"takes {weights.interface.dtype}, which browsers do not have", next_step)
    graphs = {}
    for name, backend in BACKENDS.items():
        try:
            graphs[name] = _graph(pipeline, backend, progress)
        except UserError as error:
            if name == "fp32":
                raise
            progress(f"no {name} graph for browsers: {error}")
    return DeviceFiles(graphs, weights.interface, folder, max_pixels)


def _graph(pipeline: Resolved, backend: str, progress: Callable[[str], object]) -> Path:
    resolved = resolve(replace(pipeline, backend=backend, calibration=()))
    make_graph(resolved, progress)
    kind = registry.find(backend).artifact or ""
    return artifact(kind, resolved.weights, Path(resolved.cache_dir), resolved.calibration).path
