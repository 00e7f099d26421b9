"""An interpreter with other libraries than those installed here: made once, kept in the cache, and looked at."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from midas_bench.errors import UserError
from midas_bench.files import cannot_write, expanded, locked, write_whole
from midas_bench.gate import installers, requirements
from midas_bench.gate.installers import NoNetworkError
from midas_bench.gate.requirements import DISTRIBUTION, Wanted, by_normalised_name
from midas_bench.processes import how_it_ended, last_words

Progress = Callable[[str], None]

AS_INSTALLED = "as installed here"
FOLDER, LOCK, RECORD = "environments", "lock", ".json"
KEPT_S = 30 * 24 * 3600.0
WAIT_S = 3600.0
ANSWER_S = 300.0
"""The first import of large libraries from a cold disk takes long."""

NEEDED = ("onnxruntime", "numpy", "cv2", "PIL", "simplejpeg", "platformdirs", "filelock", "psutil")
"""The modules that midas_bench.depth imports to run ONNX."""
NOT_COMPARED = {DISTRIBUTION, "pip", "uv"}
"""The gate takes the package from a source tree; the other two install and do not run."""

LOOK = """
import sys
sys.path.pop(0)  # the current folder
import importlib, json, platform
from importlib import metadata
missing = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        missing[name] = "%s: %s" % (type(error).__name__, error)
versions = [(each.metadata["Name"], each.version) for each in metadata.distributions()]
print(json.dumps({"python": platform.python_version(), "found": versions, "missing": missing}))
"""


@dataclass(frozen=True)
class Environment:
    """An interpreter and its libraries.

    Attributes:
        label: as the user gave it.
        python: the path of the interpreter.
        versions: of what is installed there, by normalised name, sorted; and that of Python, as `python`.
        digest: of the versions, 16 hexadecimal digits.
    """

    label: str
    python: str
    versions: Mapping[str, str]
    digest: str


def environment(
    spec: str, cache: Path, progress: Progress, *, extras: Collection[str] = (), modules: Collection[str] | None = None
) -> Environment:
    """Return the environment that the user means, made first if the cache lacks it.

    Args:
        spec: requirements, as `onnxruntime>=1.24,<1.26 numpy<2.3`, that replace what is installed here; or the path of
            a requirements file, of a pyproject.toml, of a virtual environment or of an interpreter.
        cache: the folder of midas-bench's cache.
        progress: takes a sentence when something takes time.
        extras: of midas-bench, that the cells need; `torch` brings the build of PyTorch that is installed here.
        modules: that the environment must have; None stands for those that `midas_bench.depth` imports.

    Raises:
        UserError: it is none of these, cannot be made, or lacks what `midas_bench.depth` needs.
    """
    if not spec.strip():
        raise UserError("the environment", "has an empty name", "check the variable that it comes from")
    path = _existing(spec)
    python = _python_at(path) if path else None
    if python:
        return look_at(spec, python, modules)
    return _made(requirements.wanted(spec, path, extras), cache / FOLDER, progress)


def as_installed(cache: Path, progress: Progress, *, extras: Collection[str] = ()) -> Environment:
    """Return an environment with the versions that are installed here, made like the one that it is compared with.

    Raises:
        UserError: as `environment`.
    """
    return _made(requirements.with_own(AS_INSTALLED, [], extras), cache / FOLDER, progress)


def differences(base: Environment, head: Environment) -> list[str]:
    """Say what the head has in another version, in addition or no longer."""
    lines = []
    for name in sorted(base.versions.keys() | head.versions.keys()):
        before, after = base.versions.get(name), head.versions.get(name)
        if before is None:
            lines.append(f"{name} {after} added")
        elif after is None:
            lines.append(f"{name} {before} removed")
        elif before != after:
            lines.append(f"{name} {before} -> {after}")
    return lines


def look_at(label: str, python: Path, modules: Collection[str] | None = None) -> Environment:
    """Ask an interpreter what is installed there, and whether it has modules, by default those of `depth`.

    Raises:
        UserError: it does not start, is of a version that midas-bench does not support, or lacks a library.
    """
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    options: Any = {"encoding": "utf-8", "errors": "replace", "env": clean | {"PYTHONIOENCODING": "utf-8"}}
    command = [str(python), "-c", LOOK, *(NEEDED if modules is None else modules)]
    next_step = "name another environment, or make this one anew"
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_S, **options)
    except OSError as error:
        raise UserError(label, f"does not start ({error.strerror})", next_step) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(label, f"gives no answer within {ANSWER_S:.0f} s", next_step) from error
    try:
        reply = json.loads(ran.stdout.splitlines()[-1])
        versions = by_normalised_name([*reply["found"], ("python", reply["python"])], NOT_COMPARED)
    except (IndexError, ValueError, KeyError, TypeError):
        ended = f"{how_it_ended(ran.returncode)}: {last_words(ran.stderr)}"
        raise UserError(label, f"does not answer as Python does ({ended})", next_step) from None
    supported = metadata.metadata(DISTRIBUTION)["Requires-Python"] or ""
    if not SpecifierSet(supported).contains(versions["python"], prereleases=True):
        why = f"runs Python {versions['python']}, and midas-bench needs {supported}"
        raise UserError(label, why, "make it with another Python")
    if reply["missing"]:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in reply["missing"].items())
        raise UserError(label, f"cannot import {reasons}", "install what is missing, or name another version")
    return Environment(label, str(python), versions, _digest(versions))


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _existing(spec: str) -> Path | None:
    path = expanded(spec).absolute()
    # many requirements are too long for a file's name
    with suppress(OSError):
        return path if path.exists() else None
    return None


def _python_at(path: Path) -> Path | None:
    """Return the interpreter that a path names, or None where it is a file of requirements."""
    if path.is_dir():
        for python in (path / "bin/python", path / "Scripts/python.exe"):
            if python.is_file():
                return python
        next_step = "name an environment's folder, or write a version behind a package's name, as numpy==2.3.*"
        raise UserError(path, "is no environment: it has no bin/python", next_step)
    return path if path.suffix not in requirements.FILES and os.access(path, os.X_OK) else None


def _made(wanted: Wanted, folder: Path, progress: Progress) -> Environment:
    """Return an environment from the cache, or make it there."""
    asked = _asked(wanted)
    progress(f"looking up {wanted.label}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    waiting = "waiting for another process, which makes an environment"
    # also while it is looked up, so that whatever has no record belongs to nobody who is alive
    with locked(folder / LOCK, WAIT_S, lambda: progress(waiting)):
        _remove_old(folder)
        try:
            pins = installers.resolve(wanted, folder)
            record = folder / f"{_digest([*_interpreter(), *pins])}{RECORD}"
        except NoNetworkError:
            earlier = [path for path in folder.glob(f"*{RECORD}") if _read(path).get("asked") == asked]
            if not earlier:
                raise
            progress(f"a package index was not reached: {wanted.label} is taken from the cache")
            [record, *_] = earlier
            pins = _read(record)["pins"]
        except OSError as error:
            raise cannot_write(folder, error) from error
        kept = _sound(record, wanted.label)
        if kept:
            os.utime(record)
            return kept
        progress(f"making an environment with {wanted.label}: {len(pins)} packages, once")
        return _build(wanted, pins, record, asked)


def remove_half_made(cache: Path) -> None:
    """Remove what killed gates left of environments, unless another process is making one now."""
    folder = cache / FOLDER
    if folder.is_dir():
        with suppress(UserError, OSError), locked(folder / LOCK, timeout_s=0):
            _remove_old(folder)


def _asked(wanted: Wanted) -> str:
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in wanted.files]
    return _digest([*_interpreter(), wanted.requirements, texts, installers.installed()])


def _interpreter() -> tuple[str, str]:
    # two builds of one version differ in speed
    return platform.python_version(), os.path.realpath(sys.executable)


def _build(wanted: Wanted, pins: Sequence[str], record: Path, asked: str) -> Environment:
    """Make an environment, and its record last: whatever has no record is not whole.

    Each gets a folder of a new name, since an installer that was not ended may still write into an old one. An
    environment cannot be moved, so it is made where it stays.
    """
    place = None
    try:
        place = Path(tempfile.mkdtemp(prefix=f"{record.stem}-", dir=record.parent))
        venv.create(place, symlinks=os.name != "nt")
        python = _python_at(place)
        assert python
        installers.install(wanted, pins, place, python)
        new = look_at(wanted.label, python)
        facts = {"folder": place.name, "versions": new.versions, "pins": list(pins), "asked": asked}
        write_whole(record, json.dumps(facts, indent=1).encode())
        return new
    except BaseException as error:
        if place:
            shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, OSError):
            raise cannot_write(record.parent, error) from error
        raise


def _sound(record: Path, label: str) -> Environment | None:
    """Return the environment of a record if it still holds what the record says."""
    facts = _read(record)
    with suppress(UserError, KeyError):
        python = _python_at(record.parent / facts["folder"])
        kept = look_at(label, python) if python else None
        if kept and kept.versions == facts["versions"]:
            return kept
    return None


def _read(record: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        facts = json.loads(record.read_text(encoding="utf-8"))
        if isinstance(facts, dict):
            return facts
    return {}


def _remove_old(folder: Path) -> None:
    """Remove environments that were not used for long, and what killed builds left; the caller holds the lock."""
    for record in folder.glob(f"*{RECORD}"):
        if time.time() - record.stat().st_mtime > KEPT_S:
            record.unlink(missing_ok=True)
    whole = {_read(record).get("folder") for record in folder.glob(f"*{RECORD}")}
    for place in folder.iterdir():
        if place.is_dir() and place.name not in whole:
            shutil.rmtree(place, ignore_errors=True)
