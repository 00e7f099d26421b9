"""`midas-bench web-assets`: fetch what runs in a browser, once; or write all that a site of one's own needs."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

from midas_bench.cli.depth import resolve_and_prepare
from midas_bench.cli.main import warn
from midas_bench.depth.config import cache_folder
from midas_bench.errors import UserError, printable
from midas_bench.files import check_writable
from midas_bench.options import MODEL_FLAGS, add_to_parser, model_settings, pipeline_config
from midas_bench.web import assets, npm_packages
from midas_bench.web.device_files import MAX_PIXELS, SETTINGS
from midas_bench.web.device_graphs import open_device_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--from", dest="places", nargs="+", type=Path, metavar="FILE",
        help="tarballs of npm pack from elsewhere, or a folder of them, in place of npm",
    )  # fmt: skip
    parser.add_argument(
        "--site", type=Path, metavar="FOLDER",
        help="write scripts, runtime and graphs to a folder of your own site; the flags below choose the network",
    )  # fmt: skip
    add_to_parser(parser, ("--weights", *MODEL_FLAGS))


def run(arguments: argparse.Namespace) -> int:
    """Fetch the files unless they are there, and say where they are; write those of a site."""
    if arguments.site is None and (arguments.model or arguments.weights != "auto" or model_settings(arguments)):
        raise UserError("flags of the network", "choose what --site writes, which is not given", "add --site FOLDER")
    if arguments.site is not None:
        # before anything is fetched or made
        check_writable(arguments.site / SETTINGS, "--site")
    cache_dir = cache_folder(os.environ)
    path = assets.take(cache_dir, arguments.places, warn) if arguments.places else assets.fetch(cache_dir, warn)
    sizes_bytes = [file.size_bytes for file in npm_packages.FILES]
    files = f"{len(sizes_bytes)} files, {sum(sizes_bytes) / 1e6:.3g} MB"
    print(f"{printable(path)}: {files}; {assets.LICENCES} there lists their licences")
    if arguments.site is not None:
        _write_site(arguments)
    return 0


def _write_site(arguments: argparse.Namespace) -> None:
    config = resolve_and_prepare(pipeline_config(arguments, backend="onnx", threads=1))
    files = open_device_files(config, MAX_PIXELS, partial(print, flush=True))
    size_bytes = files.export(arguments.site)
    print(f"{printable(arguments.site)}: {size_bytes / 1e6:.3g} MB; a page loads depth-worker.js from there")
