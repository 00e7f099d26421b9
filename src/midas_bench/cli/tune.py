"""`midas-bench tune`: the backend, thread count and batch size to deploy on this machine."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from midas_bench import scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.cli.main import EXIT_INTERRUPTED, warn
from midas_bench.cli.prices import add_price_argument, read_prices
from midas_bench.cpu import default_threads
from midas_bench.depth.backends import registry
from midas_bench.depth.config import resolve
from midas_bench.errors import UserError
from midas_bench.files import check_writable, write_whole
from midas_bench.measure import machine
from midas_bench.measure.doctor import advise
from midas_bench.measure.tune import TunePlan, tune
from midas_bench.measure.tune_candidates import by_promise
from midas_bench.measure.tune_output import Advice
from midas_bench.options import MODEL_FLAGS, add_to_parser, pipeline_config, seconds, split, thread_counts
from midas_bench.results.machine_fields import cpu_name
from midas_bench.results.price import PricedMachine, Prices
from midas_bench.results.tuning_results import Trial

BUDGET_S = 170.0
JSON_FILE = "tuning.json"
LEAST_BUDGET_S, MOST_BUDGET_S = 20.0, 86400.0
EXIT_NOTHING = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_to_parser(parser, ("--backend", "--weights", *MODEL_FLAGS, "--threads", "--photos"))
    parser.add_argument("--exact", action="store_true", help="only backends that compute in float32")
    parser.add_argument(
        "--budget",
        default=f"{BUDGET_S:g}s",
        metavar="TIME",
        help=f"time for the whole search, as 90s, 5min or 1h (default: {BUDGET_S:g}s)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("reports/tune"), metavar="FOLDER",
        help="folder for tuning.json and the chart (default: reports/tune)",
    )  # fmt: skip
    add_price_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Measure, write chart and JSON, and print the best set-ups; 3 if nothing could be measured, 130 after Ctrl-C."""
    prices = read_prices(arguments.price_per_hour)
    budget_s = seconds("--budget", arguments.budget, bare="s")
    if not LEAST_BUDGET_S <= budget_s <= MOST_BUDGET_S:
        next_step = f"give {LEAST_BUDGET_S:g} to {MOST_BUDGET_S:g} seconds"
        raise UserError(f"--budget {arguments.budget}", "is too short or too long", next_step)
    if arguments.output.exists() and not arguments.output.is_dir():
        raise UserError(arguments.output, "is a file and not a folder", "choose another one with -o")
    backends, left_out = choose_backends(split(arguments.backend), arguments.exact, arguments.model is not None)
    counts = thread_counts(arguments.threads) or default_thread_counts()
    photos = scene_photos.chosen(arguments.photos, suite_photos(), warn)
    calibration = scene_photos.paths(scene_photos.all_photos(photos))
    config = resolve(pipeline_config(arguments, backend=backends[0], threads=max(counts), calibration=calibration))
    plan = TunePlan(config, backends, tuple(sorted(counts, reverse=True)), next(iter(photos.values())), budget_s)
    # before the budget is spent
    here = machine.inspect()
    price_per_hour = _price_here(prices, here)
    check_writable(arguments.output / JSON_FILE, "-o")
    tuned = tune(plan, progress)
    advice = Advice(plan, tuned, left_out | tuned.left_out, arguments.weights, here, price_per_hour)
    document = advice.to_json()
    if arguments.json:
        print(json.dumps(document, indent=2), flush=True)
    else:
        print("\n".join(advice.lines()))
        for finding in advise(os.environ):
            print(f"\n! the processes measured had a better allocator setting: {finding}")
    files = write(arguments.output, document, tuned.trials)
    if not arguments.json:
        print(f"\n{', '.join(map(str, files))}")
    if tuned.interrupted:
        return EXIT_INTERRUPTED
    return 0 if advice.choices else EXIT_NOTHING


def _price_here(prices: Prices, here: machine.MachineFacts) -> float | None:
    """Return what an hour of this machine costs; None without any price.

    Raises:
        UserError: there are prices, and none is for this machine.
    """
    this = PricedMachine("", here.fingerprint, cpu_name(here.cpu_model) or here.cpu_model)
    price_per_hour = prices.of(this)
    if price_per_hour is None:
        # the names of other machines are no slip where one of them is this one
        prices.check([this])
    return price_per_hour


def choose_backends(asked: Sequence[str], exact: bool, model: bool = False) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the backends to try, the most promising first, and why each of the others is left out.

    Raises:
        UserError: a name is unknown or cannot run here, or none is left.
    """
    left_out = {}
    names = []
    selected = registry.select(asked)
    for name in registry.REGISTRY if not asked or "all" in asked else selected:
        row = registry.find(name)
        reason = registry.missing(row)
        if reason:
            left_out[name] = reason.why
        elif model and not row.reads_onnx:
            left_out[name] = "it cannot run an ONNX model"
        elif exact and not row.exact:
            left_out[name] = "its precision is reduced, and --exact is given"
        elif row.compiles and name not in asked:
            left_out[name] = f"it compiles for long whenever it is opened; --backend {name} tries it"
        else:
            names.append(name)
    if not names:
        flag = "--exact" if exact else "--model"
        raise UserError(flag, f"leaves none of {', '.join(left_out)}", "leave it out, or name another backend")
    return by_promise(names), left_out


def default_thread_counts() -> tuple[int, ...]:
    """Return the physical cores that this process may use, half of them, and one."""
    most = default_threads()
    return tuple(dict.fromkeys((most, max(1, most // 2), 1)))


def progress(message: str, left_s: float) -> None:
    """Print on standard error what is being done and how much of the budget is left."""
    print(f"midas-bench: {message} ({left_s:.0f} s left)", file=sys.stderr, flush=True)


def write(folder: Path, document: dict[str, Any], trials: Sequence[Trial]) -> list[Path]:
    """Write the JSON and, where there is something to draw, the chart; return the paths.

    Raises:
        UserError: the folder cannot be written.
    """
    # imported only here, because matplotlib takes a second
    from midas_bench.report.charts.tuning import tuning as draw

    contents = {JSON_FILE: json.dumps(document, indent=2).encode()}
    chart = draw(trials)
    if chart:
        contents |= {"tuning.svg": chart.svg.encode(), "tuning.png": chart.png}
    for name, data in contents.items():
        write_whole(folder / name, data)
    return [folder / name for name in contents]
