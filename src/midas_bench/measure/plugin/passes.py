"""The loop over cells: passes that visit every cell, until the answers are settled or the budget is spent.

pytest runs an item as often as it is asked to. Here a pass runs each item once, in the drawn order, and keeps its raw
rounds; after the last pass each cell is reported to pytest, and given to pytest-benchmark, as one benchmark.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

import pytest
from _pytest.runner import runtestprotocol

from midas_bench.errors import UserError
from midas_bench.measure.passes import (
    LEAST_PASSES,
    VISIT_S,
    PassBudget,
    another_pass,
    drawn_order,
    thoroughness,
    whole_passes_fit,
)
from midas_bench.measure.plugin import internals
from midas_bench.measure.plugin.cell import VISITS, Visit, VisitHistory
from midas_bench.measure.plugin.noise import MAX_RERUNS, NOISE_MONITOR
from midas_bench.measure.plugin.run_journal import JournalledVisit, Row
from midas_bench.measure.plugin.run_state import RUN_STATE, RunState
from midas_bench.measure.plugin.settings import RUN, SETTINGS, is_cell, write_line
from midas_bench.results.recommendations import answering_cells, widest_price
from midas_bench.results.run_files import run_from
from midas_bench.results.units import duration

PROGRESS_S = 20.0
"""Between two lines of progress where the terminal cannot rewrite one."""
SEED = 1
PHOTO_FIXTURES = ("batch", "one_photo", "largest_photo", "stream")
"""Of a benchmark of the whole way: cells that have the same one work on the same photos."""


@dataclass(frozen=True)
class Wanted:
    """What --benchmark-min-rounds and --benchmark-max-time ask of a cell, where the user gave them.

    Attributes:
        rounds: in all passes together, or None.
        seconds: in all passes together, or None; where given, there are no more passes than the least.
    """

    rounds: int | None
    seconds: float | None

    def of_visit(self, earlier: Sequence[Row] = ()) -> Visit:
        """Return the part of the next visit: the visits of the least passes share what is asked for."""
        visits = max(1, LEAST_PASSES - len(earlier))
        stats = [row["stats"] for row in earlier]
        rounds = (self.rounds or 1) - sum(len(of_visit["data"]) for of_visit in stats)
        seconds = VISIT_S
        if self.seconds is not None:
            # a round is as long as its calls together
            had_s = sum(sum(of_visit["data"]) * of_visit["iterations"] for of_visit in stats)
            seconds = max(0.0, self.seconds - had_s) / visits
        return Visit(max(1, ceil(rounds / visits)), seconds)


def wanted(config: pytest.Config) -> Wanted:
    """Read the two flags: from the command line or PYTEST_ADDOPTS, for pytest-benchmark's defaults are not meant."""
    given = " ".join([*map(str, config.invocation_params.args), os.environ.get("PYTEST_ADDOPTS", "")])
    option = config.option
    return Wanted(
        int(option.benchmark_min_rounds) if "--benchmark-min-rounds" in given else None,
        float(option.benchmark_max_time) if "--benchmark-max-time" in given else None,
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the cells in passes; leave a run that times nothing, and errors of the collection, to pytest."""
    config = session.config
    state = config.stash.get(RUN_STATE, None)
    if state is None or (session.testsfailed and not config.option.continue_on_collection_errors):
        return None
    PassLoop(session, state).run()
    return True


class Progress:
    """Where the run is: one line that is rewritten, or a line now and then where the terminal cannot."""

    def __init__(self, config: pytest.Config, budget: PassBudget) -> None:
        self._config = config
        self._reporter = config.pluginmanager.get_plugin("terminalreporter")
        self._rewrites = self._reporter is not None and self._reporter.isatty
        self._budget = budget
        self._shown_s = time.monotonic()
        self._number = self._cells = 0

    def show(self, number: int, planned: int, cells: int) -> None:
        """Count so many more cells of a pass as visited."""
        if number != self._number:
            self._number, self._cells = number, 0
        self._cells += cells
        text = f"pass {number}: {self._cells} of {planned} cells, {self._left}"
        if self._reporter is not None and self._rewrites:
            self._reporter.ensure_newline()
            self._reporter.rewrite(text, erase=True)
        elif self._cells == planned or time.monotonic() - self._shown_s >= PROGRESS_S:
            self._shown_s = time.monotonic()
            write_line(self._config, text)

    @property
    def _left(self) -> str:
        left_s = self._budget.left_s
        return f"{duration(left_s)} left" if left_s > 0 else "over the budget"

    def clear(self) -> None:
        """Make room for other lines."""
        if self._reporter is not None and self._rewrites:
            self._reporter.rewrite("", erase=True)


class PassLoop:
    """One run over its cells."""

    def __init__(self, session: pytest.Session, state: RunState) -> None:
        config = session.config
        self._session = session
        self._config = config
        self._state = state
        self._run = config.stash[RUN]
        self._monitor = config.stash[NOISE_MONITOR]
        self._reruns = MAX_RERUNS if config.stash[SETTINGS].noise == "rerun" else 0
        self._wanted = wanted(config)
        self._history = config.stash.setdefault(VISITS, VisitHistory(self._wanted.of_visit()))
        self._budget = PassBudget(config.stash[SETTINGS].budget_s, time.monotonic, time.monotonic() - state.elapsed_s)
        self._items = {item.nodeid: item for item in session.items if is_cell(item)}
        self._reports: dict[str, list[pytest.TestReport]] = {}
        self._last: pytest.Item | None = None
        self._progress = Progress(config, self._budget)
        # the cells that passes visit which have no time for all of them
        self._answering: set[str] = set()
        # what is left for the passes: cells that failed, or measure themselves, leave it
        self._timed = [name for name in self._items if self._expected_s(name) is None and name not in state.finished]

    def run(self) -> None:
        """Make the first pass, then cells with processes of their own, then passes until the end."""
        state = self._state
        self._config.pluginmanager.register(self, "midas-bench-passes")
        try:
            for item in self._session.items:
                if not is_cell(item):
                    self._run_item(item, self._any_other(item))
                    self._stop_if_asked()
            self._pass(1)
            self._cells_of_their_own()
            number = 1
            while self._timed and self._another(number):
                number += 1
                self._pass(number)
            self._tear_down(None)
            self._ended(number)
        finally:
            state.merge_visits()
        self._log_timed()

    def _pass(self, number: int) -> None:
        """Visit the cells that pass `number` has not seen: all of them, or those that the answers rest on."""
        order = drawn_order(self._groups(number), SEED, number)
        cells = sum(map(len, order))
        for place, group in enumerate(order):
            following = order[place + 1][0] if place + 1 < len(order) else None
            self._visit_group(group, following)
            self._progress.show(number, cells, len(group))
        self._progress.clear()

    def _groups(self, number: int) -> dict[Hashable, list[str]]:
        """Return the cells that have no visit of pass `number` yet, by what is compared."""
        groups: dict[Hashable, list[str]] = {}
        for name in self._timed:
            if len(self._state.visits.get(name, ())) < number and (not self._answering or name in self._answering):
                groups.setdefault(_compared(self._items[name]), []).append(name)
        return groups

    def _visit_group(self, names: Sequence[str], following: str | None) -> None:
        """Visit cells side by side, with one look at the machine before and one after them."""
        begun_s = self._budget.elapsed_s
        for attempt in range(1 + self._reruns):
            self._monitor.begin()
            visited: dict[str, tuple[Row, bool]] = {}
            for place, name in enumerate(names):
                next_name = names[place + 1] if place + 1 < len(names) else following
                self._history.visit = self._wanted.of_visit(self._state.visits.get(name, ()))
                row = self._visit(name, next_name)
                if row is not None:
                    visited[name] = (row, self._history.visit.timed)
                if self._session.shouldfail or self._session.shouldstop:
                    break
            noise = self._monitor.end(failed=not visited)
            # what failed was reported, and is not visited again
            names = list(visited)
            if not names or not noise.noisy or attempt == self._reruns or not self._monitor.prepare_rerun():
                break
        ended_s = self._budget.elapsed_s
        for name, (row, timed) in visited.items():
            row["extra_info"]["noise"] = noise.to_json() | row["extra_info"].get("noise", {})
            if timed:
                visit = JournalledVisit(row, ended_s, (ended_s - begun_s) / len(visited))
                self._or_exit(partial(self._state.add_visit, visit))
            else:
                self._finish_at_once(name, row)
        self._stop_if_asked()

    def _or_exit(self, write: Callable[[], None]) -> None:
        """Write to the journal, or stop the run if the disk does not take it."""
        try:
            write()
        except UserError as error:
            pytest.exit(f"{error}; then go on with --resume", returncode=3)

    def _visit(self, name: str, following: str | None) -> Row | None:
        """Run a cell once; return its row, or None if it failed or was skipped, which is reported at once."""
        item = self._items[name]
        # an item that follows itself would keep its own fixtures
        nextitem = self._items[following] if following not in (None, name) else self._any_other(item)
        reports = self._run_item(item, nextitem)
        row = self._state.pending.pop(name, None)
        self._state.profiles[name] = internals.forget(self._config, name)
        if row is None or any(not report.passed for report in reports):
            self._leave_out(name)
            self._log(item, reports)
            return None
        self._reports[name] = reports
        return row

    def _run_item(self, item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
        """Run an item within what other plugins do around each; return the reports of a cell."""
        self._tear_down(item)
        self._last = item
        self._config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        return self._reports.pop(item.nodeid, [])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Keep the reports of a cell, which is reported after its last visit; leave a test to pytest."""
        if not is_cell(item):
            return None
        self._reports[item.nodeid] = runtestprotocol(item, nextitem=nextitem, log=False)
        return True

    def _tear_down(self, item: pytest.Item | None) -> None:
        """Tear down the shared fixtures that this next item does not use: the last one may have expected another."""
        last = self._last
        if last is None:
            return
        teardown = partial(self._session._setupstate.teardown_exact, item)
        call = pytest.CallInfo.from_call(teardown, when="teardown", reraise=(KeyboardInterrupt, pytest.exit.Exception))
        if call.excinfo is None:
            return
        self._leave_out(last.nodeid)
        self._log(last, [last.ihook.pytest_runtest_makereport(item=last, call=call)])
        self._stop_if_asked()

    def _any_other(self, item: pytest.Item) -> pytest.Item | None:
        """Return an item that keeps the session's fixtures, and others of the same module where there is one."""
        others = [other for other in self._session.items if other is not item]
        return next((other for other in others if other.path == item.path), others[0] if others else None)

    def _leave_out(self, name: str) -> None:
        self._state.visits.pop(name, None)
        if name in self._timed:
            self._timed.remove(name)

    def _finish_at_once(self, name: str, row: Row) -> None:
        self._leave_out(name)
        self._state.pending[name] = row
        self._state.elapsed_s = self._budget.elapsed_s
        self._log(self._items[name], self._reports.pop(name))

    def _log(self, item: pytest.Item, reports: Sequence[pytest.TestReport]) -> None:
        self._progress.clear()
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _stop_if_asked(self) -> None:
        """End the run as pytest does, for -x or --maxfail."""
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)

    def _cells_of_their_own(self) -> None:
        """Run the cells that start processes of their own, each once, as thoroughly as the budget allows."""
        pass_s = self._pass_s()
        left = {name: seconds for name in self._items if (seconds := self._expected_s(name)) is not None}
        done_s, start_s = 0.0, time.monotonic()
        for name in list(left):
            # the first of them are weak evidence for the rest
            slowness = (time.monotonic() - start_s + pass_s) / (done_s + pass_s) if done_s else 1.0
            usual = self._items[name].get_closest_marker("extended") is None
            self._run.thoroughness = (
                thoroughness(self._budget.left_s, sum(left.values()), slowness, pass_s) if usual else 1.0
            )
            self._visit_group([name], None)
            done_s += left.pop(name)
        self._run.thoroughness = 1.0

    def _expected_s(self, name: str) -> float | None:
        marker = self._items[name].get_closest_marker("expected_seconds")
        return None if marker is None or name in self._state.finished else float(marker.args[0])

    def _another(self, made: int) -> bool:
        """Decide whether the run goes on after so many passes."""
        if self._state.passes is not None:
            return made < self._state.passes
        visits = {name: len(of_cell) for name, of_cell in self._state.visits.items()}
        # an interrupted run may have begun more passes, of all cells or of those that the answers rest on
        begun = max(visits.values(), default=0)
        if made < LEAST_PASSES:
            return True
        if self._wanted.seconds is not None or self._run.settings.quick:
            return made < begun
        records = run_from({"benchmarks": self._state.merged_rows()}, self._state.journal.path).records
        answering = answering_cells(records).intersection(self._timed)
        if made < begun and any(visits[name] > made for name in visits.keys() - answering):
            return True
        decided = self._answering or self._wanted.rounds
        if not decided and not whole_passes_fit(max(made, begun - 1), self._budget.left_s, self._pass_s()):
            self._answering = answering
        return made < begun or another_pass(made, self._budget, self._pass_s(), widest_price(records))

    def _pass_s(self) -> float:
        """Return what the next pass will take, by the last visit of each of its cells."""
        return sum(self._state.visit_s[name] for name in self._answering or self._timed if name in self._state.visit_s)

    def _ended(self, passes: int) -> None:
        """Put on disk how many passes there are: a run that is killed while it reports them shall make no more."""
        if self._state.passes is None:
            self._or_exit(partial(self._state.end_passes, passes))
        self._state.passes_ended = True

    def _log_timed(self) -> None:
        """Report the cells of the passes, in their order."""
        for name in self._timed:
            self._state.pending[name] = self._state.merged[name]
            reports = self._reports.pop(name, None)
            if reports is None:
                # all its visits were made before the run was interrupted
                self._state.finish(name)
                continue
            self._log(self._items[name], reports)
            self._stop_if_asked()


def _compared(item: pytest.Item) -> Hashable:
    """Return what cells have in common that are compared: what they time, on which photos, in what batch."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    fixtures = getattr(item, "fixturenames", ())
    if "opened" in fixtures or "article" in fixtures:
        photos = tuple(name for name in PHOTO_FIXTURES if name in fixtures)
        return photos, params.get("scene"), params.get("batch_size", 1)
    return getattr(item, "originalname", item.name), params.get("scene")


# after `run_state`, which leaves out finished cells
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say how long the run will take."""
    cells = sum(map(is_cell, items))
    if not cells or RUN_STATE not in config.stash:
        return
    if config.option.verbose == 0:
        # one line per cell, with its passes
        config.option.verbose = 1
    budget_s = config.stash[SETTINGS].budget_s
    write_line(config, f"{cells} cells in passes, about {duration(budget_s)} at most; --budget changes that")


def pytest_report_teststatus(
    report: pytest.TestReport | pytest.CollectReport, config: pytest.Config
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    state = config.stash.get(RUN_STATE, None)
    if state is None or report.when != "call" or report.outcome != "passed":
        return None
    passes = len(state.visits.get(report.nodeid, ()))
    return "passed", ".", (f"timed in {passes} passes" if passes > 1 else "measured", {"green": True})
