"""The source of two revisions in folders of their own: a git worktree, or a copy of the working tree.

Nothing in the user's checkout changes. A gate removes what a killed gate left behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from midas_bench.depth.backends import registry
from midas_bench.depth.torch_extra import EXTRA
from midas_bench.errors import UserError
from midas_bench.files import cannot_write, sources_sha256
from midas_bench.gate.git import PACKAGE, git, refusal_of

PROJECT = "pyproject.toml"
WORKING_TREE = "working tree"
IN_PLACE = "in place"
REPOSITORY, LOCK = "repository", "lock"
NOT_OURS = shutil.ignore_patterns("__pycache__", "*.pyc")
NOT_NEEDED = shutil.ignore_patterns("__pycache__", "*.pyc", "bundled")
"""The photos and benchmarks that a wheel carries are read by the gate alone."""


@dataclass(frozen=True)
class Revision:
    """One revision on disk, and how it is run.

    Attributes:
        label: the name that the user gave.
        commit: its full id, or None for the working tree.
        folder: where its files are.
        digest: of the package's source, 64 hexadecimal digits; None where it has no package.
        pins: the dependencies that its pyproject.toml names.
        extras: by name, the dependencies of those extras that backends need.
        source_folders: where Python finds its modules, from its folder.
    """

    label: str
    commit: str | None
    folder: Path
    digest: str | None
    pins: tuple[str, ...]
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source_folders: tuple[str, ...] = (PACKAGE.parent.as_posix(),)

    @property
    def source(self) -> Path:
        """The folder that its modules must come from."""
        return self.folder / self.source_folders[-1]

    @property
    def python_path(self) -> list[Path]:
        """The folders that Python searches first."""
        return [self.folder / name for name in self.source_folders]

    @property
    def title(self) -> str:
        """The label, with the commit's first digits where it says more."""
        return (
            self.label if not self.commit or self.commit.startswith(self.label) else f"{self.label} ({self.commit[:9]})"
        )


@contextmanager
def temporary_checkouts(repository: Path, gate_folder: Path) -> Iterator[Path]:
    """Yield an empty folder for one gate's source trees; remove it with its worktrees at the end, whatever happens.

    Where no repository takes part, any folder may stand for it.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        gate_folder.mkdir(parents=True, exist_ok=True)
        remove_stale(gate_folder)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=gate_folder))
        (folder / REPOSITORY).write_bytes(os.fsencode(repository))
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except OSError as error:
        raise cannot_write(gate_folder, error) from error
    try:
        yield folder
    finally:
        lock.release()
        _remove(folder)


def remove_stale(gate_folder: Path) -> None:
    """Remove the folders of gates that were killed."""
    for folder in gate_folder.glob("run-*"):
        lock = FileLock(folder / LOCK)
        # a held lock means that the gate is alive; an error means that the folder is not ours
        with suppress(Timeout, OSError):
            lock.acquire(timeout=0)
            lock.release()
            _remove(folder)


def _remove(folder: Path) -> None:
    with suppress(OSError, subprocess.CalledProcessError):
        owner = Path(os.fsdecode((folder / REPOSITORY).read_bytes()))
        # one by one: `worktree prune` would also forget a worktree of the user's on a disk that is not mounted now
        for line in git(owner, "worktree", "list", "--porcelain").splitlines():
            worktree = Path(line.removeprefix("worktree "))
            if line.startswith("worktree ") and worktree.is_relative_to(folder.resolve()):
                with suppress(subprocess.CalledProcessError):
                    git(owner, "worktree", "remove", "--force", "--force", str(worktree))
    shutil.rmtree(folder, ignore_errors=True)


def check_out(repository: Path, ref: str, commit: str, folder: Path) -> Revision:
    """Put a commit into a worktree at `folder`.

    Raises:
        UserError: git could not, as with a full disk.
    """
    try:
        git(repository, "worktree", "add", "--quiet", "--detach", str(folder), commit)
    except subprocess.CalledProcessError as error:
        refusal = refusal_of(error)
        next_step = refusal.remedy or "free some space, or ask `git fsck`"
        raise UserError(f"revision {ref}", f"cannot be checked out ({refusal.reason})", next_step) from None
    return _revision(ref, commit, folder)


def copy_working_tree(repository: Path, folder: Path) -> Revision:
    """Copy the package as it is now, uncommitted changes included, so that editing does not disturb the gate.

    Raises:
        UserError: a file cannot be copied.
    """
    with _named_when_not_copied():
        # an editor's lock file is a dangling link
        shutil.copytree(repository / PACKAGE, folder / PACKAGE, ignore=NOT_OURS, ignore_dangling_symlinks=True)
        if (repository / PROJECT).is_file():
            shutil.copy(repository / PROJECT, folder)
    return _revision(WORKING_TREE, None, folder)


@contextmanager
def _named_when_not_copied() -> Iterator[None]:
    """Name the file that could not be copied."""
    try:
        yield
    except shutil.Error as error:
        [(source, _, reason), *_] = error.args[0]
        raise UserError(source, f"cannot be copied ({reason})", "check its permissions") from error
    except OSError as error:
        raise UserError(error.filename, f"cannot be copied ({error.strerror})", "check its permissions") from error


def copy_package(folder: Path) -> Revision:
    """Copy the package that this command runs from, so that an arm of another environment finds it, and nothing else.

    Raises:
        UserError: a file cannot be copied.
    """
    with _named_when_not_copied():
        shutil.copytree(Path(__file__).parents[1], folder / PACKAGE, ignore=NOT_NEEDED)
    return _revision(f"midas-bench {version('midas-bench')}", None, folder)


def copy_tracked_files(repository: Path, folder: Path) -> Revision:
    """Copy a repository of the user's own as it is now: what git tracks, and what it would track.

    Raises:
        UserError: a file cannot be copied.
    """
    listed = git(repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    with _named_when_not_copied():
        for name in filter(None, listed):
            # a file that was deleted is listed too
            if (repository / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(repository / name, folder / name)
    return Revision(WORKING_TREE, None, folder, None, ())


def in_place(folder: Path) -> Revision:
    """Return a user's own code where it is; nothing of it is copied."""
    # all arms run it, so nothing depends on its digest; a virtual environment in the folder would take long to read
    return replace(_users_own(Revision(folder.name, None, folder, None, ())), digest=IN_PLACE)


def as_users_own(code: Revision) -> Revision:
    """Return checked-out code whose modules are found in its folder, or in `src` there as many projects have it."""
    return replace(_users_own(code), digest=sources_sha256(code.folder))


def _users_own(code: Revision) -> Revision:
    return replace(code, source_folders=("src", "") if (code.folder / "src").is_dir() else ("",))


def _revision(label: str, commit: str | None, folder: Path) -> Revision:
    package = folder / PACKAGE
    try:
        digest = sources_sha256(package) if package.is_dir() else None
    except OSError as error:
        raise UserError(
            f"revision {label}", f"holds {error.filename}, which cannot be read", "check its permissions"
        ) from error
    return Revision(label, commit, folder, digest, *_pins(folder))


def _pins(folder: Path) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    try:
        project = tomllib.loads((folder / PROJECT).read_text(encoding="utf-8"))["project"]
        backend_extras = {row.extra for row in registry.ROWS if row.extra}
        extras = {name: tuple(sorted(pins)) for name, pins in project.get("optional-dependencies", {}).items()}
        used = {name: pins for name, pins in extras.items() if name in backend_extras}
        return tuple(sorted(project["dependencies"])), used
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return (), {}


def different_pins(base: Revision, head: Revision) -> list[str]:
    """Say which dependencies only one side asks for, in its own list or in an extra that a backend needs."""
    sides = ((base, head), (head, base))
    return [
        f"{pin} ({side.title} only)" for side, other in sides for pin in _all_pins(side) if pin not in _all_pins(other)
    ]


def _all_pins(side: Revision) -> list[str]:
    # PyTorch was a dependency before it became an extra: to a gate, which needs it, that is the same
    extras = [pin if name == EXTRA else f"{pin} in extra {name}" for name, pins in side.extras.items() for pin in pins]
    return [*side.pins, *extras]
