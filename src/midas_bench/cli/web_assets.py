"""`midas-bench web-assets`: fetch what runs in a browser, once."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from midas_bench.cli.main import warn
from midas_bench.depth.config import cache_folder
from midas_bench.errors import printable
from midas_bench.web import assets, npm_packages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--from", dest="places", nargs="+", type=Path, metavar="FILE",
        help="tarballs of npm pack from elsewhere, or a folder of them, in place of npm",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Fetch the files unless they are there, and say where they are."""
    cache_dir = cache_folder(os.environ)
    path = assets.take(cache_dir, arguments.places, warn) if arguments.places else assets.fetch(cache_dir, warn)
    sizes_bytes = [file.size_bytes for file in npm_packages.FILES]
    files = f"{len(sizes_bytes)} files, {sum(sizes_bytes) / 1e6:.3g} MB"
    print(f"{printable(path)}: {files}; {assets.LICENCES} there lists their licences")
    return 0
