"""Two revisions as folders of their own: a git worktree, or a copy of the working tree.

Nothing in the user's checkout changes. What a gate that was killed left behind is removed by the next one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from midas_bench.depth.backends import registry
from midas_bench.errors import UserError
from midas_bench.files import cannot_write, sources_sha256

PACKAGE = Path("src/midas_bench")
PROJECT = "pyproject.toml"
WORKING_TREE = "working tree"
REPOSITORY, LOCK = "repository", "lock"
NOT_OURS = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True)
class Tree:
    """One revision on disk.

    Attributes:
        label: as the user called it.
        commit: its full id, or None for the working tree.
        folder: where its files are.
        digest: of the package's source, 64 hexadecimal digits; None where it has no package.
        pins: the dependencies that its pyproject.toml names.
        extras: by name, those of the extras that backends need.
    """

    label: str
    commit: str | None
    folder: Path
    digest: str | None
    pins: tuple[str, ...]
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        """The folder that Python finds the package in."""
        return self.folder / PACKAGE.parent

    @property
    def title(self) -> str:
        """The label, with the commit's first digits where it says more."""
        return (
            self.label if not self.commit or self.commit.startswith(self.label) else f"{self.label} ({self.commit[:9]})"
        )


def git(repository: Path, *arguments: str) -> str:
    """Return what git says, without the newline at its end.

    Raises:
        subprocess.CalledProcessError: git refuses; its words are in `stderr`.
    """
    # a gate that a git hook starts must not work on the hook's index
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(repository), "-c", f"core.hooksPath={os.devnull}", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment, encoding="utf-8", errors="replace"
    ).stdout.rstrip("\n")


def repository(folder: Path) -> Path:
    """Return the top of the repository that a folder is in.

    Raises:
        UserError: git is missing, or it is in none, or the package is not in it.
    """
    try:
        top = Path(git(folder, "rev-parse", "--show-toplevel"))
    except FileNotFoundError:
        raise UserError("git", "is not installed", "install it") from None
    except subprocess.CalledProcessError as error:
        raise UserError(folder, f"is in no git repository ({_said(error)})", "change into one") from None
    if not (top / PACKAGE).is_dir():
        raise UserError(top, f"has no {PACKAGE.as_posix()}", "run the gate in a checkout of midas-bench") from None
    return top


def commit_of(repository: Path, ref: str) -> str:
    """Return the commit that a name stands for.

    Raises:
        UserError: there is none of that name here, or the name is empty.
    """
    if not ref:
        raise UserError("--base or --head", "is an empty name", "check the variable that it comes from")
    try:
        return git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    except subprocess.CalledProcessError:
        if git(repository, "rev-parse", "--is-shallow-repository") == "true":
            advice = "fetch more of it: `git fetch --unshallow`, or `fetch-depth: 0` in actions/checkout"
            raise UserError(f"revision {ref}", "is not in this shallow clone", advice) from None
        raise UserError(f"revision {ref}", "is unknown here", "check its name, or fetch it") from None


@contextmanager
def workshop(repository: Path, place: Path) -> Iterator[Path]:
    """Yield an empty folder for one gate, and remove it with the worktrees in it, whatever happens.

    Raises:
        UserError: the place cannot be written.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        sweep(place)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=place))
        (folder / REPOSITORY).write_text(str(repository), encoding="utf-8")
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except OSError as error:
        raise cannot_write(place, error) from error
    try:
        yield folder
    finally:
        lock.release()
        _remove(folder)


def sweep(place: Path) -> None:
    """Remove what gates left that did not live to do it themselves."""
    for folder in place.glob("run-*"):
        lock = FileLock(folder / LOCK)
        with suppress(Timeout, OSError):  # alive, or not ours to remove
            lock.acquire(timeout=0)
            lock.release()
            _remove(folder)


def _remove(folder: Path) -> None:
    with suppress(OSError, subprocess.CalledProcessError):
        owner = Path((folder / REPOSITORY).read_text(encoding="utf-8"))
        # ours one by one: `worktree prune` would forget the user's own whose folder is away for the moment
        for line in git(owner, "worktree", "list", "--porcelain").splitlines():
            worktree = Path(line.removeprefix("worktree "))
            if line.startswith("worktree ") and worktree.is_relative_to(folder.resolve()):
                with suppress(subprocess.CalledProcessError):
                    git(owner, "worktree", "remove", "--force", "--force", str(worktree))
    shutil.rmtree(folder, ignore_errors=True)


def check_out(repository: Path, ref: str, commit: str, folder: Path) -> Tree:
    """Put a commit into a worktree at `folder`.

    Raises:
        UserError: git could not, as with a full disk.
    """
    try:
        git(repository, "worktree", "add", "--quiet", "--detach", str(folder), commit)
    except subprocess.CalledProcessError as error:
        raise UserError(f"revision {ref}", f"cannot be checked out ({_said(error)})", "see what git says") from None
    return _tree(ref, commit, folder)


def copy_working_tree(repository: Path, folder: Path) -> Tree:
    """Copy the package as it is now, uncommitted changes included, so that editing does not disturb the gate.

    Raises:
        UserError: a file cannot be copied.
    """
    try:
        # an editor's lock is a link to nowhere
        shutil.copytree(repository / PACKAGE, folder / PACKAGE, ignore=NOT_OURS, ignore_dangling_symlinks=True)
        if (repository / PROJECT).is_file():
            shutil.copy(repository / PROJECT, folder)
    except shutil.Error as error:
        [(source, _, reason), *_] = error.args[0]
        raise UserError(source, f"cannot be copied ({reason})", "check its permissions") from error
    except OSError as error:
        raise UserError(error.filename, f"cannot be copied ({error.strerror})", "check its permissions") from error
    return _tree(WORKING_TREE, None, folder)


def _tree(label: str, commit: str | None, folder: Path) -> Tree:
    package = folder / PACKAGE
    try:
        digest = sources_sha256(package) if package.is_dir() else None
    except OSError as error:
        raise UserError(f"revision {label}", f"holds {error.filename}, which cannot be read", "mend it") from error
    return Tree(label, commit, folder, digest, *_pins(folder))


def _pins(folder: Path) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    try:
        project = tomllib.loads((folder / PROJECT).read_text(encoding="utf-8"))["project"]
        wanted = {row.extra for row in registry.ROWS if row.extra}
        extras = {name: tuple(sorted(of)) for name, of in project.get("optional-dependencies", {}).items()}
        return tuple(sorted(project["dependencies"])), {name: of for name, of in extras.items() if name in wanted}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return (), {}


def different_pins(base: Tree, head: Tree) -> list[str]:
    """Say which dependencies only one side asks for, in its own list or in an extra that a backend needs."""
    sides = ((base, head), (head, base))
    return [
        f"{pin} ({one.title} only)" for one, other in sides for pin in _all_pins(one) if pin not in _all_pins(other)
    ]


def _all_pins(tree: Tree) -> list[str]:
    extras = [f"{pin} in extra {name}" for name, pins in tree.extras.items() for pin in pins]
    return [*tree.pins, *extras]


def _said(error: subprocess.CalledProcessError) -> str:
    lines = [line for line in str(error.stderr).splitlines() if line.strip()]
    return lines[-1].removeprefix("fatal: ") if lines else "git said nothing"
