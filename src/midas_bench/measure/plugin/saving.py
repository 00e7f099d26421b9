"""The end of a run: all cells in one file, the depth maps beside it, and the journal gone if nothing needs it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from midas_bench.errors import UserError
from midas_bench.measure.plugin import internals
from midas_bench.measure.plugin.run_state import RUN_STATE, RunState
from midas_bench.measure.plugin.settings import write_line
from midas_bench.results.run_files import depth_maps_of

EXIT_NOTHING_MEASURED = 5


class Saving:
    """The files that pytest-benchmark saves in its storage: `paths` once all of them are whole, else None.

    `folder` is the storage, or None where nothing goes there: it need not be writable then.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.paths: set[Path] | None = None

    def __call__(self, save: Callable[[], None]) -> None:
        """Save; two runs that end at once would take the same number."""
        if self._folder is None:
            save()
            self.paths = set()
            return
        with FileLock(self._folder / ".saving.lock"):
            before = set(self._folder.glob("*.json"))
            try:
                save()
            except BaseException:
                # this run tore them: others wait for the lock
                for torn in set(self._folder.glob("*.json")) - before:
                    torn.unlink(missing_ok=True)
                raise
            self.paths = set(self._folder.glob("*.json")) - before


# around pytest-benchmark's own hook, which saves, and around its tables
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Restore earlier cells, let pytest-benchmark save, and remove the journal if the file holds all of them.

    The saving alone decides whether it is. An error that is raised later, for example by --benchmark-compare-fail,
    changes nothing.
    """
    config = session.config
    state = config.stash.get(RUN_STATE, None)
    if state is None:
        internals.save_something_only(config)
        return (yield)
    measured_now = {bench.fullname for bench in internals.session_of(config).benchmarks}
    internals.keep_only(config, state.finished.keys())
    restored = [row for name, row in state.finished.items() if name not in measured_now]
    internals.restore_results(config, restored, state.profiles)
    internals.order(config, state.planned)
    internals.save_something_only(config)
    folder = internals.storage_folder(config)
    saving = Saving(folder if internals.stores(config) else None)
    internals.save_within(config, saving)
    try:
        return (yield)
    except OSError as error:
        if saving.paths is not None:
            raise
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        write_line(config, f"ERROR: {_not_saved(folder, error)}; then go on with --resume", red=True)
        return None
    finally:
        _settle(session, state, saving)


def _settle(session: pytest.Session, state: RunState, saving: Saving) -> None:
    """Keep what belongs to the saved files, and the journal where not all of it is in them."""
    whole = saving.paths is not None
    try:
        _copy_depth_maps(state, saving.paths or set(), internals.session_of(session.config).json if whole else None)
    except OSError as error:
        whole = False
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        failed = _not_saved(state.journal.depth_maps_folder, error)
        write_line(
            session.config, f"ERROR: {failed}; the depth maps are still in {state.journal.depth_maps_folder}", red=True
        )
    if whole and state.complete and not state.unplanned:
        state.journal.remove()
    else:
        state.journal.release()
    if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.OK if state.finished else EXIT_NOTHING_MEASURED


def _not_saved(folder: Path, error: OSError) -> UserError:
    reason = f"cannot be written ({error.strerror or error})"
    advice = "free some space, or choose another place with --benchmark-json or --benchmark-storage"
    return UserError(error.filename or folder, reason, advice)


def _copy_depth_maps(state: RunState, saved: set[Path], json_path: str | None) -> None:
    """Copy the run's depth maps beside each file that was saved, into a folder of its name."""
    targets = [*saved, *([Path(json_path)] if json_path else [])]
    for path in targets:
        if state.journal.depth_maps_folder.is_dir():
            shutil.copytree(state.journal.depth_maps_folder, depth_maps_of(path), dirs_exist_ok=True)
