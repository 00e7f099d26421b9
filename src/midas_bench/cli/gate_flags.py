"""The flags of `midas-bench gate`: what they are, which go together, and what they ask."""

from __future__ import annotations

import argparse
import math
import random
import re
from collections.abc import Mapping
from pathlib import Path

from midas_bench.errors import UserError
from midas_bench.gate import gate_cells
from midas_bench.gate.block_series import Thresholds
from midas_bench.gate.revision_gate import Question
from midas_bench.gate.saved_gate import SavedQuestion
from midas_bench.options import add_to_parser, seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    what = parser.add_argument_group("two revisions, measured now")
    what.add_argument("--base", metavar="REF", help="the revision to compare with, as git names it")
    what.add_argument("--head", metavar="REF", help="the revision to judge (default: the working tree as it is)")
    what.add_argument(
        "--merge-base", action="store_true", help="compare with the newest commit that base and head share, "
        "so that what the base got since does not count",
    )  # fmt: skip
    what.add_argument(
        "--cell", action="append", default=[], metavar="NAME",
        help="what to compare, repeatable: a backend (its pipeline), a stage, or a cell such as "
        f"{gate_cells.FAMILY[0].name} (default: ONNX Runtime's pipeline and each of its stages)",
    )  # fmt: skip
    what.add_argument("--full", action="store_true", help="the whole matrix; give it a --budget of 4h")
    what.add_argument(
        "--budget", default="5min", metavar="TIME", help="for measuring, as 90s, 5min or 1h (default: 5min)"
    )
    what.add_argument("--fresh-env", action="store_true", help="give the base an environment with its own dependencies")
    what.add_argument("--resume", action="store_true", help="go on with the same gate after it was interrupted")
    what.add_argument("--allow-changed-output", action="store_true", help="let other heat maps pass")
    what.add_argument("--seed", type=int, metavar="N", help="of the shuffling (default: drawn anew, and reported)")
    add_to_parser(what, ("--weights",))
    saved = parser.add_argument_group("results that were saved earlier")
    for flag, of in (("--baseline", "to compare with"), ("--run", "to judge")):
        saved.add_argument(
            flag, action="append", nargs="+", type=Path, metavar="FILE", help=f"JSON files or folders {of}, two or more"
        )
    saved.add_argument("--force", action="store_true", help="compare them even if they come from different machines")
    own = parser.add_argument_group("the gate itself")
    own.add_argument("--self-test", action="store_true", help="measure its false alarms and its power on this machine")
    own.add_argument("--blocks", type=int, default=100, metavar="N", help="equal sides to record (default: 100)")
    own.add_argument("--gates", type=int, default=0, metavar="N", help="live gates, and as many with a slowdown")
    own.add_argument("--quick", action="store_true", help="on a stand-in of known duration: does the machinery work?")
    own.add_argument("--blocks-from", type=Path, metavar="FILE", help="draw from blocks that were recorded earlier")
    own.add_argument(
        "-o", "--output", type=Path, default=Path("reports/gate"), metavar="FOLDER",
        help="for the self-test's blocks, table and chart (default: reports/gate)",
    )  # fmt: skip
    rule = parser.add_argument_group("what is worth an alarm")
    rule.add_argument("--threshold", default="5%", metavar="SHARE", help="growth of time or memory (default: 5%%)")
    rule.add_argument("--startup-threshold", default="20%", metavar="SHARE", help="growth of start-up (default: 20%%)")
    rule.add_argument(
        "--alpha", default="1%", metavar="SHARE", help="chance of a false alarm in the whole gate (default: 1%%)"
    )
    rule.add_argument(
        "--inconclusive", choices=("fail", "pass"), default="fail",
        help="what becomes of figures that nothing can be said of: exit code 3 (default), or 0",
    )  # fmt: skip
    output = parser.add_argument_group("output")
    output.add_argument("--json", type=Path, metavar="FILE", help="write everything, the block ratios included")
    output.add_argument("--markdown", type=Path, metavar="FILE", help="write the table, as for $GITHUB_STEP_SUMMARY")


RULE = ("--threshold", "--startup-threshold", "--alpha")
JUDGED = (*RULE, "--inconclusive", "--json", "--markdown")
MEASURED = ("--budget", "--seed", "--resume", "--weights")
MODES: Mapping[str, tuple[str, ...]] = {
    "--base": (
        "--base", "--head", "--merge-base", "--cell", "--full", "--fresh-env", "--allow-changed-output",
        *MEASURED, *JUDGED,
    ),
    "--baseline": ("--baseline", "--run", "--force", *JUDGED),
    "--self-test": ("--self-test", "--blocks", "--gates", "--output", *MEASURED, *RULE),
    "--self-test --quick": ("--self-test", "--quick", "--blocks", "--output", "--budget", "--seed", "--resume", *RULE),
    "--self-test --blocks-from": ("--self-test", "--blocks-from", "--output"),
}  # fmt: skip
"""By what a gate is asked for, the flags that mean something with it."""


def mode(arguments: argparse.Namespace) -> str:
    """Return which of `MODES` is asked for.

    Raises:
        UserError: none is, or half of one, or a flag means nothing in it.
    """
    if arguments.self_test:
        further = " --blocks-from" if arguments.blocks_from else " --quick" if arguments.quick else ""
        asked = f"--self-test{further}"
    elif arguments.base is not None:
        asked = "--base"
    elif arguments.baseline is None and arguments.run is None:
        raise UserError(
            "gate", "needs --base REF, or --baseline FILE with --run FILE", "name a revision, as `--base main`"
        )
    elif arguments.baseline is None or arguments.run is None:
        raise UserError("--baseline and --run", "go together", "name files for both")
    else:
        asked = "--baseline"
    untouched = argparse.ArgumentParser()
    add_arguments(untouched)
    for flag in dict.fromkeys(flag for flags in MODES.values() for flag in flags):
        name = flag.lstrip("-").replace("-", "_")
        if flag not in MODES[asked] and getattr(arguments, name) != untouched.get_default(name):
            raise UserError(flag, f"means nothing with {asked}", "leave one of them out")
    return asked


def question(arguments: argparse.Namespace) -> Question:
    """Return what a gate of two revisions, or a self-test, is asked.

    Raises:
        UserError: a value is no such thing, or two flags contradict each other.
    """
    if arguments.full and arguments.cell:
        raise UserError("--full", "takes all cells, so --cell has nothing to choose", "leave one of them out")
    limit = share("--threshold", arguments.threshold)
    return Question(
        base=arguments.base or "",
        head=arguments.head,
        cells=gate_cells.full_matrix()
        if arguments.full
        else gate_cells.cells_named(arguments.cell) or gate_cells.FAMILY,
        weights=arguments.weights,
        thresholds=Thresholds(limit, limit, share("--startup-threshold", arguments.startup_threshold)),
        alpha=share("--alpha", arguments.alpha),
        budget_s=seconds("--budget", arguments.budget, bare="min"),
        seed=random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed,
        fresh_env=arguments.fresh_env,
        resume=arguments.resume,
        lenient=arguments.inconclusive == "pass",
        output_may_change=arguments.allow_changed_output,
        merge_base=arguments.merge_base,
    )


def saved_question(arguments: argparse.Namespace) -> SavedQuestion:
    """Return what is asked of saved results.

    Raises:
        UserError: as `question`.
    """
    asked = question(arguments)
    baseline, judged = ([path for group in side for path in group] for side in (arguments.baseline, arguments.run))
    return SavedQuestion(baseline, judged, asked.thresholds, asked.alpha, arguments.force, asked.lenient)


def share(flag: str, text: str) -> float:
    """Read `5%` or `5` as 0.05.

    Raises:
        UserError: it is no such share, or one that was likely meant otherwise.
    """
    number = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", text)
    value = float(number[1]) / 100 if number else math.nan
    if not number or not 0 < value < 1:
        raise UserError(f"{flag} {text}", "is not a share between 0 and 100 %", "give one as 5%")
    if not number[2] and value < 0.005:
        raise UserError(f"{flag} {text}", f"could be {text} % or {100 * float(number[1]):g} %", "write it with a %")
    return value
