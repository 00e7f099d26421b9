"""Which peers there are, and how a worker opens one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from midas_bench.depth.config import PipelineConfig, Resolved, resolve
from midas_bench.depth.torch_extra import EXTRA
from midas_bench.errors import UserError, missing_libraries
from midas_bench.measure.peer_pipelines.base import PeerPipeline

MODULES = "midas_bench.measure.peer_pipelines."
CALLS = f"{MODULES}registry:calls"


@dataclass(frozen=True)
class Peer:
    """Another project's way from a photo to a heat map.

    Attributes:
        title: how tables and charts call it.
        module: of this folder; it has a function `load(weights, threads, cache_dir) -> PeerPipeline`, and says in its
            docstring which files it follows.
        libraries: import names of what it needs.
        extra: of this distribution, that installs them; empty where they always are.
    """

    title: str
    module: str
    libraries: tuple[str, ...]
    extra: str = ""


PEERS = {
    "midas-run": Peer("MiDaS run.py", "midas_run", ("torch", "timm"), EXTRA),
    "midas-onnx": Peer("MiDaS run_onnx.py", "midas_onnx", ("onnxruntime",)),
    "openvino-preprocessing": Peer("OpenVINO PrePostProcessor", "openvino_preprocessing", ("openvino",), "peers"),
    "openvino-notebook": Peer("OpenVINO notebook", "openvino_notebook", ("openvino",), "peers"),
    "opencv-dnn": Peer("OpenCV dnn sample", "opencv_dnn", ("cv2",)),
}
"""By the name that cells have."""


def missing(peer: Peer) -> UserError | None:
    """Return why a peer cannot run here and what to do about it, or None."""
    return missing_libraries(peer.title, peer.libraries, f"pip install 'midas-bench[{peer.extra}]'")


def load(name: str, config: Resolved) -> PeerPipeline:
    """Open the peer of a name, with weights, threads and cache of a configuration.

    Raises:
        UserError: the cache cannot be written, or making a graph failed.
    """
    module = importlib.import_module(MODULES + PEERS[name].module)
    opened: PeerPipeline = module.load(config.weights, config.threads, Path(config.cache_dir))
    return opened


@contextmanager
def calls(photos: Sequence[bytes], peer: str, **config: Any) -> Iterator[dict[str, Callable[[], object]]]:
    """Yield the calls of a peer on one photo, for a worker: `pipeline` gives the heat map, `depth` the depth.

    Args:
        photos: one encoded photo.
        peer: its name.
        config: fields of `PipelineConfig`.

    Raises:
        UserError: the peer cannot be opened.
    """
    [photo] = photos
    pipeline = load(peer, resolve(PipelineConfig(**config)))
    yield {"pipeline": partial(pipeline, photo), "depth": lambda: pipeline(photo).depth}
