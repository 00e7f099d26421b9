"""Nothing lost: each finished cell is on disk before the next one starts, and an interrupted run can be resumed.

While a run is under way its cells stand in a journal, one JSON line each, in the same form as a benchmark in
pytest-benchmark's JSON. When all of them stand in that JSON the journal goes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from midas_bench.errors import UserError
from midas_bench.files import cannot_write
from midas_bench.measure.plugin import internals
from midas_bench.measure.plugin.identity import differences, identity
from midas_bench.measure.plugin.journal import (
    SCHEMA,
    Journal,
    Row,
    abandoned,
    finished_in,
    mend,
    new_journal,
    read_rows,
)
from midas_bench.measure.plugin.settings import RUN, SETTINGS, is_cell

EXIT_NOTHING_MEASURED = 5


class Ledger:
    """What became of each planned cell."""

    def __init__(self, planned: Sequence[str], journal: Journal) -> None:
        self.planned = list(planned)
        self.journal = journal
        self.finished: dict[str, Row] = {}
        self.failed: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.pending: dict[str, Row] = {}

    @property
    def complete(self) -> bool:
        """Whether every planned cell was finished, or skipped for a reason."""
        return all(name in self.finished or name in self.skipped for name in self.planned)

    def to_json(self) -> Row:
        """Return the status that every saved file carries."""
        return {
            "schema": SCHEMA,
            "status": "complete" if self.complete else "partial",
            "planned": self.planned,
            "finished": [name for name in self.planned if name in self.finished],
            "failed": [{"cell": name, "reason": reason} for name, reason in self.failed.items()],
            "skipped": [{"cell": name, "reason": reason} for name, reason in self.skipped.items()],
        }

    def note(self, report: pytest.TestReport) -> None:
        """Write what pytest reports of a cell to the journal."""
        name = report.nodeid
        if report.failed:
            self.failed.setdefault(name, _reason(report))  # what failed first, not what its teardown said of it
            self.finished.pop(name, None)
            self.journal.append({"failed": name, "reason": self.failed[name]})
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self.skipped[name] = reason.removeprefix("Skipped: ")
            self.journal.append({"skipped": name, "reason": self.skipped[name]})
        elif report.when == "call" and name in self.pending:
            self.finished[name] = row = self.pending.pop(name)
            self.journal.append({"cell": row})


def _reason(report: pytest.TestReport) -> str:
    """Return the exception in one line; the last line of a traceback would name a file and no more."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = report.longreprtext if crash is None else crash.message.partition("\n")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "failed"


LEDGER = pytest.StashKey[Ledger]()


@pytest.hookimpl(trylast=True)  # the cells that -k and -m leave
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the journal, or take up an abandoned one and leave out what it holds."""
    cells = [item for item in items if is_cell(item)]
    if not cells or not internals.measures(config):
        return
    try:
        ledger = _open(config, [item.nodeid for item in cells])
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[LEDGER] = ledger
    done = [item for item in cells if item.nodeid in ledger.finished]
    if done:
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if item not in done]


def _open(config: pytest.Config, planned: Sequence[str]) -> Ledger:
    folder = internals.storage_folder(config)
    settings = config.stash[SETTINGS]
    found = abandoned(folder) if settings.resume else None
    now = identity(config, planned)
    rows = read_rows(found) if found else []
    if found is None or not rows:
        ledger = Ledger(planned, Journal(found) if found else new_journal(folder))
        if found:
            mend(found)
        ledger.journal.append({"journal": SCHEMA, "identity": now})
        return ledger
    head, *rows = rows
    changed = differences(head["identity"], now)
    if changed and settings.resume != "force":
        raise UserError(
            found.name,
            f"was made under other conditions ({'; '.join(changed)})",
            "run without --resume to start again, or with --resume=force to mix them",
        )
    ledger = Ledger(planned, Journal(found))
    mend(found)
    ledger.finished = {name: row for name, row in finished_in(rows).items() if name in set(planned)}
    return ledger


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep the finished cell's row until pytest reports it: a cell that is measured again is reported once."""
    ledger = item.config.stash.get(LEDGER, None)
    if ledger is not None and call.when == "call" and call.excinfo is None:
        row = internals.as_row(getattr(item, "funcargs", {}).get("benchmark"))
        if row is not None:
            ledger.pending[item.nodeid] = row
    return (yield)


class Writer:
    """Write reports to the journal as they come; a hook without `config` needs an object that has it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Put the cell on disk, or stop the run if the disk does not take it."""
        ledger = self._config.stash.get(LEDGER, None)
        if ledger is None or report.nodeid not in ledger.planned:
            return
        try:
            ledger.note(report)
        except UserError as error:
            pytest.exit(f"{error}; then go on with --resume", returncode=3)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Writer(config), "midas-bench-ledger")


def pytest_benchmark_update_json(config: pytest.Config, output_json: Row) -> None:
    ledger = config.stash.get(LEDGER, None)
    if ledger is not None:
        weights = config.stash[RUN].weights
        output_json["midas_bench"] = ledger.to_json() | {
            "weights": {"source": weights.source, "sha256": weights.sha256},
            "conditions": config.stash[RUN].condition.to_json(),
        }


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-benchmark's own, which saves
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Give earlier cells back, let pytest-benchmark save, and remove the journal if all is in its file."""
    config = session.config
    ledger = config.stash.get(LEDGER, None)
    if ledger is None:
        internals.save_something_only(config)
        return (yield)
    measured_now = {bench.fullname for bench in internals.session_of(config).benchmarks}
    internals.keep_only(config, ledger.finished.keys())
    internals.give_back(config, [row for name, row in ledger.finished.items() if name not in measured_now])
    internals.order(config, ledger.planned)
    internals.save_something_only(config)
    folder = internals.storage_folder(config)
    saved: set[Path] = set()
    try:
        with FileLock(folder / ".saving.lock"):  # two runs that end at once would take the same number
            before = set(folder.glob("*.json"))
            try:
                result = yield
            finally:
                saved = set(folder.glob("*.json")) - before  # by this run: others wait
    except OSError as error:
        for torn in saved:
            torn.unlink(missing_ok=True)
        ledger.journal.release()
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"ERROR: {cannot_write(folder, error)}; then go on with --resume", red=True)
        return None
    _keep_pictures(ledger, saved, internals.session_of(config).json)
    if ledger.complete:
        ledger.journal.remove()
    else:
        ledger.journal.release()
    if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.OK if ledger.finished else EXIT_NOTHING_MEASURED
    return result


def _keep_pictures(ledger: Ledger, saved: set[Path], json_path: str | None) -> None:
    """Copy the run's depth maps beside each file that was saved, into a folder of its name."""
    targets = [*saved, *([Path(json_path)] if json_path else [])]
    for path in targets:
        if ledger.journal.pictures.is_dir():
            shutil.copytree(ledger.journal.pictures, path.with_suffix(""), dirs_exist_ok=True)
