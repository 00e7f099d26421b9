"""`midas-bench accuracy`: estimated depth against the true depth of the rendered photos, for each backend."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midas_bench import scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.depth.backends import registry
from midas_bench.depth.config import PipelineConfig, Resolved, resolve
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.errors import UserError
from midas_bench.measure.accuracy import compare
from midas_bench.options import ONE_COUNT, add_to_parser, at_most_one, split, thread_counts
from midas_bench.scene_photos import Photo

EXIT_CANNOT_JUDGE = 3
CANNOT_JUDGE = "seeded (random) weights: these figures do not measure depth, so there is no verdict"
ALIGNED = "Estimates are aligned by scale and shift. A smaller AbsRel is better, and larger values of the others."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_to_parser(parser, ("--backend", "--weights", "--threads"), {"--threads": ONE_COUNT})
    parser.add_argument(
        "--manifest",
        type=Path,
        help="list of photos with depth (default: the suite's own)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print AbsRel, delta and Spearman for each photo and backend; 3 if the weights cannot be judged."""
    manifest = arguments.manifest or suite_photos()
    all_photos = scene_photos.all_photos(scene_photos.from_manifest(manifest))
    photos = [photo for photo in all_photos if photo.depth]
    if not photos:
        raise UserError(manifest, "names no photo with true depth", "add depth and depth_scale to a row")
    backends = registry.select(split(arguments.backend) or ["all"])
    threads = at_most_one("--threads", thread_counts(arguments.threads))
    # calibrated on all photos, as by the other commands, so that the graph is the one that is deployed
    config = resolve(
        PipelineConfig(backends[0], threads, arguments.weights, calibration=scene_photos.paths(all_photos))
    )
    rows = [row for backend in backends for row in _rows(backend, config, photos)]
    seeded = config.weights.source == "seeded"
    if arguments.json:
        print(json.dumps({"judged": not seeded, "rows": rows}, indent=2))
    else:
        print(f"{'backend':<14}{'photo':<20}{'AbsRel':>8}{'d<1.25':>9}{'Spearman':>10}")
        for row in rows:
            figures = f"{row['abs_rel']:>8.3f}{row['delta_125']:>9.1%}{row['spearman']:>10.3f}"
            print(f"{row['backend']:<14}{row['file']:<20}{figures}")
        print()
        print(CANNOT_JUDGE if seeded else ALIGNED)
    return EXIT_CANNOT_JUDGE if seeded else 0


def _rows(backend: str, config: Resolved, photos: list[Photo]) -> list[dict[str, Any]]:
    rows = []
    with DepthPipeline.open(config=replace(config, backend=backend)) as pipeline:
        for photo in photos:
            depth = pipeline.run([photo.data]).depth[0]
            truth = photo.true_inverse_depth()
            estimate = cv2.resize(depth, truth.shape[::-1], interpolation=cv2.INTER_CUBIC)
            rows.append({"backend": backend, "file": photo.file, **asdict(compare(np.asarray(estimate), truth))})
    return rows
