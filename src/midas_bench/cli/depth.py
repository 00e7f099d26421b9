"""`midas-bench depth PHOTO -o OUT.png`: one heat map, and where the time went."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from midas_bench.depth.backends import registry
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.photo import inspect
from midas_bench.depth.pipeline import STAGES, DepthPipeline
from midas_bench.depth.weights import TIMING_ONLY
from midas_bench.errors import UserError
from midas_bench.files import written_atomically
from midas_bench.options import add_to_parser, at_most_one, split, thread_counts

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("photo", type=Path, metavar="PHOTO", help="JPEG, PNG or WebP")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="heat map: .png, .jpg or .webp")
    add_to_parser(parser, ("--backend", "--weights", "--threads"))


def run(arguments: argparse.Namespace) -> int:
    """Write the heat map and print the stage times of a second, warm call."""
    output: Path = arguments.output
    if output.suffix.lower() not in FORMATS:
        raise UserError(output, "has a suffix that no writer is known for", f"use one of {', '.join(FORMATS)}")
    backend = at_most_one("--backend", split(arguments.backend)) or "onnx"
    threads = at_most_one("--threads", thread_counts(arguments.threads))
    try:
        data = arguments.photo.read_bytes()
    except OSError as error:
        raise UserError(arguments.photo, f"cannot be read ({error.strerror})", "check the path") from error
    inspect(data, str(arguments.photo))  # before the network is loaded or anything is fetched
    config = resolve(PipelineConfig(backend, threads, arguments.weights))
    if config.weights.source == "seeded":
        print(TIMING_ONLY)
    if not registry.is_prepared(config.backend, config.weights, Path(config.cache_dir)):
        print(f"making the graph for {config.backend}: once, up to half a minute", flush=True)
    with DepthPipeline.open(config=config) as pipeline:
        first = pipeline.run([data])
        warm = pipeline.run([data])
    with written_atomically(output) as temporary:
        try:
            Image.fromarray(first.heatmaps[0]).save(temporary, format=FORMATS[output.suffix.lower()])
        except ValueError as error:  # WebP ends at 16383 pixels a side
            raise UserError(output, f"cannot hold the heat map ({error})", "use .png") from error
    height, width, _ = first.heatmaps[0].shape
    print(f"{output}: {width}x{height}, {config.backend}, {config.threads} threads")
    for stage in STAGES:
        print(f"  {stage:<12}{warm.stage_s[stage] * 1000:8.1f} ms")
    together_ms, first_ms = (sum(prediction.stage_s.values()) * 1000 for prediction in (warm, first))
    print(f"  {'together':<12}{together_ms:8.1f} ms (first call {first_ms:.1f} ms)")
    return 0
