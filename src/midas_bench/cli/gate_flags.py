"""The flags of `midas-bench gate`: their declaration, their combinations, and the question that they ask."""

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
    compare = parser.add_argument_group("two revisions, measured now")
    compare.add_argument("--base", metavar="REF", help="the revision to compare with, as git names it")
    compare.add_argument("--head", metavar="REF", help="the revision to judge (default: the working tree as it is)")
    compare.add_argument(
        "--merge-base", action="store_true", help="compare with the newest commit that base and head share, "
        "so that later commits of the base do not count",
    )  # fmt: skip
    compare.add_argument(
        "--cell", action="append", default=[], metavar="NAME",
        help="a cell to compare, repeatable: a backend (its pipeline), a stage, or a cell such as "
        f"{gate_cells.FAMILY[0].name} (default: ONNX Runtime's pipeline and each of its stages)",
    )  # fmt: skip
    compare.add_argument("--full", action="store_true", help="the whole matrix; give it a --budget of 4h")
    compare.add_argument(
        "--budget", default="5min", metavar="TIME", help="time for measuring, as 90s, 5min or 1h (default: 5min)"
    )
    compare.add_argument(
        "--fresh-env", action="store_true", help="give the base an environment with its own dependencies"
    )
    compare.add_argument("--resume", action="store_true", help="go on with the same gate after it was interrupted")
    compare.add_argument("--allow-changed-output", action="store_true", help="let other heat maps pass")
    compare.add_argument("--seed", type=int, metavar="N", help="seed of the shuffling (default: random, and reported)")
    add_to_parser(compare, ("--weights",))
    saved = parser.add_argument_group("results that were saved earlier")
    for flag, purpose in (("--baseline", "to compare with"), ("--run", "to judge")):
        saved.add_argument(
            flag,
            action="append",
            nargs="+",
            type=Path,
            metavar="FILE",
            help=f"JSON files or folders {purpose}, two or more",
        )
    saved.add_argument("--force", action="store_true", help="compare them even if they come from different machines")
    self_test = parser.add_argument_group("the gate itself")
    self_test.add_argument(
        "--self-test", action="store_true", help="measure its false alarms and its power on this machine"
    )
    self_test.add_argument("--blocks", type=int, default=100, metavar="N", help="equal sides to record (default: 100)")
    self_test.add_argument("--gates", type=int, default=0, metavar="N", help="live gates, and as many with a slowdown")
    self_test.add_argument("--quick", action="store_true", help="test the machinery with calls of known duration")
    self_test.add_argument(
        "--blocks-from", type=Path, metavar="FILE", help="draw from the recorded blocks of an earlier self-test"
    )
    self_test.add_argument(
        "-o", "--output", type=Path, default=Path("reports/gate"), metavar="FOLDER",
        help="folder for the self-test's blocks, table and chart (default: reports/gate)",
    )  # fmt: skip
    rule = parser.add_argument_group("what is worth an alarm")
    rule.add_argument("--threshold", default="5%", metavar="SHARE", help="growth of time or memory (default: 5%%)")
    rule.add_argument("--startup-threshold", default="20%", metavar="SHARE", help="growth of start-up (default: 20%%)")
    rule.add_argument(
        "--alpha", default="1%", metavar="SHARE", help="chance of a false alarm in the whole gate (default: 1%%)"
    )
    rule.add_argument(
        "--inconclusive", choices=("fail", "pass"), default="fail",
        help="exit code where figures are inconclusive or invalid: 3 (fail, the default) or 0 (pass)",
    )  # fmt: skip
    output = parser.add_argument_group("output")
    output.add_argument("--json", type=Path, metavar="FILE", help="write everything, the block ratios included")
    output.add_argument("--markdown", type=Path, metavar="FILE", help="write the table, as for $GITHUB_STEP_SUMMARY")


RULE_FLAGS = ("--threshold", "--startup-threshold", "--alpha")
JUDGED_FLAGS = (*RULE_FLAGS, "--inconclusive", "--json", "--markdown")
MEASURED_FLAGS = ("--budget", "--seed", "--resume", "--weights")
MODES: Mapping[str, tuple[str, ...]] = {
    "--base": (
        "--base", "--head", "--merge-base", "--cell", "--full", "--fresh-env", "--allow-changed-output",
        *MEASURED_FLAGS, *JUDGED_FLAGS,
    ),
    "--baseline": ("--baseline", "--run", "--force", *JUDGED_FLAGS),
    "--self-test": ("--self-test", "--blocks", "--gates", "--output", *MEASURED_FLAGS, *RULE_FLAGS),
    "--self-test --quick": (
        "--self-test", "--quick", "--blocks", "--output", "--budget", "--seed", "--resume", *RULE_FLAGS,
    ),
    "--self-test --blocks-from": ("--self-test", "--blocks-from", "--output"),
}  # fmt: skip
"""By the flags that choose a mode, all flags that mean something in it."""


def mode(arguments: argparse.Namespace) -> str:
    """Return the key of `MODES` that the flags ask for.

    Raises:
        UserError: the flags ask for no mode or half of one, or a flag means nothing in it.
    """
    if arguments.self_test:
        further = " --blocks-from" if arguments.blocks_from else " --quick" if arguments.quick else ""
        chosen = f"--self-test{further}"
    elif arguments.base is not None:
        chosen = "--base"
    elif arguments.baseline is None and arguments.run is None:
        raise UserError(
            "gate", "needs --base REF, or --baseline FILE with --run FILE", "name a revision, as `--base main`"
        )
    elif arguments.baseline is None or arguments.run is None:
        raise UserError("--baseline and --run", "go together", "name files for both")
    else:
        chosen = "--baseline"
    defaults = argparse.ArgumentParser()
    add_arguments(defaults)
    for flag in dict.fromkeys(flag for flags in MODES.values() for flag in flags):
        name = flag.lstrip("-").replace("-", "_")
        if flag not in MODES[chosen] and getattr(arguments, name) != defaults.get_default(name):
            raise UserError(flag, f"means nothing with {chosen}", "leave one of them out")
    return chosen


def question(arguments: argparse.Namespace) -> Question:
    """Return the question of a gate of two revisions, or of a self-test.

    Raises:
        UserError: a value cannot be read, or two flags contradict each other.
    """
    if arguments.full and arguments.cell:
        raise UserError("--full", "takes all cells, so --cell has nothing to choose", "leave one of them out")
    limit = parse_share("--threshold", arguments.threshold)
    return Question(
        base=arguments.base or "",
        head=arguments.head,
        cells=gate_cells.full_matrix()
        if arguments.full
        else gate_cells.cells_named(arguments.cell) or gate_cells.FAMILY,
        weights=arguments.weights,
        thresholds=Thresholds(limit, limit, parse_share("--startup-threshold", arguments.startup_threshold)),
        alpha=parse_share("--alpha", arguments.alpha),
        budget_s=seconds("--budget", arguments.budget, bare="min"),
        seed=random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed,
        fresh_env=arguments.fresh_env,
        resume=arguments.resume,
        lenient=arguments.inconclusive == "pass",
        output_may_change=arguments.allow_changed_output,
        merge_base=arguments.merge_base,
    )


def saved_question(arguments: argparse.Namespace) -> SavedQuestion:
    """Return the question about saved results.

    Raises:
        UserError: as `question`.
    """
    common = question(arguments)
    baseline, judged = ([path for group in side for path in group] for side in (arguments.baseline, arguments.run))
    return SavedQuestion(baseline, judged, common.thresholds, common.alpha, arguments.force, common.lenient)


def parse_share(flag: str, text: str) -> float:
    """Read `5%` or `5` as 0.05.

    Raises:
        UserError: it is no share, or an ambiguous one.
    """
    number = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", text)
    value = float(number[1]) / 100 if number else math.nan
    if not number or not 0 < value < 1:
        raise UserError(f"{flag} {text}", "is not a share between 0 and 100 %", "give one as 5%")
    if not number[2] and value < 0.005:
        raise UserError(f"{flag} {text}", f"could be {text} % or {100 * float(number[1]):g} %", "write it with a %")
    return value
