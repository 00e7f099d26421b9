"""`midas-bench export RUN.json ...`: the figures of saved runs, for other projects' trackers."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from midas_bench.cli.main import warn
from midas_bench.errors import UserError
from midas_bench.files import write_whole
from midas_bench.report.exports import FORMATS
from midas_bench.results.run_files import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN.json", help="saved runs of pytest-benchmark")
    parser.add_argument(
        "--format", required=True, choices=FORMATS, help="whose format; only openmetrics takes several runs of a cell"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="file to write (default: standard output)")


def run(arguments: argparse.Namespace) -> int:
    """Write the figures of the runs; tell which of these are partial."""
    runs = [read(path) for path in arguments.runs]
    output: Path | None = arguments.output
    # usually the output does not exist yet
    with suppress(OSError):
        if output and any(output.samefile(path) for path in arguments.runs):
            raise UserError(output, "is one of the runs", "choose another file with -o")
    text = FORMATS[arguments.format](runs)
    for partial in (saved for saved in runs if saved.status == "partial"):
        warn(f"{partial.file}: is partial, and lacks {len(partial.unmeasured)} of its planned cells")
    if output:
        write_whole(output, text.encode())
    else:
        # the readers want UTF-8 and plain line ends, whatever the terminal has
        sys.stdout.buffer.write(text.encode())
    return 0
