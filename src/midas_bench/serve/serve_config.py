"""The settings of a server."""

from __future__ import annotations

from dataclasses import dataclass, field

from midas_bench.depth.config import PipelineConfig
from midas_bench.errors import missing_libraries
from midas_bench.scene_photos import Photo
from midas_bench.web.device_files import MAX_PIXELS, DeviceFiles

LIBRARIES = ("flask", "cheroot", "prometheus_client")
MIB = 1 << 20


@dataclass(frozen=True)
class ServeConfig:
    """Everything that decides how a server answers.

    Attributes:
        pipeline: of the depth; `auto` weights are located once, when the application is created.
        queue_size: accepted photos that may wait for a worker; more are refused.
        workers: photos in work at a time; None takes two, or as many as the cores have room for inferences.
        batch: photos that one call of the network may take together; with 1, a worker never waits for others.
        batch_wait_s: how long a worker waits for a second photo before it starts with what it has.
        deadline_s: how long a photo may wait and be worked on, from its arrival, before it is refused.
        max_upload_bytes: of a request's body.
        max_pixels: of a photo; the pipeline's own limit holds too.
        samples: photos that the page offers to try.
        device: what visitors' browsers need to compute themselves; None where the page does not offer it.
    """

    pipeline: PipelineConfig = field(default_factory=lambda: PipelineConfig(threads=1))
    queue_size: int = 16
    workers: int | None = None
    batch: int = 1
    batch_wait_s: float = 0.003
    deadline_s: float = 10.0
    max_upload_bytes: int = 20 * MIB
    max_pixels: int = MAX_PIXELS
    samples: tuple[Photo, ...] = ()
    device: DeviceFiles | None = None


def check_installed() -> None:
    """Check that the server's libraries are installed, without importing them.

    Raises:
        UserError: one is not installed.
    """
    absent = missing_libraries("midas-bench serve", LIBRARIES, "pip install 'midas-bench[web]'")
    if absent:
        raise absent
