"""Whether the base moved on after the head began: with real git."""

import subprocess

import pytest

from midas_bench.errors import UserError
from midas_bench.gate import git
from midas_bench.gate.history import compared_with, notes_on_names


def histories(repository, only_in_base, only_in_head):
    """Commit so often on either branch, and check the head's out; return the commit that both share."""
    shared = repository.git("rev-parse", "HEAD")
    repository.git("branch", "feature")
    for number in range(only_in_base):
        repository.commit(f"base {number}")
    repository.git("checkout", "--quiet", "feature")
    for number in range(only_in_head):
        repository.commit(f"head {number}")
    return shared


@pytest.mark.parametrize("head", [None, "feature", "HEAD"])
@pytest.mark.parametrize("only_in_head", [0, 2])
@pytest.mark.parametrize("only_in_base", [0, 1, 3])
def test_commits_that_only_the_base_has_are_counted_and_the_merge_base_is_named(
    repository, only_in_base, only_in_head, head
):
    shared = histories(repository, only_in_base, only_in_head)
    base = compared_with(repository.folder, "main", head, at_merge_base=False)
    assert base.commit == repository.git("rev-parse", "main")
    assert base.to_json() == {"merge_base": shared, "commits_only_in_base": only_in_base}
    if only_in_base:
        [note] = base.notes
        assert f"main has {only_in_base} commit{'s' if only_in_base > 1 else ''} that the head lacks" in note
        assert f"--merge-base compares with {shared[:9]}" in note
    else:
        assert base.notes == []
    instead = compared_with(repository.folder, "main", head, at_merge_base=True)
    assert (instead.label, instead.commit) == (f"merge base of main and {head or 'HEAD'}", shared)
    assert instead.notes == []


def unrelated(repository, _):
    repository.git("checkout", "--quiet", "--orphan", "other")
    repository.commit("another beginning")
    return repository.folder, "their histories are unrelated; choose another --base"


def without_a_commit(repository, _):
    repository.git("checkout", "--quiet", "--orphan", "other")
    return repository.folder, "revision HEAD is unknown here"


def shallow(repository, tmp_path):
    histories(repository, 2, 2)
    clone = tmp_path / "shallow"
    source = f"file://{repository.folder}"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", "--no-single-branch", source, clone], check=True)
    subprocess.run(["git", "-C", clone, "branch", "--quiet", "main", "origin/main"], check=True)
    return clone, "this clone is shallow; fetch more of it: `git fetch --unshallow`"


def corrupt(repository, _):
    shared = histories(repository, 2, 2)
    path = repository.folder / ".git/objects" / shared[:2] / shared[2:]
    path.unlink()
    return repository.folder, f"{shared}; ask `git fsck`"


@pytest.mark.parametrize("build", [unrelated, without_a_commit, shallow, corrupt])
def test_histories_without_a_merge_base_are_one_line_and_can_be_measured(repository, tmp_path, build):
    folder, words = build(repository, tmp_path)
    base = compared_with(folder, "main", None, at_merge_base=False)
    assert base.commit == git.commit_of(folder, "main")
    assert base.merge_base is None
    [note] = base.notes
    assert note.startswith("main and the head share no commit (")
    assert "\n" not in note
    with pytest.raises(UserError, match="--merge-base: finds no commit that main and HEAD share") as error:
        compared_with(folder, "main", None, at_merge_base=True)
    first, _, second = words.partition("; ")
    for line in (note, str(error.value)):
        assert first in line
        assert second in line
        assert "\n" not in line


@pytest.mark.parametrize("ref", ["main", "main~0", "main^{commit}", "heads/feature"])
@pytest.mark.parametrize("warned", ["true", "false"])
def test_a_tag_and_a_branch_of_one_name_are_told(repository, ref, warned):
    histories(repository, 1, 1)
    repository.git("config", "core.warnAmbiguousRefs", warned)
    for name in ("main", "feature", "heads/feature"):
        repository.git("tag", name, "HEAD")
    [note] = notes_on_names(repository.folder, {ref: git.commit_of(repository.folder, ref)})
    assert f"revision {ref}: refname '" in note
    assert "is ambiguous; git takes " in note
    assert git.commit_of(repository.folder, ref)[:9] in note


def test_names_of_one_meaning_are_not_remarked_on(repository):
    repository.git("tag", "v1")
    refs = dict.fromkeys(("main", "v1", "HEAD", "refs/heads/main", "HEAD~0"), "commit")
    assert notes_on_names(repository.folder, refs) == []
