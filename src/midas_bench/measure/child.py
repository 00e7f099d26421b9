"""What is asked of fresh processes; run as `python -m midas_bench.measure.child`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from midas_bench.depth.config import PipelineConfig
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.processes import Reply, answer


def reference(request: Reply) -> Reply:
    """Compute the depth of each photo by itself and save it: `photos` and `outputs` are paths of equal number."""
    with DepthPipeline.open(config=PipelineConfig.from_json(request["config"])) as pipeline:
        for photo, output in zip(request["photos"], request["outputs"], strict=True):
            depth = pipeline.run([Path(photo).read_bytes()]).depth[0]
            with Path(output).open("wb") as file:
                np.save(file, depth)
    return {}


TASKS: dict[str, Callable[[Reply], Reply]] = {"reference": reference}


def handle(request: Reply) -> Reply:
    """Do the task that the request names."""
    return TASKS[request.pop("task")](request)


if __name__ == "__main__":
    sys.exit(answer(handle))
