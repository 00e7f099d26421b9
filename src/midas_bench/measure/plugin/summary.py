"""The end of the terminal output: noisy cells, the answer, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from midas_bench.measure.plugin import internals
from midas_bench.measure.plugin.noise import NOISE_MONITOR
from midas_bench.measure.plugin.run_state import RUN_STATE, RunState
from midas_bench.results.recommendations import three_lines
from midas_bench.results.run_files import run_from

SHOWN = 3
"""Lines on noisy cells: cells that stood side by side have their reasons in common, and others much alike."""


# below pytest-benchmark's tables, and also where it raises for a regression
@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    try:
        return (yield)
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
    if state.complete and internals.saves(config):
        write("tables, charts and one page: midas-bench report --open")
    elif state.complete:
        write("not saved: add --benchmark-autosave for tables and charts by midas-bench report")
    if state.unplanned:
        kept = f"{state.journal.path.name} is kept: it holds {len(state.unplanned)} more cells"
        write(f"{kept}, which this run left out; --resume without -k goes on with it", yellow=True)
    if not state.complete:
        missing = len([name for name in state.planned if name not in state.finished and name not in state.skipped])
        write(f"partial: {missing} of {len(state.planned)} cells are missing; add --resume to go on", red=True)
