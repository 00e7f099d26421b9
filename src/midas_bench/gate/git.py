"""What git knows: which commit a name stands for, and why git refuses."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from midas_bench.errors import UserError

PACKAGE = Path("src/midas_bench")
DEEPEN = "fetch more of it: `git fetch --unshallow`, or `fetch-depth: 0` in actions/checkout"
NO_SUCH_REVISION = "Needed a single revision"
"""Git's message for a name that it cannot resolve, whatever the cause."""
REASONS = ("fatal: ", "error: ")


def git(repository: Path, *arguments: str) -> str:
    """Return what git prints, without the newline at its end.

    Raises:
        subprocess.CalledProcessError: git refuses; its message is in `stderr`.
    """
    return _run_git("-C", str(repository), "-c", f"core.hooksPath={os.devnull}", *arguments).stdout.rstrip("\n")


def _run_git(*arguments: str) -> subprocess.CompletedProcess[str]:
    # git's messages are parsed, so they must be English
    environment = {name: value for name, value in os.environ.items() if name not in _repository_variables()}
    return _run(arguments, environment | {"LC_ALL": "C"})


@cache
def _repository_variables() -> frozenset[str]:
    """Return the variables that name a repository: a gate that a git hook starts must not work on the hook's index.

    Those that hold configuration stay: a user may have declared the checkout safe with them.
    """
    listed = _run(("rev-parse", "--local-env-vars"), os.environ).stdout.split()
    return frozenset(name for name in listed if not name.startswith("GIT_CONFIG"))


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    # surrogates keep a path that is not UTF-8
    options: Any = {"encoding": "utf-8", "errors": "surrogateescape", "env": environment}
    return subprocess.run(["git", *arguments], capture_output=True, check=True, **options)


def repository(folder: Path, package: bool = True) -> Path:
    """Return the top of the repository that a folder is in.

    Args:
        folder: in the repository.
        package: whether this package must be in it.

    Raises:
        UserError: git is missing or refuses, or the folder is in no repository, or the package is not in it.
    """
    try:
        top = Path(git(folder, "rev-parse", "--show-toplevel"))
    except FileNotFoundError:
        raise UserError("git", "is not installed", "install it") from None
    except subprocess.CalledProcessError as error:
        refusal = refusal_of(error)
        if refusal.reason.startswith("not a git repository"):
            raise UserError(folder, f"is in no git repository ({refusal.reason})", "change into one") from None
        next_step = refusal.remedy or "change into a checkout of midas-bench that git accepts"
        raise UserError(folder, f"is refused by git: {refusal.reason}", next_step) from None
    if package and not (top / PACKAGE).is_dir():
        raise UserError(top, f"has no {PACKAGE.as_posix()}", "run the gate in a checkout of midas-bench") from None
    return top


def commit_of(repository: Path, ref: str) -> str:
    """Return the commit that a name stands for.

    Raises:
        UserError: there is none of that name here, or the name is empty, or git refuses.
    """
    if not ref:
        raise UserError("--base or --head", "is an empty name", "check the variable that it comes from")
    try:
        return git(repository, *_commit_named(ref))
    except subprocess.CalledProcessError as error:
        reasons = [reason for reason in refusal_of(error).reasons if reason != NO_SUCH_REVISION]
        if reasons:
            next_step = refusal_of(error).remedy or "name another revision, or ask `git fsck`"
            raise UserError(f"revision {ref}", f"is refused by git: {'; '.join(reasons)}", next_step) from None
    if is_shallow(repository):
        raise UserError(f"revision {ref}", "is not in this shallow clone", DEEPEN)
    if not git(repository, "rev-list", "--all", "--max-count=1"):
        raise UserError(f"revision {ref}", "names nothing: this repository has no commit yet", "commit first")
    raise UserError(f"revision {ref}", "is unknown here", "check its name, or fetch it")


def _commit_named(ref: str) -> tuple[str, ...]:
    return "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}"


def warnings_on(repository: Path, ref: str) -> list[str]:
    """Return what git warns of when it looks a name up, such as a tag and a branch of that name."""
    lookup = ("-c", "core.warnAmbiguousRefs=true", *_commit_named(ref))
    lines = _run_git("-C", str(repository), *lookup).stderr.splitlines()
    return [line.removeprefix("warning: ").rstrip(".") for line in lines if line.startswith("warning: ")]


def is_shallow(repository: Path) -> bool:
    """Tell whether a clone lacks the older part of its history."""
    return git(repository, "rev-parse", "--is-shallow-repository") == "true"


@dataclass(frozen=True)
class Refusal:
    """Why git refused.

    Attributes:
        reasons: in git's words, each once.
        remedy: what git advises; empty where it advises nothing.
    """

    reasons: tuple[str, ...]
    remedy: str

    @property
    def reason(self) -> str:
        """All reasons."""
        return "; ".join(self.reasons)


def refusal_of(error: subprocess.CalledProcessError) -> Refusal:
    """Read why git refused."""
    lines = [line.strip() for line in str(error.stderr).splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith(REASONS)] or [f"fatal: exit code {error.returncode}"]
    advice = [line for line in lines if not line.startswith((*REASONS, "warning: "))]
    return Refusal(
        tuple(dict.fromkeys(line.split(": ", 1)[1] for line in reasons)),
        " ".join(line.removeprefix("hint: ") for line in advice),
    )
