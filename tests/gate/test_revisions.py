"""Revisions as folders: with real git."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from midas_bench.errors import UserError
from midas_bench.gate import git, revisions
from midas_bench.gate.revisions import Revision


def test_a_commit_becomes_a_worktree_that_goes_when_the_gate_ends(repository, tmp_path):
    commit = repository.git("rev-parse", "HEAD")
    repository.write(colour=9)
    before = repository.state()
    with revisions.temporary_checkouts(repository.folder, tmp_path / "gate") as run_folder:
        tree = revisions.check_out(repository.folder, "main", commit, run_folder / "base")
        assert (tree.source / "midas_bench/depth/calls.py").is_file()
        assert tree.title == f"main ({commit[:9]})"
        head = revisions.copy_working_tree(repository.folder, run_folder / "head")
        assert head.title == "working tree"
        assert head.digest != tree.digest
        assert "bytes([9])" in (head.source / "midas_bench/depth/calls.py").read_text()
    assert repository.state() == before
    assert list((tmp_path / "gate").iterdir()) == []


def test_temporary_checkouts_are_removed_when_the_gate_fails(repository, tmp_path):
    commit = repository.git("rev-parse", "HEAD")
    with (
        pytest.raises(RuntimeError),
        revisions.temporary_checkouts(repository.folder, tmp_path / "gate") as run_folder,
    ):
        revisions.check_out(repository.folder, "main", commit, run_folder / "base")
        raise RuntimeError
    assert "gate" not in repository.git("worktree", "list")


def test_checkouts_of_a_killed_gate_are_removed_and_those_of_a_living_one_stay(repository, tmp_path):
    gate_folder = tmp_path / "gate"
    commit = repository.git("rev-parse", "HEAD")
    for name in ("run-dead", "run-alive"):
        (gate_folder / name).mkdir(parents=True)
        (gate_folder / name / revisions.REPOSITORY).write_text(str(repository.folder))
        revisions.check_out(repository.folder, "main", commit, gate_folder / name / "base")
    with (
        FileLock(gate_folder / "run-alive" / revisions.LOCK),
        revisions.temporary_checkouts(repository.folder, gate_folder),
    ):
        pass
    assert [folder.name for folder in gate_folder.iterdir()] == ["run-alive"]
    listed = repository.git("worktree", "list")
    assert "run-alive" in listed
    assert "run-dead" not in listed


def test_the_users_own_worktree_whose_folder_is_away_is_not_forgotten(repository, tmp_path):
    repository.git("worktree", "add", "--quiet", "--detach", tmp_path / "mine")
    (tmp_path / "mine").rename(tmp_path / "away")
    commit = repository.git("rev-parse", "HEAD")
    with revisions.temporary_checkouts(repository.folder, tmp_path / "gate") as run_folder:
        revisions.check_out(repository.folder, "main", commit, run_folder / "base")
    listed = repository.git("worktree", "list")
    assert "mine" in listed
    assert "gate" not in listed


def test_a_folder_of_a_gate_that_was_killed_at_its_very_start_is_removed(tmp_path):
    (tmp_path / "gate/run-dead").mkdir(parents=True)
    revisions.remove_stale(tmp_path / "gate")
    assert list((tmp_path / "gate").iterdir()) == []


def test_a_link_to_nowhere_and_a_missing_project_file_do_not_stop_a_copy(repository, tmp_path):
    (repository.folder / "src/midas_bench/.#calls.py").symlink_to("somebody@nowhere.1234")
    (repository.folder / "pyproject.toml").unlink()
    head = revisions.copy_working_tree(repository.folder, tmp_path / "head")
    assert head.digest is not None
    assert (head.pins, head.extras) == ((), {})


def test_a_file_that_cannot_be_copied_is_one_line(repository, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise shutil.Error([("calls.py", "there", "[Errno 13] Permission denied")])

    monkeypatch.setattr(revisions.shutil, "copytree", refuse)
    with pytest.raises(UserError, match=r"calls.py: cannot be copied \(\[Errno 13\] Permission denied\)"):
        revisions.copy_working_tree(repository.folder, tmp_path / "head")


def test_an_empty_revision_name_is_one_line(repository):
    with pytest.raises(UserError, match="is an empty name; check the variable"):
        git.commit_of(repository.folder, "")


def test_a_name_that_git_does_not_know_is_one_line(repository):
    with pytest.raises(UserError, match="revision nowhere: is unknown here; check its name, or fetch it"):
        git.commit_of(repository.folder, "nowhere")


def test_a_shallow_clone_is_told_how_to_become_deeper(repository, tmp_path):
    repository.commit("second")
    source = f"file://{repository.folder}"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", source, tmp_path / "shallow"], check=True)
    with pytest.raises(UserError, match=r"is not in this shallow clone; .*--unshallow.*fetch-depth: 0"):
        git.commit_of(tmp_path / "shallow", "HEAD~1")


def test_a_folder_outside_of_any_repository_is_one_line(tmp_path):
    with pytest.raises(UserError, match="is in no git repository"):
        git.repository(tmp_path)


def test_another_projects_repository_is_one_line(repository):
    for path in sorted(repository.folder.glob("src/**/*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(UserError, match=r"has no src/midas_bench; run the gate in a checkout of midas-bench"):
        git.repository(repository.folder)


def test_a_git_that_is_not_there_is_one_line(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="git: is not installed"):
        git.repository(repository.folder)


def test_a_hook_that_starts_the_gate_keeps_its_index(repository, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "nowhere")
    assert git.repository(repository.folder) == repository.folder


@pytest.fixture
def owned_by_another(repository, monkeypatch):
    """Give the checkout to another user, or let git believe so where only root could."""
    if os.geteuid() == 0:
        for path in (repository.folder, *repository.folder.rglob("*")):
            os.chown(path, 12345, 12345, follow_symlinks=False)
    else:
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.delenv("SUDO_UID", raising=False)
    return repository


@pytest.mark.parametrize("language", ["C", "de_DE.UTF-8", "fr:de"])
def test_a_checkout_of_another_owner_is_refused_with_gits_reason_and_remedy(owned_by_another, monkeypatch, language):
    for name in ("LANG", "LC_ALL", "LANGUAGE"):
        monkeypatch.setenv(name, language)
    folder = owned_by_another.folder
    with pytest.raises(UserError) as error:
        git.repository(folder)
    assert "\n" not in str(error.value)
    assert error.value.reason == f"is refused by git: detected dubious ownership in repository at '{folder}'"
    assert f"git config --global --add safe.directory '{folder}'" in error.value.next_step


def declared_by_count(monkeypatch, _, value):
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", value)


def declared_by_parameters(monkeypatch, _, value):
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'safe.directory'='{value}'")


def declared_by_file(monkeypatch, tmp_path, value):
    (tmp_path / "gitconfig").write_text(f'[safe]\n\tdirectory = "{value}"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))


@pytest.mark.parametrize("declared", [declared_by_count, declared_by_parameters, declared_by_file])
@pytest.mark.parametrize("everywhere", [True, False])
def test_a_checkout_that_the_environment_declares_safe_is_accepted(
    owned_by_another, monkeypatch, tmp_path, declared, everywhere
):
    folder = owned_by_another.folder
    # also for the repository's own use of git, which makes the commit below
    declared(monkeypatch, tmp_path, "*" if everywhere else str(folder))
    commit = owned_by_another.git("rev-parse", "HEAD")
    assert git.repository(folder) == folder
    assert git.commit_of(folder, "main") == commit
    # a worktree's own folder belongs to this user, its repository does not
    with revisions.temporary_checkouts(folder, tmp_path / "gate") as run_folder:
        assert revisions.check_out(folder, "main", commit, run_folder / "base").digest is not None
    assert "gate" not in owned_by_another.git("worktree", "list")


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY",
                                      "GIT_COMMON_DIR", "GIT_SHALLOW_FILE", "GIT_PREFIX"])  # fmt: skip
def test_a_variable_that_names_another_repository_is_dropped(repository, monkeypatch, variable):
    commit = repository.git("rev-parse", "HEAD")
    monkeypatch.setenv(variable, "/nowhere")
    assert git.repository(repository.folder) == repository.folder
    assert git.commit_of(repository.folder, "main") == commit


def in_its_own_files(folder):
    return folder / ".git"


def bare(folder):
    subprocess.run(["git", "clone", "--quiet", "--bare", folder, folder / "bare"], check=True)
    return folder / "bare"


def of_a_newer_format(folder):
    subprocess.run(["git", "-C", folder, "config", "core.repositoryformatversion", "9"], check=True)
    return folder


def with_a_broken_configuration(folder):
    (folder / ".git/config").write_text("[core")
    return folder


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (in_its_own_files, "this operation must be run in a work tree; change into a checkout"),
        (bare, "this operation must be run in a work tree; change into a checkout"),
        (of_a_newer_format, "Expected git repo version <= 1, found 9"),
        (with_a_broken_configuration, "bad config line"),
    ],
)
def test_a_repository_that_git_refuses_is_not_called_none(repository, place, words):
    with pytest.raises(UserError) as error:
        git.repository(place(repository.folder))
    assert words in str(error.value)
    assert "no git repository" not in str(error.value)


def blob(repository):
    return repository.git("hash-object", "-w", "pyproject.toml")


def corrupt_commit(repository):
    commit = repository.git("rev-parse", "HEAD")
    (repository.folder / ".git/objects" / commit[:2] / commit[2:]).unlink()
    (repository.folder / ".git/objects" / commit[:2] / commit[2:]).write_bytes(b"not zlib")
    return "main"


def ambiguous_prefix(repository):
    tree = repository.git("rev-parse", "HEAD^{tree}")
    seen = {}
    for number in range(2000):
        commit = repository.git("commit-tree", tree, "-m", str(number))
        if commit[:4] in seen:
            return commit[:4]
        seen[commit[:4]] = commit
    raise AssertionError("no two commits begin alike")


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        (blob, "expected commit type, but the object dereferences to blob type"),
        (corrupt_commit, "is corrupt; name another revision, or ask `git fsck`"),
        (ambiguous_prefix, "is ambiguous; The candidates are:"),
    ],
)
def test_a_name_that_git_refuses_is_told_in_gits_words(repository, ref, words):
    name = ref(repository)
    with pytest.raises(UserError) as error:
        git.commit_of(repository.folder, name)
    assert words in str(error.value)
    assert "unknown" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ref", ["HEAD", "main"])
def test_a_branch_without_a_commit_is_one_line(tmp_path, ref):
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", tmp_path], check=True)
    with pytest.raises(UserError, match="names nothing: this repository has no commit yet; commit first"):
        git.commit_of(tmp_path, ref)


def test_a_corrupt_file_of_a_revision_is_told_in_gits_words(repository, tmp_path):
    commit = repository.git("rev-parse", "HEAD")
    calls = repository.git("rev-parse", "HEAD:src/midas_bench/depth/calls.py")
    path = repository.folder / ".git/objects" / calls[:2] / calls[2:]
    path.unlink()
    path.write_bytes(b"not zlib")
    with (
        pytest.raises(UserError, match=r"cannot be checked out \(.*corrupt.*git fsck") as error,
        revisions.temporary_checkouts(repository.folder, tmp_path / "gate") as run_folder,
    ):
        revisions.check_out(repository.folder, "main", commit, run_folder / "base")
    assert "\n" not in str(error.value)


def test_a_submodule_and_a_worktree_are_repositories_of_their_own(repository, tmp_path):
    commit = repository.git("rev-parse", "HEAD")
    repository.git("worktree", "add", "--quiet", "--detach", tmp_path / "linked")
    subprocess.run(["git", "init", "--quiet", tmp_path / "outer"], check=True)
    add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository.folder), "inner"]
    subprocess.run(["git", "-C", tmp_path / "outer", *add], check=True)
    for folder in (tmp_path / "linked", tmp_path / "outer/inner"):
        assert git.repository(folder / "src") == folder
        with revisions.temporary_checkouts(folder, tmp_path / "gate") as run_folder:
            assert revisions.check_out(folder, "HEAD", commit, run_folder / "base").digest is not None
        assert "gate" not in git.git(folder, "worktree", "list")


def test_a_checkout_whose_path_is_not_utf_8_is_found(repository, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    repository.folder.rename(folder)
    assert git.repository(folder) == folder
    commit = git.commit_of(folder, "main")
    with revisions.temporary_checkouts(folder, tmp_path / "gate") as run_folder:
        revisions.check_out(folder, "main", commit, run_folder / "base")
    assert "gate" not in git.git(folder, "worktree", "list")


def test_no_hook_of_the_user_runs(repository, tmp_path):
    hook = repository.folder / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    hook.chmod(0o755)
    commit = repository.git("rev-parse", "HEAD")
    with revisions.temporary_checkouts(repository.folder, tmp_path / "gate") as run_folder:
        revisions.check_out(repository.folder, "main", commit, run_folder / "base")
    assert not (tmp_path / "ran").exists()


def test_dependencies_that_differ_are_named(repository, tmp_path):
    commit = repository.git("rev-parse", "HEAD")
    project = repository.folder / "pyproject.toml"
    project.write_text(project.read_text().replace("torch==2.13.0", "torch==2.12.0").replace("nncf>=3.0,<4", "nncf>=4"))
    with revisions.temporary_checkouts(repository.folder, tmp_path / "gate") as run_folder:
        base = revisions.check_out(repository.folder, "main", commit, run_folder / "base")
        head = revisions.copy_working_tree(repository.folder, run_folder / "head")
        pins = revisions.different_pins(base, head)
    base, head = f"(main ({commit[:9]}) only)", "(working tree only)"
    assert pins == [
        f"torch==2.13.0 {base}",
        f"nncf>=3.0,<4 in extra int8 {base}",
        f"torch==2.12.0 {head}",
        f"nncf>=4 in extra int8 {head}",
    ]


def test_pytorch_as_a_dependency_or_as_an_extra_is_the_same():
    before = Revision("main", None, Path(), None, ("numpy>=2", "torch==2.13.0"))
    after = Revision("HEAD", None, Path(), None, ("numpy>=2",), {"torch": ("torch==2.13.0",)})
    assert revisions.different_pins(before, after) == []


def test_a_tree_without_the_package_has_no_digest(repository, tmp_path):
    repository.git("rm", "-r", "--quiet", "src")
    commit = repository.commit("without")
    with revisions.temporary_checkouts(repository.folder, tmp_path / "gate") as run_folder:
        assert revisions.check_out(repository.folder, "main", commit, run_folder / "base").digest is None


def test_a_cache_folder_that_cannot_be_written_is_one_line(repository, tmp_path):
    (tmp_path / "gate").write_text("a file")
    with (
        pytest.raises(UserError, match="cannot be written"),
        revisions.temporary_checkouts(repository.folder, tmp_path / "gate"),
    ):
        pass
