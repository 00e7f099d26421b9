"""`midas-bench depth PHOTO -o OUT.png`: one heat map and the time of each stage, or a folder of heat maps."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from midas_bench.cli import depth_folder
from midas_bench.cli.main import warn
from midas_bench.depth.config import PipelineConfig, Resolved, make_graph, resolve
from midas_bench.depth.photo import read
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.recipe import find_recipe
from midas_bench.depth.stages import STAGES
from midas_bench.depth.weights import TIMING_ONLY
from midas_bench.errors import UserError, printable
from midas_bench.heatmap_files import FORMATS, has_palette, save, tasks
from midas_bench.options import MODEL_FLAGS, SINGLE, add_to_parser, pipeline_config

NOT_TIMED = "reading the photo and writing the heat map"

PHOTO_HELP = (
    "JPEG, PNG or WebP, or a folder of them; - reads a photo from standard input; "
    "a folder's photos run in parallel, by default with 1 thread each"
)
STANDARD_INPUT = Path("-")
RAY_HELP = (
    "make a folder's heat maps on all machines of a Ray cluster; PHOTO may then be a pattern, or s3://bucket/photos"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("photo", type=_place, metavar="PHOTO", help=PHOTO_HELP)
    parser.add_argument(
        "-o", "--output", type=_place, required=True, metavar="OUT", help="heat map (.png, .jpg or .webp), or a folder"
    )
    parser.add_argument(
        "--format", choices=("png", "jpg", "webp"), help="format of a folder's heat maps (default: png)"
    )
    add_to_parser(parser, ("--backend", "--weights", *MODEL_FLAGS, "--threads"), SINGLE)
    parser.add_argument("--ray", action="store_true", help=RAY_HELP)


def _place(text: str) -> Path | str:
    """Return a path, or an address as it is: a path would drop one of its slashes."""
    return text if "://" in text else Path(text)


def run(arguments: argparse.Namespace) -> int:
    """Write the heat map and print the stage times of a second, warm call, or write a folder's heat maps."""
    config = pipeline_config(arguments)
    photo, output = arguments.photo, arguments.output
    suffix = f".{arguments.format or 'png'}"
    if arguments.ray:
        return _run_ray(photo, output, suffix, config)
    for place in (photo, output):
        if isinstance(place, str):
            raise UserError(place, "is an address, which only --ray reads and writes", "add --ray, or name a path")
    if photo.is_dir():
        return _run_folder(photo, output, suffix, config)
    if arguments.format:
        raise UserError("--format", f"is for a folder, and {photo} is none", "choose the format by the suffix of OUT")
    return _run_photo(photo, output, config)


def _run_photo(photo: Path, output: Path, config: PipelineConfig) -> int:
    if output.suffix.lower() not in FORMATS:
        raise UserError(output, "has a suffix of no known format", f"use one of {', '.join(FORMATS)}")
    piped = photo == STANDARD_INPUT
    # a process may have none
    data = sys.stdin.buffer.read() if piped and sys.stdin else read(photo)
    # usually the output does not exist yet
    with suppress(OSError):
        if output.samefile(photo):
            raise UserError(output, "is the photo itself", "choose another name for the heat map")
    # a bad photo ends the command before weights are downloaded or the network is loaded
    find_recipe(config.recipe).decode(data, "standard input" if piped else str(photo))
    resolved = resolve_and_prepare(config)
    with DepthPipeline.open(config=resolved) as pipeline:
        first, warm = (pipeline.run([data], palette=has_palette(output)) for _ in range(2))
    start_s = time.perf_counter()
    save(first.heatmaps[0], output)
    write_s = time.perf_counter() - start_s
    height, width = first.heatmaps[0].shape[:2]
    print(f"{printable(output)}: {width}x{height}, {resolved.backend}, {resolved.threads} threads")
    for stage in STAGES:
        print(f"  {stage:<12}{warm.stage_s[stage] * 1000:8.1f} ms")
    sum_ms, first_ms = (sum(prediction.stage_s.values()) * 1000 for prediction in (warm, first))
    print(f"  {'all stages':<12}{sum_ms:8.1f} ms (first call {first_ms:.1f} ms), without {NOT_TIMED}")
    print(f"  {'write':<12}{write_s * 1000:8.1f} ms")
    return 0


def _run_folder(folder: Path, output: Path, suffix: str, config: PipelineConfig) -> int:
    _check_folder(folder, output)
    planned = tasks(folder, output, suffix, warn)
    return depth_folder.run(planned, output, resolve_and_prepare(one_thread_each(config)))


def _run_ray(photos: Path | str, output: Path | str, suffix: str, config: PipelineConfig) -> int:
    # it needs what only the extra installs
    from midas_bench.cli import depth_ray
    from midas_bench.fleet.ray_extra import require_ray

    require_ray("midas-bench depth --ray")
    _check_folder(photos, output)
    planned = depth_ray.plan(photos, output, suffix)
    return depth_ray.run(planned, output, resolve_and_prepare(one_thread_each(config)))


def _check_folder(photos: Path | str, output: Path | str) -> None:
    if Path(output).suffix.lower() in FORMATS:
        raise UserError(output, f"names one heat map, but {photos} is a folder", "name a folder for the heat maps")


def one_thread_each(config: PipelineConfig) -> PipelineConfig:
    """Give each photo one thread unless the user chose: most photos per second, see `DepthPipeline.map`."""
    return config if config.threads else replace(config, threads=1)


def resolve_and_prepare(config: PipelineConfig) -> Resolved:
    """Resolve the configuration and make its graph; print what takes long, and a warning for seeded weights."""
    resolved = resolve(config)
    if resolved.weights.source == "seeded":
        print(TIMING_ONLY)
    make_graph(resolved, partial(print, flush=True))
    return resolved
