"""`midas-bench self-test`: how often are the answers of a run right?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from midas_bench.errors import UserError
from midas_bench.files import check_writable, write_whole
from midas_bench.options import seconds

FILE = "self-test-answers.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("what", choices=["answers"], help="answers: simulated runs beside scripted disturbances")
    parser.add_argument("--runs", type=int, default=1000, metavar="N", help="per disturbance (default: 1000)")
    parser.add_argument("--budget", default="6min", metavar="TIME", help="of each run (default: 6min)")
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR", help=f"for {FILE} (default: here)")


def run(arguments: argparse.Namespace) -> int:
    """Simulate, print the table, and write the figures."""
    from rich.console import Console
    from rich.progress import Progress

    from midas_bench.measure import answers_self_test
    from midas_bench.measure.answers_self_test_text import markdown

    if arguments.runs < 1:
        raise UserError(f"--runs {arguments.runs}", "is no number of runs", "give one such as 1000")
    budget_s = seconds("--budget", arguments.budget, bare="min")
    path = arguments.output / FILE
    check_writable(path, "-o")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("simulated runs", total=arguments.runs * len(answers_self_test.SCRIPTS))
        document = answers_self_test.self_test(arguments.runs, lambda more: bar.advance(task, more), budget_s)
    write_whole(path, json.dumps(document, indent=1).encode())
    print(markdown(document), end="")
    print(f"\n{path}")
    return 0
