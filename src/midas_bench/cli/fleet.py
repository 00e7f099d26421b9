"""`midas-bench fleet run [pytest's arguments]`: the suite once on every machine of a Ray cluster, and one report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from midas_bench.cli.main import warn
from midas_bench.errors import UserError, printable
from midas_bench.fleet.fleet_run import Fleet, check_arguments, chosen, counted, find_nodes, is_resume, new_runs
from midas_bench.fleet.ray_extra import connected, require_ray
from midas_bench.fleet.runs import LOST, FleetFolder, FleetRun, problems

EXIT_FAILED_CELL = 1
EXIT_MISSING = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; `passed_on` takes those that are pytest's."""
    parser.usage = "midas-bench fleet run [--address ADDRESS] [--per {node,kind}] [-o FOLDER] [pytest's arguments]"
    parser.epilog = (
        "Run it on a machine of the cluster. Example: midas-bench fleet run --per kind --quick -k onnx. "
        "Add --resume to go on with what a folder's earlier runs lack."
    )
    # -p and others are pytest's
    parser.allow_abbrev = False
    parser.add_argument("action", choices=("run",), help="run the benchmarks once on every machine")
    parser.add_argument(
        "--address", default="auto", help="of the Ray cluster (default: RAY_ADDRESS, or the cluster that runs here)"
    )
    parser.add_argument(
        "--per", choices=("node", "kind"), default="node", help="machines to run on: all, or one of each kind"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("fleet"), metavar="FOLDER", help="for all files (default: fleet)"
    )
    parser.set_defaults(passed_on=[])


def run(arguments: argparse.Namespace) -> int:
    """Run the suite on the machines; return 0 if all is whole, 1 if a cell failed, 3 if something is missing."""
    require_ray("midas-bench fleet")
    check_arguments(arguments.passed_on)
    folder = FleetFolder(arguments.output)
    runs = _unfinished(folder, resume=any(map(is_resume, arguments.passed_on)))
    with connected(arguments.address):
        nodes = find_nodes(warn)
        print(counted(nodes))
        fleet = Fleet(runs or new_runs(chosen(nodes, arguments.per)), nodes, folder, partial(print, flush=True))
        try:
            fleet.measure(arguments.passed_on)
        except KeyboardInterrupt:
            warn(f"what was measured is in {printable(folder.path)}; the same command with --resume goes on")
            raise
    return _told(folder, list(fleet.runs.values()))


def _unfinished(folder: FleetFolder, *, resume: bool) -> list[FleetRun]:
    """Return the runs of an earlier call, of which those that lack cells are to go on.

    Raises:
        UserError: there are some and nobody asked for them, or the other way round.
    """
    earlier = folder.load()
    if earlier and not resume:
        raise UserError(folder.path, "holds an earlier fleet's runs", "add --resume to go on with them, or choose -o")
    if resume and not earlier:
        raise UserError(folder.path, "holds no fleet's runs to go on with", "leave out --resume, or choose -o")
    return [run if folder.cells(run).whole else replace(run, state=LOST, why="") for run in earlier]


def _told(folder: FleetFolder, runs: Sequence[FleetRun]) -> int:
    """Print the report over machines and what is missing; return the exit code."""
    files = [path for run in runs for path in folder.results(run)[-1:]]
    if files:
        machines_report(files, folder.path / "report")
    cells = [folder.cells(run) for run in runs]
    for run, of_run in zip(runs, cells, strict=True):
        for line in problems(run, of_run):
            warn(line)
    whole = sum(of_run.whole for of_run in cells)
    print(f"{printable(folder.path)}: {whole} of {len(runs)} runs are whole")
    if whole < len(runs):
        return EXIT_MISSING
    return EXIT_FAILED_CELL if any(of_run.failed for of_run in cells) else 0


def machines_report(files: Sequence[Path], output: Path) -> None:
    """Write the report over machines, and print what it says."""
    # pandas, matplotlib and scipy take a second
    from midas_bench.report.machines import write_machines

    try:
        data, page = write_machines(files, output)
    except UserError as error:
        warn(f"no report over the machines: {error}")
        return
    for line in (*data.lines, printable(page)):
        print(line)
