"""`midas-bench accuracy --teacher`: students beside their teacher, in depth, time, memory and size."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import onnx
from rich.console import Console

from midas_bench import scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.cli.accuracy_inputs import (
    BUDGET_S,
    EXIT_CANNOT_JUDGE,
    FOLDER,
    chosen_backends,
    configured,
    weights_name,
)
from midas_bench.cli.depth_folder import progress_bar
from midas_bench.cli.main import warn
from midas_bench.cli.tune import progress
from midas_bench.depth.backends import registry
from midas_bench.depth.calibration import project_photos
from midas_bench.depth.config import PipelineConfig, Resolved, resolve
from midas_bench.depth.custom_model import tensors
from midas_bench.depth.model_flop import parameters
from midas_bench.errors import UserError, printable
from midas_bench.measure import machine
from midas_bench.measure.students import PhotoResult, Teacher, file_bytes, timed
from midas_bench.measure.tune_budget import Budget
from midas_bench.options import one_thread_count, seconds, split
from midas_bench.processes import ProcessDiedError
from midas_bench.render.terminal import print_table
from midas_bench.report.students import notes, students_document, students_table, warnings
from midas_bench.report.write import check_folder, write_files
from midas_bench.results.student_results import Student, TeacherComparison, ranked
from midas_bench.scene_photos import Photo

BETWEEN_COLUMNS = 3
"""Blanks that a table on a terminal has there."""
LEAST_BUDGET_S, MOST_BUDGET_S = 5.0, 86400.0
TEACHERS_BACKEND = "onnx"
"""What the teacher is timed on: in float32, as its depth is computed."""


@dataclass(frozen=True)
class Entry:
    """A row of the table: a model and what runs it."""

    model: str
    config: Resolved
    is_teacher: bool = False

    @property
    def title(self) -> str:
        """What lines and errors call it."""
        return f"{'the teacher ' if self.is_teacher else ''}{self.model} on {self.config.backend}"


Results = Mapping[Entry, Sequence[PhotoResult]]


def run_with_teacher(arguments: argparse.Namespace) -> int:
    """Print the table, and write it with its chart; 3 where random weights leave nothing to judge."""
    budget_s = _budget_s(arguments)
    folder = arguments.output or FOLDER
    check_folder(folder)
    photos, calibration = _photos(arguments)
    entries = _students(arguments, calibration)
    teacher = _teacher(arguments, calibration)
    if not any(_same(entry.config, teacher.config) for entry in entries):
        entries.insert(0, teacher)
    left_out: dict[str, str] = {}
    telling, results = _results(teacher, entries, photos, left_out, strict="all" not in _asked(arguments))
    students = {entry.title: _student(entry, of_photos) for entry, of_photos in results.items()}
    if budget_s is not None:
        configs = {entry.title: entry.config for entry in results}
        trials, untimed = timed(configs, telling[0], Budget(budget_s, progress))
        left_out |= {f"time of {title}": why for title, why in untimed.items()}
        students = {title: replace(student, trial=trials.get(title)) for title, student in students.items()}
    compared = TeacherComparison(
        teacher=teacher.model,
        photos=len(telling),
        true_depth=sum(photo.depth is not None for photo in telling),
        threads=teacher.config.threads,
        cpu=machine.inspect().cpu_model,
        judged=all(entry.config.weights.source != "seeded" for entry in (teacher, *results)),
        students=ranked(list(students.values())),
        left_out=left_out,
    )
    if arguments.json:
        print(json.dumps(_to_json(compared, teacher, results), indent=2), flush=True)
    else:
        _print(compared)
    page = write_files(students_document(compared), {}, folder)
    if not arguments.json:
        print(f"\n{printable(page)}")
    return 0 if compared.judged else EXIT_CANNOT_JUDGE


def _budget_s(arguments: argparse.Namespace) -> float | None:
    """Return the seconds for timing; None where it is left out.

    Raises:
        UserError: it is no time, too short or too long, or for nothing.
    """
    given = arguments.budget
    if arguments.no_timing:
        if given is not None:
            raise UserError(f"--budget {given}", "has no use beside --no-timing", "leave one of them out")
        return None
    budget_s = BUDGET_S if given is None else seconds("--budget", given, bare="s")
    if not LEAST_BUDGET_S <= budget_s <= MOST_BUDGET_S:
        next_step = f"give {LEAST_BUDGET_S:g} to {MOST_BUDGET_S:g} seconds, or --no-timing"
        raise UserError(f"--budget {given}", "is too short or too long", next_step)
    return budget_s


def _photos(arguments: argparse.Namespace) -> tuple[list[Photo], tuple[str, ...]]:
    """Return the photos to compare on, and those that int8 graphs are calibrated on: the suite's, as elsewhere.

    Raises:
        UserError: there are none, or one is not usable.
    """
    if arguments.photos is not None and arguments.manifest is not None:
        raise UserError(f"--photos {arguments.photos}", "has no use beside --manifest", "leave one of them out")
    photos = scene_photos.all_photos(scene_photos.chosen(arguments.photos, arguments.manifest or suite_photos(), warn))
    return photos, project_photos() if arguments.photos is not None else scene_photos.paths(photos)


def _asked(arguments: argparse.Namespace) -> list[str]:
    return split(arguments.backend) or ["all"]


def _students(arguments: argparse.Namespace, calibration: tuple[str, ...]) -> list[Entry]:
    """Return each model on each of its backends; one that compiles for long is tried only where it is named."""
    asked = _asked(arguments)
    backends = [name for name in chosen_backends(arguments) if name in asked or not registry.find(name).compiles]
    configs = configured(arguments, backends, calibration)
    return [Entry(name, replace(config, backend=backend)) for name, config in configs.items() for backend in backends]


def _teacher(arguments: argparse.Namespace, calibration: tuple[str, ...]) -> Entry:
    """Resolve what --teacher names.

    Raises:
        UserError: it is not usable.
    """
    name = arguments.teacher
    is_model = name.lower().endswith(".onnx")
    how: dict[str, Any] = {"model": name} if is_model else {"weights": name}
    config = PipelineConfig(TEACHERS_BACKEND, one_thread_count(arguments.threads), calibration=calibration, **how)
    with _naming_teacher():
        resolved = resolve(config)
    return Entry(weights_name(resolved.weights), resolved, is_teacher=True)


@contextmanager
def _naming_teacher() -> Iterator[None]:
    """Let an error about weights name --teacher where it names the flag that others give them by."""
    try:
        yield
    except UserError as error:
        next_step = error.next_step.replace("--weights", "--teacher")
        raise UserError(error.thing or "--teacher", error.reason, next_step) from error


def _same(one: Resolved, other: Resolved) -> bool:
    return (one.backend, one.weights.fingerprint) == (other.backend, other.weights.fingerprint)


def _results(
    teacher: Entry, entries: Sequence[Entry], photos: Sequence[Photo], left_out: dict[str, str], strict: bool
) -> tuple[list[Photo], Results]:
    """Compare each on every photo that the teacher tells something of, and return photos and results.

    What cannot be compared is added to `left_out`, with the reason.

    Raises:
        UserError: the teacher is not usable or says nothing, or nothing is left; with `strict`, one is not usable.
    """
    results: dict[Entry, Sequence[PhotoResult]] = {}
    failure: UserError | None = None
    depths = Teacher(teacher.config)
    with _bar(len(photos) * (1 + sum(not entry.is_teacher for entry in entries))) as (say, done):
        say(f"the depth of the teacher {teacher.model}")
        try:
            with _naming_teacher():
                telling = depths.photos_with_depth(photos, done)
        except ProcessDiedError as error:
            next_step = error.next_step or "see what `midas-bench doctor` finds"
            raise UserError(f"the teacher {teacher.model}", f"failed ({error})", next_step) from error
        with_depth = set(telling)
        left_out |= {photo.file: "the teacher's depth is constant there" for photo in photos if photo not in with_depth}
        if not telling:
            reason = "gives constant depth for all photos, so there is nothing to follow"
            raise UserError(f"--teacher {teacher.model}", reason, "choose other photos or another teacher")
        for entry in entries:
            if entry.is_teacher:
                results[entry] = depths.own_results(telling)
                continue
            say(entry.title)
            try:
                results[entry] = depths.results(entry.config, telling, done)
            except UserError as error:
                if strict:
                    raise
                failure = failure or error
                left_out[entry.title] = error.why
    if failure and all(entry.is_teacher for entry in results):
        raise failure
    return telling, results


@contextmanager
def _bar(total: int) -> Iterator[tuple[Callable[[str], object], Callable[[int], object]]]:
    """Show a bar of so many photos; yield what names the work, and what takes how many are done."""
    with progress_bar() as bar:
        task = bar.add_task("photos", total=total)
        say = (lambda text: bar.update(task, description=printable(text))) if bar.console.is_terminal else warn
        yield say, lambda count: bar.advance(task, count)


def _student(entry: Entry, results: Sequence[PhotoResult]) -> Student:
    """Take the means over photos, and add the sizes."""
    agreements = [asdict(result.agreement) for result in results]
    accuracies = [asdict(result.accuracy) for result in results if result.accuracy]
    means: dict[str, Any] = {
        name: fmean(figures[name] for figures in group)
        for group in (agreements, accuracies)
        for name in (group[0] if group else ())
    }
    return Student(
        entry.model,
        entry.config.backend,
        **means,
        file_bytes=file_bytes(entry.config),
        parameters=_parameters(entry.config),
        is_teacher=entry.is_teacher,
    )


def _parameters(config: Resolved) -> int | None:
    """Count the parameters of a model by its ONNX graph; None where weights have none yet."""
    wanted = ("onnx", config.weights, Path(config.cache_dir))
    graph = registry.prepare(*wanted) if registry.is_prepared(*wanted) else None
    return parameters(list(tensors(onnx.load(graph.path, load_external_data=False)))) if graph else None


def _print(compared: TeacherComparison) -> None:
    table = students_table(compared)
    texts = zip(
        [column.title for column in table.columns], *([cell.text for cell in row] for row in table.rows), strict=True
    )
    # a terminal that is narrower would cut figures short
    width = sum(max(map(len, column)) + BETWEEN_COLUMNS for column in texts)
    print_table(table, Console(width=max(width, Console().width)))
    print("\n".join(notes(compared)))
    for name, why in compared.left_out.items():
        print(f"left out: {printable(name)}: {why}")
    for warning in warnings(compared):
        print(f"\n{warning}")


def _to_json(compared: TeacherComparison, teacher: Entry, results: Results) -> dict[str, Any]:
    """Return all figures in JSON types and SI units; `rows` has those of each photo, by the names without a teacher."""
    nothing = dict.fromkeys(("abs_rel", "delta_125", "spearman"))
    return {
        "judged": compared.judged,
        "teacher": {"model": teacher.model, **teacher.config.weights.identity},
        "threads": compared.threads,
        "cpu": compared.cpu,
        "rows": [
            {
                "model": entry.model,
                "backend": entry.config.backend,
                "file": result.file,
                **(asdict(result.accuracy) if result.accuracy else nothing),
                **asdict(result.agreement),
            }
            for entry, of_photos in results.items()
            if not entry.is_teacher
            for result in of_photos
        ],
        "students": [student.to_json() for student in compared.students],
        "left_out": compared.left_out,
    }
