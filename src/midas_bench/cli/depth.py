"""`midas-bench depth PHOTO -o OUT.png`: one heat map, and where the time went; or a folder of them."""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from midas_bench.cli import depth_folder
from midas_bench.depth.config import PipelineConfig, Resolved, make_graph, resolve
from midas_bench.depth.photo import read
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.depth.recipe import find_recipe
from midas_bench.depth.stages import STAGES
from midas_bench.depth.weights import TIMING_ONLY
from midas_bench.errors import UserError, printable
from midas_bench.files import written_atomically
from midas_bench.options import SINGLE, add_to_parser, at_most_one, split, thread_counts

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

FOLDER_PNG_LEVEL = 1
"""zlib's fastest: at its usual level, writing a heat map takes longer than making it, for a fifth fewer bytes."""


PHOTO_HELP = "JPEG, PNG or WebP, or a folder of them, whose photos stand side by side on 1 thread each by default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("photo", type=Path, metavar="PHOTO", help=PHOTO_HELP)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="heat map (.png, .jpg or .webp), or a folder"
    )
    parser.add_argument("--format", choices=("png", "jpg", "webp"), help="of the heat maps of a folder (default: png)")
    add_to_parser(parser, ("--backend", "--weights", "--model", "--threads"), SINGLE)


def run(arguments: argparse.Namespace) -> int:
    """Write the heat map and print the stage times of a second, warm call; or write those of a folder."""
    backend = at_most_one("--backend", split(arguments.backend)) or "onnx"
    threads = at_most_one("--threads", thread_counts(arguments.threads))
    config = PipelineConfig(backend, threads, arguments.weights, model=arguments.model)
    if arguments.photo.is_dir():
        return _run_folder(arguments.photo, arguments.output, f".{arguments.format or 'png'}", config)
    if arguments.format:
        raise UserError("--format", f"is for a folder, and {arguments.photo} is none", "let the suffix of OUT say it")
    return _run_photo(arguments.photo, arguments.output, config)


def _run_photo(photo: Path, output: Path, config: PipelineConfig) -> int:
    if output.suffix.lower() not in FORMATS:
        raise UserError(output, "has a suffix that no writer is known for", f"use one of {', '.join(FORMATS)}")
    data = read(photo)
    with suppress(OSError):  # most often there is no such file yet
        if output.samefile(photo):
            raise UserError(output, "is the photo itself", "choose another name for the heat map")
    find_recipe(config.recipe).decode(data, str(photo))  # before the network is loaded or anything is fetched
    resolved = prepared(config)
    with DepthPipeline.open(config=resolved) as pipeline:
        first = pipeline.run([data])
        warm = pipeline.run([data])
    save(first.heatmaps[0], output)
    height, width, _ = first.heatmaps[0].shape
    print(f"{printable(output)}: {width}x{height}, {resolved.backend}, {resolved.threads} threads")
    for stage in STAGES:
        print(f"  {stage:<12}{warm.stage_s[stage] * 1000:8.1f} ms")
    together_ms, first_ms = (sum(prediction.stage_s.values()) * 1000 for prediction in (warm, first))
    print(f"  {'together':<12}{together_ms:8.1f} ms (first call {first_ms:.1f} ms)")
    return 0


def _run_folder(folder: Path, output: Path, suffix: str, config: PipelineConfig) -> int:
    if output.suffix.lower() in FORMATS:
        raise UserError(output, f"names one heat map, but {folder} is a folder", "name a folder for the heat maps")
    tasks = depth_folder.tasks(folder, output, suffix)
    side_by_side = config if config.threads else replace(config, threads=1)  # most photos a second: see DepthPipeline
    quickly = partial(save, png_level=FOLDER_PNG_LEVEL)
    return depth_folder.run(tasks, output, prepared(side_by_side), quickly)


def prepared(config: PipelineConfig) -> Resolved:
    """Resolve the configuration, and say what takes long or means nothing."""
    resolved = resolve(config)
    if resolved.weights.source == "seeded":
        print(TIMING_ONLY)
    make_graph(resolved, partial(print, flush=True))
    return resolved


def save(heatmap: NDArray[np.uint8], output: Path, png_level: int = 6) -> None:
    """Write uint8 RGB (H, W, 3) in the format that the suffix names, whole or not at all.

    `png_level` is zlib's, 6 being Pillow's own default; other formats do without.

    Raises:
        UserError: the format cannot hold it, or (with an OSError as cause) it cannot be written.
    """
    with written_atomically(output) as temporary:
        try:
            Image.fromarray(heatmap).save(temporary, format=FORMATS[output.suffix.lower()], compress_level=png_level)
        except ValueError as error:  # WebP ends at 16383 pixels a side
            raise UserError(output, f"cannot hold the heat map ({error})", "use .png") from error
