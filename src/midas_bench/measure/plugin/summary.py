"""The end of the terminal output: noisy cells, the answer, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from midas_bench.depth.backends import registry
from midas_bench.measure.passes import LEAST_PASSES, SETTLED
from midas_bench.measure.plugin import internals
from midas_bench.measure.plugin.noise import NOISE_MONITOR
from midas_bench.measure.plugin.run_state import RUN_STATE, RunState
from midas_bench.measure.plugin.settings import SETTINGS
from midas_bench.results import units
from midas_bench.results.recommendations import three_lines, widest_price
from midas_bench.results.run_files import run_from
from midas_bench.results.runs import Record

TELLS_NOTHING = 0.5
"""Half-width of a price's interval, relative to the price, from which on its figure is not worth a word."""
SHOWN = 3
"""Lines on noisy cells: cells that stood side by side have their reasons in common, and others much alike."""


# below pytest-benchmark's tables, and also where it raises for a regression
@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    try:
        return (yield)
    except internals.Regression:
        # pytest would show a traceback of a hundred lines, which says nothing of the cells
        session = config.pluginmanager.get_plugin("session")
        if session is None:
            raise
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return None
    finally:
        state = config.stash.get(RUN_STATE, None)
        if state is not None:
            _summarise(terminalreporter, config, state)


def _summarise(terminalreporter: pytest.TerminalReporter, config: pytest.Config, state: RunState) -> None:
    write = terminalreporter.write_line
    terminalreporter.section("midas-bench")
    noisy: dict[str, list[str]] = {}
    for name, row in state.finished.items():
        noise = row["extra_info"].get("noise", {})
        if noise.get("noisy"):
            noisy.setdefault(", ".join(noise["reasons"]), []).append(name.rpartition("::")[2])
    for reasons, names in list(noisy.items())[:SHOWN]:
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        write(f"noisy: {names[0]}{others}: {reasons}", yellow=True)
    rest = sum(len(names) for names in list(noisy.values())[SHOWN:])
    if rest:
        place = "; the JSON names them in extra_info.noise" if internals.saves(config) else ""
        write(f"noisy: {rest} more of {len(state.finished)} cells{place}", yellow=True)
    if noisy:
        write("`midas-bench doctor` names the cause; --noise rerun measures noisy cells again", yellow=True)
    elif config.stash[NOISE_MONITOR].judged:
        write("quiet: no cell was disturbed")
    if state.finished:
        records = run_from({"benchmarks": list(state.finished.values())}, state.journal.path).records
        for line in three_lines(records):
            write(line, bold=True)
        for line in _passes(state, records):
            write(line)
    if state.complete and internals.saves(config):
        write("tables, charts and one page: midas-bench report --open")
    elif state.complete:
        write("not saved: add --benchmark-autosave for tables and charts by midas-bench report")
    for line in _not_tried(config, state):
        write(line)
    if regressed := internals.regressions(config):
        slower = f"{regressed} of {len(state.finished)} cells are slower than --benchmark-compare-fail allows"
        advice = "runs at different times differ by the machine's drift too; `midas-bench gate run` measures in turn"
        write(f"{slower}: {advice}", red=True)
    if state.unplanned:
        kept = f"{state.journal.path.name} is kept: it holds {len(state.unplanned)} more cells"
        write(f"{kept}, which this run left out; --resume without -k goes on with it", yellow=True)
    if not state.complete:
        missing = len([name for name in state.planned if name not in state.finished and name not in state.skipped])
        what = f"{missing} of {len(state.planned)} cells are missing" if missing else "the last pass is not whole"
        write(f"partial: {what}; add --resume to go on", red=True)


def _passes(state: RunState, records: Sequence[Record]) -> Iterator[str]:
    """Say what the passes could not settle, and what would."""
    passes = max(map(len, state.visits.values()), default=0)
    if passes < LEAST_PASSES or not state.complete:
        return
    price = widest_price(records)
    if price is None or price <= SETTLED:
        yield f"{passes} passes; every price is settled within {units.percent(SETTLED)}"
    elif price > TELLS_NOTHING:
        yield f"{passes} passes are too few to settle any price: more --budget, more passes"
    else:
        yield f"{passes} passes; the least certain price may be {units.percent(price)} off: more --budget, more passes"


def _not_tried(config: pytest.Config, state: RunState) -> Iterator[str]:
    """Name the backends that would run here and were left out, after a run that compared some."""
    used = {row["extra_info"].get("backend") for row in state.finished.values()}
    rest = [row.name for row in registry.ROWS if row.name not in used and registry.missing(row) is None]
    if state.complete and rest and not config.stash[SETTINGS].models and used - {None}:
        yield f"not tried: {', '.join(rest)} (--backend=all); `midas-bench tune` searches set-ups of all of them"
