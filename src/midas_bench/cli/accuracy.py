"""`midas-bench accuracy`: estimated depth against the true depth of the rendered photos, for each backend."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from midas_bench import scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.cli.accuracy_inputs import BUDGET_S, EXIT_CANNOT_JUDGE, FOLDER, chosen_backends, configured
from midas_bench.depth.config import Resolved
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.errors import UserError
from midas_bench.measure.accuracy import against_truth
from midas_bench.options import MODEL_FLAGS, ONE_COUNT, OPTIONS, add_to_parser
from midas_bench.scene_photos import Photo

CANNOT_JUDGE = "seeded (random) weights: these figures do not measure depth, so there is no verdict"
ALIGNED = "Estimates are aligned by scale and shift. A smaller AbsRel is better, and larger values of the others."

BESIDE_A_TEACHER = {
    "--photos": "are photos without true depth, which a teacher's depth stands for",
    "--no-timing": "is for a comparison with a teacher",
    "--budget": "is for a comparison with a teacher",
    "--output": "is for a comparison with a teacher",
}
"""Flags that have no use without a teacher, and why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_to_parser(parser, ("--backend", "--weights"))
    several = f"{OPTIONS['--model'].help}; several by repeating the flag"
    parser.add_argument("--model", action="append", metavar="FILE", help=several)
    settings = [flag for flag in MODEL_FLAGS if flag != "--model"]
    add_to_parser(parser, (*settings, "--threads"), {"--threads": ONE_COUNT})
    parser.add_argument(
        "--manifest",
        type=Path,
        help="list of photos with depth (default: the suite's own)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    teacher = parser.add_argument_group(
        "beside a teacher", "compare with another network's depth, in speed and size too"
    )
    teacher.add_argument(
        "--teacher",
        metavar="TEACHER",
        help="official, seeded, the path of a checkpoint, or an ONNX file, whose settings are read beside it",
    )
    add_to_parser(teacher, ("--photos",))
    teacher.add_argument("--no-timing", action="store_true", default=None, help="leave out time and memory")
    teacher.add_argument("--budget", metavar="TIME", help=f"time for timing, as 60s or 5min (default: {BUDGET_S:g}s)")
    teacher.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help=f"folder for the report (default: {FOLDER})"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print AbsRel, delta and Spearman for each photo and backend; 3 if the weights cannot be judged."""
    if arguments.teacher is not None:
        # it imports the machinery of timing, and the report's
        from midas_bench.cli.accuracy_teacher import run_with_teacher

        return run_with_teacher(arguments)
    for flag in BESIDE_A_TEACHER:
        if getattr(arguments, flag.removeprefix("--").replace("-", "_")) is not None:
            raise UserError(flag, BESIDE_A_TEACHER[flag], "name the teacher by --teacher")
    manifest = arguments.manifest or suite_photos()
    all_photos = scene_photos.all_photos(scene_photos.from_manifest(manifest))
    photos = [photo for photo in all_photos if photo.depth]
    if not photos:
        raise UserError(manifest, "names no photo with true depth", "add depth and depth_scale to a row")
    backends = chosen_backends(arguments)
    # calibrated on all photos, as by the other commands, so that the graph is the one that is deployed
    configs = configured(arguments, backends, scene_photos.paths(all_photos))
    rows = [
        ({"model": name} if arguments.model else {}) | row
        for name, config in configs.items()
        for backend in backends
        for row in _rows(replace(config, backend=backend), photos)
    ]
    seeded = any(config.weights.source == "seeded" for config in configs.values())
    if arguments.json:
        print(json.dumps({"judged": not seeded, "rows": rows}, indent=2))
    else:
        width = max(map(len, configs), default=0) + 2 if arguments.model else 0
        print(
            f"{'model' if width else '':<{width}}{'backend':<14}{'photo':<20}{'AbsRel':>8}{'d<1.25':>9}{'Spearman':>10}"
        )
        for row in rows:
            figures = f"{row['abs_rel']:>8.3f}{row['delta_125']:>9.1%}{row['spearman']:>10.3f}"
            print(f"{row.get('model', ''):<{width}}{row['backend']:<14}{row['file']:<20}{figures}")
        print()
        print(CANNOT_JUDGE if seeded else ALIGNED)
    return EXIT_CANNOT_JUDGE if seeded else 0


def _rows(config: Resolved, photos: Sequence[Photo]) -> list[dict[str, Any]]:
    rows = []
    with DepthPipeline.open(config=config) as pipeline:
        for photo in photos:
            depth = pipeline.run([photo.data]).depth[0]
            rows.append({"backend": config.backend, "file": photo.file, **asdict(against_truth(depth, photo))})
    return rows
