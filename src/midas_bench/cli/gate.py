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

from midas_bench.cli.gate_flags import add_arguments, mode, question, saved_question
from midas_bench.errors import UserError
from midas_bench.files import as_utf8, check_writable, write_whole
from midas_bench.gate import render
from midas_bench.gate.block_series import BlockSeries
from midas_bench.gate.result import GateResult
from midas_bench.gate.revision_gate import Listener, gate_revisions
from midas_bench.gate.rule import Family
from midas_bench.gate.saved_gate import gate_saved
from midas_bench.results.units import duration

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Gate, print and write the result, and return its exit code.

    Raises:
        UserError: the question cannot be answered; also where that is our own fault, because the exit code of an
            unexpected exception, 1, would be read as a regression.
    """
    try:
        asked = mode(arguments)
        return _judge(arguments, asked) if asked in ("--base", "--baseline") else _self_test(arguments)
    except (UserError, BrokenPipeError):
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        raise UserError("gate", f"stopped at a bug of its own, {what}", "report this line and the command") from error


def _judge(arguments: argparse.Namespace, asked: str) -> int:
    console = Console(width=max(render.WIDTH, Console().width), soft_wrap=True)
    for flag, path in (("--json", arguments.json), ("--markdown", arguments.markdown)):
        if path:
            check_writable(path, flag)  # better now than after the budget is spent
    if asked == "--baseline":
        result = gate_saved(saved_question(arguments))
    else:
        wanted = question(arguments)
        with listening(wanted.budget_s, wanted.resume) as listener:
            result = gate_revisions(wanted, Path.cwd(), listener)
    try:
        render.print_result(result, console)
    except SystemExit:  # rich's answer, with 1, to a reader that has gone
        pass
    finally:
        _write(result, arguments)
    return result.exit_code


def _write(result: GateResult, arguments: argparse.Namespace) -> None:
    if arguments.json:
        write_whole(arguments.json, json.dumps(result.to_json(), indent=1).encode())
    if arguments.markdown:
        write_whole(arguments.markdown, render.markdown(result).encode())
    if result.journal:
        result.journal.end()


def _self_test(arguments: argparse.Namespace) -> int:
    from midas_bench.gate import self_test, simulation  # with scipy.stats, which takes a second to import
    from midas_bench.gate.self_test_render import markdown
    from midas_bench.report.charts.power import power

    check_writable(arguments.output / "self-test.json", "-o")
    journal = None
    if arguments.blocks_from:
        document = _recorded(arguments.blocks_from)
        gates = document.get("resampled", {}).get("gates", simulation.RESAMPLED)
        document["resampled"] = simulation.resample(document, gates)
    else:
        plan = self_test.SelfTestPlan(arguments.blocks, arguments.gates, question(arguments), arguments.quick)
        with listening(plan.question.budget_s, plan.question.resume) as listener:
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


def _recorded(path: Path) -> dict[str, Any]:
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
    """Say what happens on standard error: a bar on a terminal, a line a look elsewhere."""

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
        """Move the bar; tell the first block and each look where there is none."""
        self.finished |= bool(series.rows)
        known = render.progress_line(list(family.judgements.values()))
        text = f"{series.backend}, block {len(series.rows) + 1}: {known}; at most {duration(left_s)} left"
        self._bar.update(self._task, description=text, completed=self._budget_s - left_s)
        if not self._bar.console.is_terminal and self._looks.get(series.backend) != series.looks:
            self._looks[series.backend] = series.looks
            self.progress(text)


@contextmanager
def listening(budget_s: float, resumed: bool) -> Iterator[Listener]:
    """Yield what a gate tells its progress to; where Ctrl-C ends it, say what is kept."""
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
