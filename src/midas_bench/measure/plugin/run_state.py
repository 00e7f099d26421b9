"""Nothing lost: each visit of a cell is on disk before the next group starts, and an interrupted run can be resumed.

During a run its visits and cells are in a journal, one JSON line each, in the form of a benchmark in pytest-benchmark's
JSON. The journal is removed once that JSON holds all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import pytest

from midas_bench.errors import UserError
from midas_bench.files import cut_torn_line
from midas_bench.measure.passes import merged_info
from midas_bench.measure.plugin import internals
from midas_bench.measure.plugin import run_journal as journals
from midas_bench.measure.plugin.option_checks import journal_folder
from midas_bench.measure.plugin.resume_key import differences, resume_key
from midas_bench.measure.plugin.run_journal import (
    JournalledVisit,
    Row,
    RunJournal,
    finished_cells,
    new_journal,
    read_rows,
    take_abandoned_journal,
    visits_of_cells,
)
from midas_bench.measure.plugin.settings import RUN, SETTINGS, is_cell, write_line
from midas_bench.results import run_files


class RunState:
    """The state of each planned cell.

    Attributes:
        planned: ids of the cells.
        journal: where each visit of a pass is written when it ends.
        finished: rows of the cells that are done, in the form of pytest-benchmark's JSON.
        unplanned: cells of the journal that this run leaves out, by their last row.
        visits: rows of the visits to a cell that the passes made so far, one per pass.
        merged: cells whose visits were put together.
        profiles: of a cell's last visit, with --benchmark-cprofile.
        passes: how many there are, or None as long as that is open.
        passes_ended: whether no further pass is to come.
        visit_s: what the last visit of each cell took, with its share of the look at the machine around it.
        elapsed_s: what the cells took so far, those of an interrupted run included.
    """

    def __init__(self, planned: Sequence[str], journal: RunJournal) -> None:
        self.planned = list(planned)
        self.journal = journal
        self.visits: dict[str, list[Row]] = {}
        self.merged: dict[str, Row] = {}
        self.profiles: dict[str, object] = {}
        self.passes: int | None = None
        self.passes_ended = False
        self.visit_s: dict[str, float] = {}
        self.elapsed_s = 0.0
        self.finished: dict[str, Row] = {}
        self.unplanned: dict[str, Row] = {}
        self.failed: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.pending: dict[str, Row] = {}

    @property
    def complete(self) -> bool:
        """Whether every planned cell was finished, or skipped for a reason, and no pass is to come."""
        return self.passes_ended and all(name in self.finished or name in self.skipped for name in self.planned)

    def add_visit(self, visit: JournalledVisit) -> None:
        """Put a visit of a pass on disk, and keep it.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        self.journal.append(asdict(visit))
        self.keep_visit(visit)

    def keep_visit(self, visit: JournalledVisit) -> None:
        """Keep a visit that is on disk."""
        of_cell = self.visits.setdefault(visit.visit["fullname"], [])
        of_cell.append(visit.visit)
        self.visit_s[visit.visit["fullname"]] = visit.took_s
        self.elapsed_s = max(self.elapsed_s, visit.elapsed_s)

    def end_passes(self, passes: int) -> None:
        """Put on disk how many passes there are.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        self.journal.append({"passes": passes})
        self.passes = passes

    def merged_rows(self) -> list[Row]:
        """Return one row for each visited cell, with the rounds of all its visits."""
        return [_merged(visits) for visits in self.visits.values()]

    def merge_visits(self) -> None:
        """Put the visits of each cell together; it is finished with those, even if the run was interrupted."""
        self.merged = {row["fullname"]: row for row in self.merged_rows()}
        self.finished |= self.merged

    def finish(self, name: str) -> None:
        """Keep the pending row of a cell as its result; one of several visits is on disk already."""
        self.finished[name] = row = self.pending.pop(name)
        if name not in self.merged:
            self.journal.append({"cell": row, "elapsed_s": self.elapsed_s})

    def to_json(self) -> Row:
        """Return the status that every saved file carries."""
        return {
            "schema": run_files.SCHEMA,
            "status": "complete" if self.complete else "partial",
            "planned": self.planned,
            "finished": [name for name in self.planned if name in self.finished],
            "failed": [{"cell": name, "reason": reason} for name, reason in self.failed.items()],
            "skipped": [{"cell": name, "reason": reason} for name, reason in self.skipped.items()],
        }

    def record_report(self, report: pytest.TestReport) -> None:
        """Write what pytest reports of a cell to the journal."""
        name = report.nodeid
        if report.failed:
            # the first failure counts: an error of the teardown may only follow from it
            self.failed.setdefault(name, _reason(report))
            self.finished.pop(name, None)
            self.journal.append({"failed": name, "reason": self.failed[name]})
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self.skipped[name] = reason.removeprefix("Skipped: ")
            self.journal.append({"skipped": name, "reason": self.skipped[name]})
        elif report.when == "call" and name in self.pending:
            self.finish(name)


def _merged(visits: Sequence[Row]) -> Row:
    row = internals.joined(visits)
    rounds = [visit["stats"]["data"] for visit in visits]
    return row | {"extra_info": merged_info([visit["extra_info"] for visit in visits], rounds)}


def _reason(report: pytest.TestReport) -> str:
    """Return the exception in one line; the last line of a traceback would name a file and no more."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = report.longreprtext if crash is None else crash.message.partition("\n")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "failed"


RUN_STATE = pytest.StashKey[RunState]()


# last, so that -k and -m have chosen the cells
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the journal, or take up an abandoned one and leave out what it holds."""
    cells = [item for item in items if is_cell(item)]
    if not cells or not internals.measures(config):
        return
    try:
        state = _open_state(config, [item.nodeid for item in cells])
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[RUN_STATE] = state
    finished = [item for item in cells if item.nodeid in state.finished]
    if finished:
        config.hook.pytest_deselected(items=finished)
        items[:] = [item for item in items if item not in finished]


def _open_state(config: pytest.Config, planned: Sequence[str]) -> RunState:
    folder = journal_folder(config)
    now = resume_key(config, planned)
    if config.stash[SETTINGS].resume:
        journal = take_abandoned_journal(folder)
        if journal is not None:
            try:
                return _resumed_state(config, journal, now, planned)
            except BaseException:
                journal.release()
                raise
        write_line(config, "--resume: no interrupted run can be resumed; this run starts from the beginning")
    return _new_state(new_journal(folder), now, planned)


def _new_state(journal: RunJournal, now: Row, planned: Sequence[str]) -> RunState:
    journal.append({"journal": journals.SCHEMA, "identity": now})
    return RunState(planned, journal)


def _resumed_state(config: pytest.Config, journal: RunJournal, now: Row, planned: Sequence[str]) -> RunState:
    rows = read_rows(journal.path)
    if not rows:
        cut_torn_line(journal.path)
        return _new_state(journal, now, planned)
    head, *rows = rows
    changed = differences(head["identity"], now)
    if changed and config.stash[SETTINGS].resume != "force":
        raise UserError(
            journal.path.name,
            f"was made under other conditions ({'; '.join(changed)})",
            "run without --resume to start again, or with --resume=force to mix them",
        )
    cut_torn_line(journal.path)
    state = RunState(planned, journal)
    for name, row in finished_cells(rows).items():
        (state.finished if name in set(planned) else state.unplanned)[name] = row
    for name, visits in visits_of_cells(rows).items():
        if name not in state.planned:
            state.unplanned.setdefault(name, visits[-1].visit)
        elif name not in state.finished:
            for visit in visits:
                state.keep_visit(visit)
    state.elapsed_s = max((row["elapsed_s"] for row in rows if "elapsed_s" in row), default=0.0)
    state.passes = next((row["passes"] for row in rows if "passes" in row), None)
    return state


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep the finished cell's row until pytest reports it: a cell that is measured again is reported once."""
    state = item.config.stash.get(RUN_STATE, None)
    if state is not None and call.when == "call" and call.excinfo is None:
        row = internals.as_row(getattr(item, "funcargs", {}).get("benchmark"))
        if row is not None:
            state.pending[item.nodeid] = row
    return (yield)


class Writer:
    """Write reports to the journal as they come; a hook without `config` needs an object that has it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Put the cell on disk, or stop the run if the disk does not take it."""
        state = self._config.stash.get(RUN_STATE, None)
        if state is None or report.nodeid not in state.planned:
            return
        try:
            state.record_report(report)
        except UserError as error:
            pytest.exit(f"{error}; then go on with --resume", returncode=3)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Writer(config), "midas-bench-run-state")


def pytest_benchmark_update_json(config: pytest.Config, output_json: Row) -> None:
    state = config.stash.get(RUN_STATE, None)
    if state is not None:
        run = config.stash[RUN]
        output_json["midas_bench"] = state.to_json() | {
            "weights": run.weights.described,
            "conditions": run.condition.to_json(),
        }
        if run.settings.compared_models:
            output_json["midas_bench"]["models"] = {model.name: model.weights.described for model in run.models}
