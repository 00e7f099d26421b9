"""What stands at the end of the terminal: noisy cells, the answer, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from midas_bench.measure.plugin import internals
from midas_bench.measure.plugin.noise import WATCH
from midas_bench.measure.plugin.run_state import LEDGER, Ledger
from midas_bench.results.recommendations import three_lines
from midas_bench.results.run_files import run_from

SHOWN = 10


@pytest.hookimpl(wrapper=True)  # below pytest-benchmark's tables, and also where it raises for a regression
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    try:
        return (yield)
    finally:
        ledger = config.stash.get(LEDGER, None)
        if ledger is not None:
            _summarise(terminalreporter, config, ledger)


def _summarise(terminalreporter: pytest.TerminalReporter, config: pytest.Config, ledger: Ledger) -> None:
    write = terminalreporter.write_line
    terminalreporter.section("midas-bench")
    noisy = {
        name: row["extra_info"]["noise"]["reasons"]
        for name, row in ledger.finished.items()
        if row["extra_info"].get("noise", {}).get("noisy")
    }
    for name, reasons in list(noisy.items())[:SHOWN]:
        write(f"noisy: {name.rpartition('::')[2]}: {', '.join(reasons)}", yellow=True)
    if len(noisy) > SHOWN:
        write(f"noisy: {len(noisy) - SHOWN} more; extra_info.noise in the JSON says which", yellow=True)
    if noisy:
        write("`midas-bench doctor` says what disturbs; --noise rerun measures such cells again", yellow=True)
    elif config.stash[WATCH].noise:
        write("quiet: no cell was disturbed")
    if ledger.finished:
        records = run_from({"benchmarks": list(ledger.finished.values())}, ledger.journal.path).records
        for line in three_lines(records):
            write(line, bold=True)
    if ledger.complete and internals.saves(config):
        write("tables, charts and one page: midas-bench report --open")
    if ledger.unplanned:
        kept = f"{ledger.journal.path.name} is kept: it holds {len(ledger.unplanned)} more cells"
        write(f"{kept}, which this run left out; --resume without -k goes on with it", yellow=True)
    if not ledger.complete:
        missing = len([name for name in ledger.planned if name not in ledger.finished and name not in ledger.skipped])
        write(f"partial: {missing} of {len(ledger.planned)} cells are missing; add --resume to go on", red=True)
