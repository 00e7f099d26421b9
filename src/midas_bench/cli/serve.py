"""`midas-bench serve`: the web page and the API, until a signal stops it."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from dataclasses import replace
from functools import partial
from typing import NoReturn

from midas_bench import scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.cli.depth import resolve_and_prepare
from midas_bench.cli.main import EXIT_INTERRUPTED, warn
from midas_bench.depth.config import Resolved, cache_folder
from midas_bench.errors import UserError, printable
from midas_bench.options import MODEL_FLAGS, SINGLE, add_to_parser, one_thread_count, pipeline_config
from midas_bench.scene_photos import Photo
from midas_bench.serve.serve_config import MIB, ServeConfig, check_installed
from midas_bench.web import assets
from midas_bench.web.device_files import DeviceFiles
from midas_bench.web.device_graphs import open_device_files

DEFAULTS = ServeConfig()
MAX_PORT = 65_535
UPPER_LIMITS = {"workers": 64, "queue": 256, "batch": 8, "deadline": 3600, "max_upload": 1024}
"""Of each flag, in its unit: each photo that waits or is in work takes a thread and a photo's memory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="port, or 0 for a free one (default: 8000)")
    flags = ("--backend", "--weights", *MODEL_FLAGS, "--threads", "--photos")
    add_to_parser(
        parser, flags, SINGLE | {"--threads": "threads for one photo, of the runtime and of OpenCV (default: 1)"}
    )
    parser.add_argument("--workers", type=int, metavar="N", help="photos in work at a time (default: by the cores)")
    for flag, kind, default, metavar, meaning in (
        ("--queue", int, DEFAULTS.queue_size, "N", "photos that may wait"),
        ("--batch", int, DEFAULTS.batch, "N", "photos that the network may take together"),
        ("--deadline", float, DEFAULTS.deadline_s, "SECONDS", "longest time from a photo's arrival to its answer"),
        ("--max-upload", float, DEFAULTS.max_upload_bytes / MIB, "MIB", "largest request, in MiB"),
    ):
        help_text = f"{meaning} (default: {default:g})"
        parser.add_argument(flag, type=kind, default=default, metavar=metavar, help=help_text)
    parser.add_argument(
        "--on-device", choices=("yes", "no"),
        help="let the page compute in visitors' browsers, which get the model's file (default: yes with the project's "
        "weights, if midas-bench web-assets has fetched what that takes)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, and finish what was accepted."""
    check_installed()
    from midas_bench.serve.server import DepthServer

    _check_limits(arguments)
    # bad input ends the command before weights are downloaded
    if arguments.on_device == "yes":
        assets.require(cache_folder(os.environ))
    samples = _samples(arguments.photos)
    resolved = resolve_and_prepare(pipeline_config(arguments, threads=one_thread_count(arguments.threads) or 1))
    config = ServeConfig(
        pipeline=resolved,
        queue_size=arguments.queue,
        workers=arguments.workers,
        batch=arguments.batch,
        deadline_s=arguments.deadline,
        max_upload_bytes=int(arguments.max_upload * MIB),
        samples=samples,
        device=_device_files(arguments.on_device, resolved),
    )
    server = DepthServer(config, arguments.host, arguments.port)
    server.stop_on_signals()
    try:
        ended = server.run(ready=lambda: print(f"{server.url} is ready; Ctrl-C ends it", flush=True))
    # at the second Ctrl-C
    except KeyboardInterrupt:
        print("midas-bench: interrupted", file=sys.stderr)
        _exit_at_once(EXIT_INTERRUPTED)
    if not ended:
        _exit_at_once(0)
    return 0


def _exit_at_once(code: int) -> NoReturn:
    """Exit without Python's finalization, which aborts the process while a thread is inside the model's C++."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _check_limits(arguments: argparse.Namespace) -> None:
    # the system takes a larger number modulo 65536
    if not 0 <= arguments.port <= MAX_PORT:
        raise UserError(f"--port {arguments.port}", "is no port", f"give 1 to {MAX_PORT}, or 0 for a free one")
    for flag in ("workers", "queue", "batch"):
        number = getattr(arguments, flag)
        if number is not None and not 1 <= number <= UPPER_LIMITS[flag]:
            raise UserError(f"--{flag} {number}", "is out of range", f"give 1 to {UPPER_LIMITS[flag]}")
    for flag in ("deadline", "max_upload"):
        value = getattr(arguments, flag)
        if not 0 < value <= UPPER_LIMITS[flag]:
            thing = f"--{flag.replace('_', '-')} {value:g}"
            raise UserError(thing, "is out of range", f"give a number above 0, up to {UPPER_LIMITS[flag]}")


def _device_files(wish: str | None, pipeline: Resolved) -> DeviceFiles | None:
    """Return what browsers need to compute themselves; without a wish, none where something is in the way."""
    # whoever visits the page can keep the model's file, which an operator may not want of a model of their own
    if wish == "no" or (wish is None and pipeline.weights.source not in ("official", "seeded")):
        return None
    try:
        return open_device_files(pipeline, DEFAULTS.max_pixels, partial(print, flush=True))
    except UserError as error:
        if wish == "yes":
            raise
        print(f"the page does not compute in browsers: {error}", flush=True)
        return None


def _samples(folder: str | None) -> tuple[Photo, ...]:
    """Return the first photo of each scene, of the user's folder or else of the suite's photos."""
    photos = scene_photos.chosen(folder, suite_photos(), warn)
    # page and URLs are UTF-8, and a file's name may not be
    samples = {
        name: replace(photo, file=name)
        for photo in scene_photos.first_per_scene(photos)
        if (name := printable(photo.file))
    }
    return tuple(samples.values())
