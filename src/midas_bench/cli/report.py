"""`midas-bench report [FILE_OR_FOLDER ...]`: tables, charts and one page from saved runs."""

from __future__ import annotations

import argparse
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from midas_bench.cli.prices import add_price_argument, read_prices
from midas_bench.errors import UserError, printable
from midas_bench.options import add_to_parser
from midas_bench.results import run_files
from midas_bench.results.price import Prices

QUIET_FOR_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    default = f"the newest complete run in {run_files.STORAGE}"
    parser.add_argument(
        "places",
        nargs="*",
        type=Path,
        metavar="FILE_OR_FOLDER",
        help=f"saved runs of pytest-benchmark; several are compared with the first (default: {default})",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("reports/latest"),
        metavar="FOLDER",
        help="folder for the report (default: reports/latest)",
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME",
        help="name of a side, one for each file or folder; the same name joins them to one side",
    )
    add_to_parser(parser, ("--photos",))
    parser.add_argument(
        "--machines",
        action="store_true",
        help="compare kinds of machine instead: a row for each, by its newest complete run; any number of files",
    )
    add_price_argument(parser)
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def run(arguments: argparse.Namespace) -> int:
    """Write the report; print its recommendations and its path."""
    prices = read_prices(arguments.price_per_hour)
    if arguments.machines and arguments.photos:
        raise UserError("--photos", "has no place in a report over machines, which shows no pictures", "leave it out")
    with progress_bar() as progress:
        progress("starting")
        lines, page = (_of_machines if arguments.machines else _of_a_run)(arguments, prices, progress)
    for line in lines:
        print(line)
    print(f"{printable(page)} ({page.stat().st_size / 1024:.0f} KiB), report.md, CSV and charts beside it")
    if arguments.open and not webbrowser.open(page.resolve().as_uri()):
        print("no browser to open it with", file=sys.stderr)
    return 0


# imported below the bar: pandas, matplotlib and scipy take a second
def _of_a_run(
    arguments: argparse.Namespace, prices: Prices, progress: Callable[[str], None]
) -> tuple[Sequence[str], Path]:
    from midas_bench.report.photo_strip import album, own_album
    from midas_bench.report.select_runs import choose, with_price
    from midas_bench.report.write import write

    photos = album(Path(arguments.photos)) if arguments.photos else own_album()
    data = with_price(choose(arguments.places, arguments.label, photos, progress), prices)
    return data.answer_lines, write(data, arguments.output, progress)


def _of_machines(
    arguments: argparse.Namespace, prices: Prices, progress: Callable[[str], None]
) -> tuple[Sequence[str], Path]:
    from midas_bench.report.machines import write_machines

    data, page = write_machines(arguments.places, arguments.output, arguments.label, prices, progress)
    return data.lines, page


@contextmanager
def progress_bar() -> Iterator[Callable[[str], None]]:
    """Yield `progress(message)`; after one second, a bar appears where standard error is a terminal."""
    console = Console(stderr=True)
    bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(), console=console, transient=True)
    task = bar.add_task("", total=None)
    start_s = time.monotonic()
    started = False

    def progress(message: str) -> None:
        nonlocal started
        if not started and console.is_terminal and time.monotonic() - start_s > QUIET_FOR_S:
            bar.start()
            started = True
        bar.update(task, description=message, advance=1)

    try:
        yield progress
    finally:
        if started:
            bar.stop()
