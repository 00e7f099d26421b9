"""From a question to arms that can run: revisions in folders, environments, models and backends."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from midas_bench import scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.depth.artifacts import artifact
from midas_bench.depth.backends import registry
from midas_bench.depth.config import PipelineConfig, Resolved, cache_folder, make_graph, resolve
from midas_bench.depth.torch_extra import EXTRA
from midas_bench.errors import UserError
from midas_bench.files import cannot_write
from midas_bench.gate import git, revisions
from midas_bench.gate.arms import BASE, HEADS, Arm, Sides
from midas_bench.gate.environments import (
    AS_INSTALLED,
    Environment,
    as_installed,
    differences,
    environment,
    remove_half_made,
)
from midas_bench.gate.gate_cells import DEFAULT_BACKEND, GateCell
from midas_bench.gate.history import Compared, compared_with, notes_on_names
from midas_bench.gate.question import ArmRequest, Question
from midas_bench.gate.revision_workers import as_checkpoint, fresh_python
from midas_bench.gate.revisions import Revision

OWN_CALLS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class OpenArms:
    """Arms that can run.

    Attributes:
        sides: the arms.
        notes: what a reader should know of them, one sentence per note.
        facts: for the JSON.
    """

    sides: Sides
    notes: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def open_arms(question: Question, folder: Path, progress: Callable[[str], None]) -> Iterator[OpenArms]:
    """Give the arms of a question, in folders that are removed at the end.

    Args:
        question: of the gate.
        folder: in the repository, where git names what is compared.
        progress: hears of what takes long.

    Raises:
        UserError: a revision, an environment, a model, the weights or the cache is not usable, or another gate is
            running.
    """
    check_calls(question.calls)
    repository = git.repository(folder, package=not question.calls) if question.of_revisions else None
    compared, commits = _history(question, repository)
    cache = cache_folder_of_gate()
    configs = [None] * len(question.requests) if question.calls else [_config(question, r) for r in question.requests]
    with exclusive_gate(cache), revisions.temporary_checkouts(repository or folder, cache) as run_folder:
        remove_half_made(cache.parent)
        codes = _codes(question, repository, folder, compared, commits, run_folder)
        environments = [_environment(question, request, cache, progress) for request in question.requests]
        arms = [_arm(question, *parts) for parts in zip(question.requests, codes, configs, environments, strict=True)]
        notes = [*(notes_on_names(repository, commits) if repository else ()), *(compared.notes if compared else ())]
        notes += notes_on_environments(environments)
        if repository and not question.calls and not any(request.titles for request in question.requests):
            for head in arms[1:]:
                notes += notes_on_code(arms[0].revision, head.revision, question.fresh_env)
        for note in notes:
            progress(note)
        if question.fresh_env:
            progress(f"installing the dependencies of {arms[0].title}; this takes some minutes")
            # PyTorch makes every backend's graph, and older trees have no such extra, which pip only warns of
            extras = {registry.find(cell.backend).extra for cell in question.cells} - {""} | {EXTRA}
            python = fresh_python(arms[0].revision, extras, run_folder / "python")
            arms[0] = replace(arms[0], python=python, environment="fresh")
        manifest = suite_photos(repository)
        photos = {} if question.calls else scene_photos.chosen(question.photos, manifest, progress)
        sides = Sides(arms[0], tuple(arms[1:]), photos, run_folder, question.calls)
        facts = {
            "arms": {
                name: {"title": arm.title, **arm.identity, "versions": dict(arm.versions)}
                for name, arm in sides.arms.items()
            }
        }
        yield OpenArms(sides, notes, facts | (compared.to_json() if compared else {}))


def check_calls(calls: str) -> None:
    """Refuse what names no calls.

    Raises:
        UserError: it is not of the form `module:calls`.
    """
    if calls and not OWN_CALLS.fullmatch(calls):
        raise UserError(f"--calls {calls}", "does not name a function in a module", "write it as module:function")


def cache_folder_of_gate() -> Path:
    """Return the gate's folder in the cache."""
    return Path(cache_folder(os.environ)) / "gate"


def _history(question: Question, repository: Path | None) -> tuple[Compared | None, dict[str, str]]:
    if repository is None:
        return None, {}
    if question.base.ref is None:
        raise UserError("--head", "names a revision, and --base does not", "give the --base that it is compared with")
    refs = [request.ref for request in question.requests if request.ref is not None]
    commits = {ref: git.commit_of(repository, ref) for ref in refs}
    return compared_with(repository, question.base.ref, question.heads[0].ref, question.merge_base), commits


def _config(question: Question, request: ArmRequest) -> Resolved:
    backend = request.backend or (question.cells[0].backend if question.cells else "") or DEFAULT_BACKEND
    return resolve(PipelineConfig(backend, 1, question.weights, model=request.model, model_settings=request.settings))


def _codes(
    question: Question,
    repository: Path | None,
    folder: Path,
    compared: Compared | None,
    commits: Mapping[str, str],
    run_folder: Path,
) -> list[Revision]:
    """Return the code of each arm, the base first; each gets a copy of its own where there is one."""
    names = [BASE, *HEADS[: len(question.heads)]]
    if repository is None or compared is None:
        if question.calls:
            return [revisions.in_place(folder)] * len(names)
        return [revisions.copy_package(run_folder / name) for name in names]
    codes = [revisions.check_out(repository, compared.label, compared.commit, run_folder / BASE)]
    for name, request in zip(names[1:], question.heads, strict=True):
        codes.append(
            revisions.check_out(repository, request.ref, commits[request.ref], run_folder / name)
            if request.ref is not None
            else revisions.copy_tracked_files(repository, run_folder / name)
            if question.calls
            else revisions.copy_working_tree(repository, run_folder / name)
        )
    if question.calls:
        return [revisions.as_users_own(code) for code in codes]
    for code in codes[1:]:
        if code.digest is None:
            raise UserError(f"revision {code.label}", "has no package src/midas_bench", "choose another --head")
    return codes


def _environment(
    question: Question, request: ArmRequest, cache: Path, progress: Callable[[str], None]
) -> Environment | None:
    if request.env is None:
        return None
    backends = {request.backend or DEFAULT_BACKEND, *(cell.backend for cell in question.cells if cell.backend)}
    rows = [registry.find(backend) for backend in backends if not question.calls]
    # a backend that reads no ONNX file needs PyTorch
    extras = {row.extra for row in rows if row.extra} | {EXTRA for row in rows if not row.reads_onnx}
    if request.env == AS_INSTALLED:
        return as_installed(cache.parent, progress, extras=extras)
    if question.calls:
        return environment(request.env, cache.parent, progress, modules=())
    return environment(request.env, cache.parent, progress, extras=extras)


def _arm(
    question: Question, request: ArmRequest, code: Revision, config: Resolved | None, given: Environment | None
) -> Arm:
    titles = [Path(text).name if text == request.model else text for text in request.titles]
    # an arm of an environment, model or backend is known by these; the revision is named where it was asked for
    shown = ([code.title] if question.of_revisions else []) + titles or [code.title]
    arm = Arm(", ".join(shown), code, config)
    if given is None:
        return arm
    return replace(arm, python=given.python, environment=given.digest, versions=given.versions)


def notes_on_environments(environments: Sequence[Environment | None]) -> list[str]:
    """Say which libraries differ between the base's environment and each other one."""
    base, *heads = environments
    notes = []
    for head in heads:
        if base and head:
            listed = "; ".join(differences(base, head)) or "no library differs"
            notes.append(f"environments of {base.label} and {head.label}: {listed}")
    return notes


@contextmanager
def exclusive_gate(gate_folder: Path) -> Iterator[None]:
    """Hold the lock of this machine's gates: two at a time would disturb each other.

    Raises:
        UserError: another gate is running, or the folder cannot be written.
    """
    lock = FileLock(gate_folder / "running.lock")
    try:
        gate_folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError("gate", "another one is running on this machine", "wait until it has ended") from None
    except OSError as error:
        raise cannot_write(gate_folder, error) from error
    try:
        yield
    finally:
        lock.release()


def notes_on_code(base: Revision, head: Revision, fresh_env: bool) -> list[str]:
    """Say whether both sides have the same code and the same dependencies."""
    pins = "; ".join(revisions.different_pins(base, head))
    same = base.digest == head.digest
    if pins and fresh_env:
        code = "base and head hold the same code, and" if same else "beside the code"
        return [f"{code} the dependencies differ: {pins}; the base runs with its own"]
    notes = ["base and head hold the same code: whatever differs is noise"] if same else []
    if pins:
        notes.append(
            f"the dependencies differ, and both sides run with what is installed here: {pins}; "
            "--fresh-env gives the base its own"
        )
    return notes


def prepare(sides: Sides, cells: Sequence[GateCell], progress: Callable[[str], None]) -> Sides:
    """Return the sides with weights that all arms load, their graphs made.

    Raises:
        UserError: a backend is missing here, or the cache cannot be written.
    """
    if sides.calls:
        return sides
    of_cells = {cell.backend for cell in cells} - {""}
    # an environment may lack what makes a graph, and would look for one of its own versions
    as_files = any(arm.versions for arm in sides.arms.values())

    def prepared(config: Resolved) -> Resolved:
        rows = [registry.find(backend) for backend in registry.select(of_cells or {config.backend})]
        calibrated = [row.name for row in rows if row.calibrated]
        if as_files and calibrated:
            what = f"backend {calibrated[0]}"
            raise UserError(what, "is made by the libraries that differ", "make it once, and give it by --base-model")
        ready = replace(
            config,
            weights=as_checkpoint(config.weights, Path(config.cache_dir)),
            calibration=scene_photos.paths(scene_photos.all_photos(sides.photos)) if calibrated else (),
        )
        if as_files and ready.weights.source != "model" and all(row.reads_onnx for row in rows):
            make_graph(replace(ready, backend=DEFAULT_BACKEND), progress)
            graph = artifact(DEFAULT_BACKEND, ready.weights, Path(config.cache_dir))
            return resolve(PipelineConfig(config.backend, 1, model=str(graph.path), cache_dir=config.cache_dir))
        for row in rows:
            make_graph(replace(ready, backend=row.name), progress)
        return ready

    return sides.with_configs(prepared)
