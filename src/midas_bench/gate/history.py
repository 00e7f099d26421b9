"""The commits that a base and a head share, and those that only the base has."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from midas_bench.errors import UserError
from midas_bench.gate.git import DEEPEN, commit_of, git, is_shallow, refusal_of, warnings_on

CHECKED_OUT = "HEAD"
"""The commit that the working tree began with."""


@dataclass(frozen=True)
class Compared:
    """The commit that a head is compared with, and what both have in common.

    Attributes:
        label: of the commit.
        commit: its full id.
        merge_base: the newest commit that the base and the head share; None where there is none.
        commits_only_in_base: how many commits this one has that the head lacks.
        problem: why no commit is shared.
        next_step: the cure for that.
    """

    label: str
    commit: str
    merge_base: str | None = None
    commits_only_in_base: int = 0
    problem: str = ""
    next_step: str = ""

    @property
    def notes(self) -> list[str]:
        """Say where the base moved on after the head began, or shares no history with it."""
        if self.merge_base is None:
            return [f"{self.label} and the head share no commit ({self.problem}); {self.next_step}"]
        if not self.commits_only_in_base:
            return []
        count = f"{self.commits_only_in_base} commit{'' if self.commits_only_in_base == 1 else 's'}"
        return [
            f"{self.label} has {count} that the head lacks, and a difference may come from there. "
            f"--merge-base compares with {self.merge_base[:9]}, the newest commit that both have."
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the result's fields about the history, in JSON types."""
        return {"merge_base": self.merge_base, "commits_only_in_base": self.commits_only_in_base}


def compared_with(repository: Path, base: str, head: str | None, at_merge_base: bool) -> Compared:
    """Find the commit that a head is compared with; None stands for the working tree.

    Args:
        repository: of both.
        base: a revision, as git names it.
        head: likewise.
        at_merge_base: whether the newest commit that both share takes the base's place.

    Raises:
        UserError: a revision is not usable, or there is no merge base.
    """
    commit = commit_of(repository, base)
    compared = _with_merge_base(repository, Compared(base, commit), head)
    if not at_merge_base:
        return compared
    if compared.merge_base is None:
        both = f"{base} and {head or CHECKED_OUT}"
        raise UserError("--merge-base", f"finds no commit that {both} share ({compared.problem})", compared.next_step)
    label = f"merge base of {base} and {head or CHECKED_OUT}"
    return Compared(label, compared.merge_base, compared.merge_base)


def _with_merge_base(repository: Path, base: Compared, head: str | None) -> Compared:
    try:
        head_commit = commit_of(repository, CHECKED_OUT if head is None else head)
    except UserError as error:
        if head is not None:
            raise
        # the working tree can be measured all the same
        return replace(base, problem=f"{error.thing} {error.reason}", next_step=error.next_step)
    try:
        count = int(git(repository, "rev-list", "--count", base.commit, f"^{head_commit}"))
        merge_base = git(repository, "merge-base", base.commit, head_commit)
    except subprocess.CalledProcessError as error:
        # git prints nothing where it searched and there is no merge base
        if error.stderr:
            return replace(base, problem=refusal_of(error).reason, next_step="ask `git fsck`")
        if is_shallow(repository):
            return replace(base, problem="this clone is shallow", next_step=DEEPEN)
        return replace(base, problem="their histories are unrelated", next_step="choose another --base")
    return replace(base, merge_base=merge_base, commits_only_in_base=count)


def notes_on_names(repository: Path, commits: Mapping[str, str]) -> list[str]:
    """Say what git warns of when it looks up the names of commits, such as a tag and a branch of one name."""
    return [
        f"revision {ref}: {warning}; git takes {commit[:9]}. Write refs/heads/ or refs/tags/ before the name to choose."
        for ref, commit in commits.items()
        for warning in warnings_on(repository, ref)
    ]
