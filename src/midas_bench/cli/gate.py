"""`midas-bench gate`: did this commit make it slower? A verdict, and an exit code for CI."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from midas_bench.cli.gate_flags import COMPARE, SELF_TEST, add_arguments, check_self_test
from midas_bench.cli.gate_question import question, saved_question
from midas_bench.errors import UserError
from midas_bench.files import as_utf8, check_writable, write_whole
from midas_bench.gate import result_text
from midas_bench.gate.block_series import BlockSeries
from midas_bench.gate.outputs import Difference
from midas_bench.gate.result import GateResult
from midas_bench.gate.revision_gate import Listener, gate_revisions
from midas_bench.gate.rule import Family, Judgement
from midas_bench.gate.saved_gate import gate_saved
from midas_bench.results.units import duration

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Gate, print and write the result, and return its exit code.

    Raises:
        UserError: the question cannot be answered. A bug of the gate's own is a UserError too: an unexpected
            exception's exit code, 1, would be read as a regression.
    """
    try:
        return _self_test(arguments) if arguments.subcommand == SELF_TEST else _judge(arguments)
    except (UserError, BrokenPipeError):
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        bug = f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
        raise UserError("gate", f"stopped at a bug of its own, {bug}", "report this line and the command") from error


def _judge(arguments: argparse.Namespace) -> int:
    console = Console(width=max(result_text.WIDTH, Console().width), soft_wrap=True)
    for flag, path in (("--json", arguments.json), ("--markdown", arguments.markdown)):
        if path:
            # before the budget is spent
            check_writable(path, flag)
    if arguments.subcommand == COMPARE:
        result = gate_saved(saved_question(arguments))
    else:
        gate_question = question(arguments)
        with terminal_listener(gate_question.budget_s, gate_question.resume) as listener:
            result = gate_revisions(gate_question, Path.cwd(), listener)
    try:
        result_text.print_result(result, console)
    # rich exits with 1 where the reader of standard output is gone
    except SystemExit:
        pass
    finally:
        _write(result, arguments)
    return result.exit_code


def _write(result: GateResult, arguments: argparse.Namespace) -> None:
    if arguments.json:
        write_whole(arguments.json, json.dumps(result.to_json(), indent=1).encode())
    if arguments.markdown:
        write_whole(arguments.markdown, result_text.markdown(result).encode())
    if result.journal:
        result.journal.end()


def _self_test(arguments: argparse.Namespace) -> int:
    # these import scipy.stats, which takes a second
    from midas_bench.gate import self_test, simulation
    from midas_bench.gate.self_test_text import markdown
    from midas_bench.report.charts.power import power

    check_self_test(arguments)
    check_writable(arguments.output / "self-test.json", "-o")
    journal = None
    if arguments.blocks_from:
        document = _read_self_test(arguments.blocks_from)
        gates = document.get("resampled", {}).get("gates", simulation.RESAMPLED)
        document["resampled"] = simulation.resample(document, gates)
    else:
        plan = self_test.SelfTestPlan(arguments.blocks, arguments.gates, question(arguments), arguments.quick)
        with terminal_listener(plan.question.budget_s, plan.question.resume) as listener:
            document, journal = self_test.self_test(plan, Path.cwd(), listener)
    text, chart = markdown(document), power(document)
    outputs = {
        "self-test.json": json.dumps(document, indent=1).encode(),
        "self-test.md": text.encode(),
        f"{chart.id}.svg": chart.svg.encode(),
        f"{chart.id}.png": chart.png,
    }
    for name, data in outputs.items():
        write_whole(arguments.output / name, data)
    if journal:
        journal.end()
    print(text)
    print(f"{', '.join(outputs)}: in {arguments.output}")
    return 0


def _read_self_test(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(as_utf8(path.read_bytes()))
        if document["blocks"] and document["figures"]:
            return document
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the path") from error
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError(path, "holds no blocks of a self-test", "name the self-test.json that one wrote")


class Terminal(Listener):
    """Shows progress on standard error: a bar on a terminal, elsewhere one line per look."""

    def __init__(self, bar: Progress, task: TaskID, budget_s: float) -> None:
        self._bar = bar
        self._task = task
        self._budget_s = budget_s
        self._looks: dict[str, int] = {}
        self.finished = False

    def progress(self, message: str) -> None:
        """Print a sentence above the bar."""
        self._bar.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def block(self, series: BlockSeries, family: Family, left_s: float) -> None:
        """Move the bar; without a bar, print a line for the first block and for each look."""
        self.finished |= bool(series.rows)
        state = result_text.progress_line(list(family.judgements.values()))
        name = f"{series.backend}, " if series.backend else ""
        text = f"{name}block {len(series.rows) + 1}: {state}; at most {duration(left_s)} left"
        self._bar.update(self._task, description=text, completed=self._budget_s - left_s)
        if not self._bar.console.is_terminal and self._looks.get(series.backend) != series.looks:
            self._looks[series.backend] = series.looks
            self.progress(text)

    def settled(self, judgement: Judgement) -> None:
        """Print a verdict as soon as it is certain."""
        self.progress(result_text.settled_text(judgement))

    def changed(self, difference: Difference) -> None:
        """Print that an output changed, long before the times are known."""
        self.progress(result_text.output_text(difference))


@contextmanager
def terminal_listener(budget_s: float, resumed: bool) -> Iterator[Listener]:
    """Yield a listener for a gate's progress; where Ctrl-C ends the gate, print that its blocks are kept."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        terminal = Terminal(bar, bar.add_task("", total=budget_s), budget_s)
        try:
            yield terminal
        except KeyboardInterrupt:
            if terminal.finished or resumed:
                print("midas-bench: finished blocks are kept: --resume goes on with them", file=sys.stderr)
            raise
