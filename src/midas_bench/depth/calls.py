"""The stages by name, as calls without arguments: the door through which a gate drives any revision.

The signature is frozen: older and newer trees are driven through it by one harness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from midas_bench.depth.pipeline import DepthPipeline


@contextmanager
def calls(photos: Sequence[bytes], **config: Any) -> Iterator[dict[str, Callable[[], object]]]:
    """Open a pipeline and yield `pipeline`, each stage and `stream` as a call on these photos; close it afterwards.

    Args:
        photos: encoded photos, the batch of every call.
        config: fields of `PipelineConfig`.

    Raises:
        UserError: the configuration or a photo is not usable.
    """
    with DepthPipeline.open(**config) as pipeline:
        at = pipeline.stations
        decoded = [at.decode(data) for data in photos]
        batch = at.preprocess(decoded)
        depth = pipeline.backend(batch)
        sizes = [(image.width, image.height) for image in decoded]
        yield {
            "pipeline": lambda: pipeline(photos),
            "decode": lambda: [at.decode(data) for data in photos],
            "preprocess": lambda: at.preprocess(decoded),
            "inference": lambda: pipeline.backend(batch),
            "heatmap": lambda: [at.heatmap(one, *size) for one, size in zip(depth, sizes, strict=True)],
            "stream": lambda: list(pipeline.map(photos)),
        }
