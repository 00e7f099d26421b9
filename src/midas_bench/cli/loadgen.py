"""`midas-bench loadgen`: MLPerf's scenarios, driven by MLCommons LoadGen."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from midas_bench import scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.cli.main import warn
from midas_bench.depth.backends import registry
from midas_bench.depth.config import make_graph, resolve
from midas_bench.depth.weights import TIMING_ONLY
from midas_bench.errors import UserError
from midas_bench.files import check_writable, write_whole
from midas_bench.measure import machine
from midas_bench.measure.fidelity import fidelity, problem
from midas_bench.measure.loadgen import scenarios as loadgen
from midas_bench.measure.loadgen.benchmark_json import cell, cell_name, document
from midas_bench.measure.loadgen.result_lines import headline, verdict
from midas_bench.measure.loadgen.rules import BOUND_OF_P90, RULES, SCENARIOS
from midas_bench.measure.reference import Reference
from midas_bench.options import MODEL_FLAGS, ONE_COUNT, add_to_parser, one_thread_count, pipeline_config, split
from midas_bench.processes import ProcessDiedError
from midas_bench.results.units import duration

DEFAULT_BACKENDS = ("onnx",)
EXIT_NEGATIVE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_to_parser(parser, ("--backend", "--weights", *MODEL_FLAGS, "--threads", "--photos"), {"--threads": ONE_COUNT})
    parser.add_argument(
        "--scenario", action="append", metavar="NAME",
        help=f"{', '.join(SCENARIOS)}; several as a,b; 'all' (the default) for every one",
    )  # fmt: skip
    parser.add_argument(
        "--rules", choices=sorted(RULES), default="short",
        help="full: MLPerf's durations and counts, ten minutes and more per scenario; short: seconds, never valid",
    )  # fmt: skip
    parser.add_argument(
        "--accuracy", action="store_true",
        help="first compare the depth that LoadGen logs in AccuracyOnly mode with the reference's, and fail if it "
        "differs; the reference is eager, or for --model ONNX Runtime",
    )  # fmt: skip
    parser.add_argument(
        "--latency-bound", type=float, metavar="MS",
        help=f"bound of Server's p99 latency, in ms (default: {BOUND_OF_P90:g} times the SingleStream p90)",
    )  # fmt: skip
    parser.add_argument(
        "--logs", type=Path, metavar="DIR", help=f"where LoadGen's logs go (default: a new folder in {loadgen.LOGS})"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results for `midas-bench report FILE`")


@dataclass
class Results:
    """The results so far, and the file that holds them."""

    planned: list[str]
    path: Path | None
    machine: machine.MachineFacts
    cells: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def save(self) -> None:
        """Write the file whole: a finished cell is on disk before the next one starts."""
        if self.path and self.cells:
            text = json.dumps(document(self.machine, self.cells, self.planned, self.failed), indent=2)
            write_whole(self.path, text.encode())

    def add_failure(self, backend: str, scenario: str, reason: str) -> None:
        """Record a cell that has no result."""
        self.failed.append((cell_name(backend, scenario), reason))
        print(f"{backend}, {scenario}: failed: {reason}", flush=True)
        self.save()


def run(arguments: argparse.Namespace) -> int:
    """Run all scenarios on all backends; 1 if a depth differs, a process died, or a full run is invalid."""
    loadgen.check_installed()
    names = chosen_scenarios(split(arguments.scenario))
    backends = registry.select(split(arguments.backend), arguments.model is not None) or DEFAULT_BACKENDS
    threads = one_thread_count(arguments.threads)
    bound_ms = arguments.latency_bound
    if bound_ms is not None and not 0 < bound_ms < float("inf"):
        raise UserError(f"--latency-bound {bound_ms:g}", "is no positive time", "give milliseconds, such as 200")
    if bound_ms is not None and "server" not in names:
        raise UserError("--latency-bound", "is for the scenario server, which is not chosen", "add --scenario server")
    logs = arguments.logs or loadgen.new_logs(Path())
    if arguments.json is not None:
        # before the first scenario, not after the last
        check_writable(arguments.json, "--json")
    if logs.exists() and not logs.is_dir():
        raise UserError(logs, "is a file and not a folder", "choose another one with --logs")
    check_writable((logs if logs.exists() else logs.parent) / "log", "--logs")
    photos = scene_photos.all_photos(scene_photos.chosen(arguments.photos, suite_photos(), warn))
    calibration = scene_photos.paths(photos)
    config = resolve(pipeline_config(arguments, backend=backends[0], threads=threads, calibration=calibration))
    for backend in backends:
        registry.check_runs(backend, config.weights)
    bound_s = None if bound_ms is None else bound_ms / 1e3
    plan = loadgen.LoadPlan(config, photos, RULES[arguments.rules], logs, bound_s)
    if config.weights.source == "seeded":
        progress(TIMING_ONLY)
    results = Results([cell_name(b, name) for b in backends for name in names], arguments.json, machine.inspect())
    succeeded = [run_scenarios(plan, backend, names, arguments.accuracy, results) for backend in backends]
    print(f"\nLoadGen's logs: {logs}")
    if not plan.rules.full:
        print("Short runs only show that everything works: their figures are rough and never valid. Use --rules full.")
    if arguments.json and results.cells:
        print(f"{arguments.json}: midas-bench report {arguments.json}")
    return 0 if all(succeeded) else EXIT_NEGATIVE


def chosen_scenarios(asked: Sequence[str]) -> tuple[str, ...]:
    """Return the scenarios to run, in LoadGen's usual order.

    Raises:
        UserError: a name is unknown.
    """
    unknown = [name for name in asked if name not in (*SCENARIOS, "all")]
    if unknown:
        raise UserError(f"--scenario {unknown[0]}", "is unknown", f"choose from {', '.join(SCENARIOS)}, all")
    return tuple(name for name in SCENARIOS if not asked or "all" in asked or name in asked)


def progress(message: str) -> None:
    """Print on standard error what is being done."""
    print(f"midas-bench: {message}", file=sys.stderr, flush=True)


def run_scenarios(plan: loadgen.LoadPlan, backend: str, names: Sequence[str], accuracy: bool, results: Results) -> bool:
    """Run the scenarios on one backend, each in a process of its own; tell whether all succeeded."""
    config = plan.config
    make_graph(replace(config, backend=backend), progress)
    accuracy_fields: dict[str, Any] = {}
    try:
        if accuracy:
            progress(f"{backend}: accuracy, {len(plan.photos)} photos")
            accuracy_fields, reason = compare_depth(plan, backend)
            if reason:
                for name in names:
                    results.add_failure(backend, name, f"{reason}; nothing was timed")
                return False
        first_look = loadgen.look(plan, backend)
    except ProcessDiedError as error:
        for name in names:
            results.add_failure(backend, name, str(error))
        return False
    expected = {name: first_look.expected_s(name, plan.rules) for name in names}
    succeeded = True
    for n, name in enumerate(names):
        left_s = sum(expected[later] for later in names[n:])
        remainder = f", {duration(left_s)} for the rest of {backend}" if n + 1 < len(names) else ""
        progress(f"{backend}, {name}: about {duration(expected[name])}{remainder}")
        start_s = time.monotonic()
        try:
            [load] = loadgen.measure(plan, backend, [name], loadgen.timeout_s(expected[name])).values()
        except ProcessDiedError as error:
            results.add_failure(backend, name, str(error))
            succeeded = False
            continue
        print(f"{backend}, {headline(load)}; {verdict(load)}", flush=True)
        described = structs.replace(
            load, backend=backend, threads=config.threads, weights=config.weights.described, **accuracy_fields
        )
        results.cells.append(cell(described, time.monotonic() - start_s))
        results.save()
        succeeded = succeeded and (not plan.rules.full or bool(load.valid))
    return succeeded


def compare_depth(plan: loadgen.LoadPlan, backend: str) -> tuple[dict[str, Any], str | None]:
    """Compare the depth that LoadGen logged with the reference; return the figures, and a reason if they are bad."""
    depth = loadgen.logged_depth(plan, backend)
    reference = Reference(plan.config)
    figures = fidelity(depth, reference.depth(plan.photos))
    reason = problem(backend, figures, plan.config.weights.source, reference.backend)
    print(
        f"{backend}, accuracy of {len(depth)} photos against {reference.backend}: largest error "
        f"{figures.max_relative_error:.2g}, mean {figures.mean_relative_error:.2g} of the depth range, rank "
        f"correlation {figures.rank_correlation:.4f}; {reason or 'good enough'}",
        flush=True,
    )
    return asdict(figures), reason
