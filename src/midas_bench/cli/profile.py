"""`midas-bench profile`: which operators of the network take the time?"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from midas_bench import scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.cli.main import warn
from midas_bench.depth.backends import registry
from midas_bench.depth.config import Resolved, make_graph, resolve
from midas_bench.depth.photo import read
from midas_bench.depth.recipe import find_recipe
from midas_bench.errors import UserError, printable
from midas_bench.files import check_writable, write_whole
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.measure.worker_client import WorkerSpec
from midas_bench.options import MODEL_FLAGS, SINGLE, add_to_parser, at_most_one, pipeline_config, split
from midas_bench.processes import ProcessDiedError, ask
from midas_bench.profile.chrome_trace import chrome_trace
from midas_bench.profile.operators import Profile
from midas_bench.profile.profiled import profile_in_turns
from midas_bench.profile.recorders import LIBRARIES
from midas_bench.profile.text import WIDTH, costs, operator_table, share_of_peak
from midas_bench.render.floor import floor_table
from midas_bench.render.terminal import print_table
from midas_bench.results import units
from midas_bench.results.kinds import StepTime

PIPELINE, CALL = "profiled", "inference"
LEFT_OUT = "decoding, preprocessing and the heat map"
PEAK_TIMEOUT_S = 120.0
STEPS_TIMEOUT_S = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    add_to_parser(parser, ("--backend", "--weights", *MODEL_FLAGS, "--threads", "--photos"), SINGLE)
    parser.add_argument(
        "--photo",
        type=Path,
        metavar="FILE",
        help="JPEG, PNG or WebP (default: the first of --photos or of the suite's)",
    )
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="photos per call (default: 1)")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="calls that are profiled (default: 20)")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="operators to print (default: 20)")
    parser.add_argument(
        "--steps", action="store_true", help="show each step from the photo to a PNG beside what this machine allows"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every operator with its rounds as JSON")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write a trace for Perfetto or speedscope")


def run(arguments: argparse.Namespace) -> int:
    """Profile the network, print its operators, and write the files."""
    for flag, count in (
        ("--rounds", arguments.rounds),
        ("--top", arguments.top),
        ("--batch-size", arguments.batch_size),
    ):
        if count < 1:
            raise UserError(f"{flag} {count}", "is too few", "give 1 or more")
    outputs = {"--json": arguments.json, "--trace": arguments.trace}
    for flag, path in outputs.items():
        if path:
            check_writable(path, flag)
    if arguments.json and arguments.trace and arguments.json.absolute() == arguments.trace.absolute():
        raise UserError("--trace", f"names the same file as --json, {arguments.trace}", "choose another name for one")
    scenes = scene_photos.chosen(arguments.photos, suite_photos(), warn)
    photo = checked_photo(arguments.photo, scenes)
    config = configured(arguments, scenes)
    make_graph(config, warn)
    peaks = machine_peaks(config)
    profile = profiled(config, photo, arguments.batch_size, arguments.rounds)
    steps = measured_steps(config, photo, arguments.rounds, peaks) if arguments.steps else []
    title = f"{config.backend}, {units.counted(config.threads, 'thread')}, batch {arguments.batch_size}"
    console = Console(width=max(WIDTH, Console().width))
    print(f"{title}, {units.counted(arguments.rounds, 'round')}, {printable(photo.name)}")
    print_table(operator_table(profile, peaks, arguments.top), console)
    print(costs(profile, LEFT_OUT))
    if not peaks:
        print("The machine's peak is not known: install PyTorch, which measures it.")
    if steps:
        table = floor_table("floor", "Distance to the limit", steps)
        print()
        print_table(table, console)
        print(table.note)
    if arguments.json:
        document = to_json(profile, config, photo, peaks) | {"steps": [msgspec.to_builtins(step) for step in steps]}
        write_whole(arguments.json, json.dumps(document, indent=1).encode())
    if arguments.trace:
        write_whole(arguments.trace, json.dumps(chrome_trace(profile, f"midas-bench: {title}")).encode())
    written = [printable(path) for path in outputs.values() if path]
    if written:
        print(f"\n{', '.join(written)}")
    return 0


def checked_photo(path: Path | None, scenes: scene_photos.Scenes) -> Path:
    """Return the photo to profile on, decoded once to see that it is one; the first of the scenes without a path.

    Raises:
        UserError: it cannot be read or decoded.
    """
    if path is None:
        return scene_photos.first_per_scene(scenes)[0].path
    find_recipe("fast").decode(read(path), str(path))
    return path


def configured(arguments: argparse.Namespace, scenes: scene_photos.Scenes) -> Resolved:
    """Resolve the flags; a calibrated backend is fitted on the photos of all scenes.

    Raises:
        UserError: a value is unknown or cannot be had here.
    """
    backend = at_most_one("--backend", split(arguments.backend)) or "onnx"
    reason = registry.missing(registry.find(backend))
    if reason:
        raise reason
    recorded = [row.name for row in registry.ROWS if set(row.libraries) & set(LIBRARIES)]
    if backend not in recorded:
        advice = f"choose from {', '.join(recorded)}"
        raise UserError(f"backend {backend}", "does not tell what its operators take", advice)
    calibration = scene_photos.paths(scene_photos.all_photos(scenes))
    return resolve(pipeline_config(arguments, backend=backend, calibration=calibration))


def machine_peaks(config: Resolved) -> dict[str, float]:
    """Measure the machine's operations per second, by precision; empty where that fails."""
    precisions = sorted({"f32", registry.find(config.backend).precision})
    warn("measuring the machine's peak")
    try:
        peaks = ask(MODULE, {"task": "peak", "threads": config.threads, "precisions": precisions}, PEAK_TIMEOUT_S)
    except ProcessDiedError as error:
        warn(f"the machine's peak could not be measured ({error})")
        return {}
    # PyTorch's product of int8 is slow without instructions for it, and then no peak of what other libraries do
    return {name: peak for name, peak in peaks.items() if peak >= peaks.get("f32", 0.0)}


def measured_steps(config: Resolved, photo: Path, rounds: int, peaks: dict[str, float]) -> list[StepTime]:
    """Time the steps from the photo to a PNG beside their limits, in a process of their own.

    Raises:
        UserError: the pipeline cannot be opened, or the process died.
    """
    warn("measuring the steps from the photo to a PNG")
    peak = peaks.get(registry.find(config.backend).precision)
    request = {"task": "floor", "config": config.to_json(), "photo": str(photo.absolute()), "rounds": rounds}
    try:
        reply = ask(MODULE, request | {"peak": peak}, STEPS_TIMEOUT_S)
    except ProcessDiedError as error:
        next_step = error.next_step or "see what `midas-bench doctor` finds, or leave --steps out"
        raise UserError("--steps", f"failed ({error})", next_step) from error
    return msgspec.convert(reply["steps"], list[StepTime])


def profiled(config: Resolved, photo: Path, batch_size: int, rounds: int) -> Profile:
    """Profile the network in processes of its own, with progress on standard error.

    Raises:
        UserError: it cannot be opened or called, or a process died.
    """
    photos = [str(photo.absolute())] * batch_size
    spec = WorkerSpec(config.backend, {PIPELINE: {"photos": photos, "config": asdict(config)}})
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    warn(f"profiling {config.backend}")
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("rounds", total=rounds)
        try:
            [profile] = profile_in_turns(
                [spec], PIPELINE, CALL, rounds, plain=True, progress=lambda count: bar.update(task, completed=count)
            )
        except ProcessDiedError as error:
            next_step = error.next_step or "see what `midas-bench doctor` finds, or choose another backend"
            raise UserError(f"profiling {config.backend}", f"failed ({error})", next_step) from error
    return profile


def to_json(profile: Profile, config: Resolved, photo: Path, peaks: dict[str, float]) -> dict[str, Any]:
    """Return everything in JSON types."""
    document = profile.to_json()
    for row, operator in zip(document["operators"], profile.operators, strict=True):
        row["share"] = operator.median_s / profile.call_s
        row["share_of_peak"] = share_of_peak(operator, peaks)
    return {
        "backend": config.backend,
        "threads": config.threads,
        "weights": config.weights.described,
        "photo": photo.name,
        "peak_flop_per_s": peaks,
        **document,
    }
