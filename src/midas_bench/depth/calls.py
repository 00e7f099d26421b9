"""The stages by name, as calls without arguments: the door through which a gate drives any revision.

The signature is frozen: older and newer trees are driven through it by one harness.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any

from midas_bench.cpu import allowed_cores
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.stages import STAGES, StagedBatch

PHOTOS_PER_WORKER = 6
"""Of a long stream: enough for the first and the last, which have the cores to themselves, to count little."""


@contextmanager
def calls(photos: Sequence[bytes], **config: Any) -> Iterator[dict[str, Callable[[], object]]]:
    """Open a pipeline and yield calls on these photos; close it afterwards.

    They are `pipeline`, each stage, `stream`, and `long_stream`, which repeats the photos and keeps no heat map.

    Args:
        photos: encoded photos, the batch of every call.
        config: fields of `PipelineConfig`.

    Raises:
        UserError: the configuration or a photo is not usable.
    """
    with DepthPipeline.open(**config) as pipeline:
        # the network alone, without the pipeline's check of what it gives
        stages = StagedBatch(pipeline.recipe, pipeline.backend, photos).timed()
        yield {
            "pipeline": lambda: pipeline(photos),
            **{stage: getattr(stages, stage) for stage in STAGES},
            "stream": lambda: list(pipeline.map(photos)),
            "long_stream": lambda: long_stream(pipeline, photos),
        }


def long_stream(pipeline: DepthPipeline, photos: Sequence[bytes]) -> None:
    """Stream the photos, again and again until it is long; each heat map is dropped when it is there."""
    count = long_stream_photos(pipeline.config.threads)
    deque(pipeline.map(islice(cycle(photos), count)), maxlen=0)


def long_stream_photos(threads: int) -> int:
    """Return how many photos a long stream has where each photo takes so many threads."""
    return PHOTOS_PER_WORKER * max(2, allowed_cores() // threads)
