"""The subcommands of `midas-bench gate`, and their flags."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from midas_bench.depth.model_settings import FLAGS as MODEL_FLAG
from midas_bench.errors import UserError
from midas_bench.gate import gate_cells
from midas_bench.options import MODEL_SETTINGS, OPTIONS

RUN, COMPARE, SELF_TEST = "run", "compare", "self-test"
ALL = (RUN, COMPARE, SELF_TEST)
SUBCOMMANDS = {
    RUN: ("compare two or more sides, measured now in turns", "--base main"),
    COMPARE: ("compare results that were saved earlier", "--baseline before/*.json --run after/*.json"),
    SELF_TEST: ("measure the gate's own false alarms and power on this machine", "--gates 10"),
}
"""By name: what it does, and the flags of an example."""

OLD_FORM = {
    "--self-test": SELF_TEST,
    "--base": RUN,
    "--baseline": COMPARE,
    "--run": COMPARE,
    "--blocks-from": SELF_TEST,
    "--calls": RUN,
    "--head-env": RUN,
    "--head-model": RUN,
    "--head-backend": RUN,
}
"""Flags that chose what the gate does before it had subcommands, the strongest first."""


class Flag:
    """A flag: its names, the subcommands that take it, and what argparse needs to know of it."""

    def __init__(self, names: str, *subcommands: str, **settings: Any) -> None:
        self.names = names.split()
        self.name = self.names[-1]
        self.subcommands = subcommands
        self.settings = settings
        self.is_switch = settings.get("action") == "store_true"
        self.default = False if self.is_switch else settings.get("default")

    def add_to(self, parser: argparse.ArgumentParser, subcommand: str) -> None:
        """Declare the flag, hidden and refused where it belongs to other subcommands."""
        if subcommand in self.subcommands:
            parser.add_argument(*self.names, **self.settings)
        else:
            nargs = 0 if self.is_switch else self.settings.get("nargs")
            known: Any = {"takers": self.subcommands, "nargs": nargs, "type": self.settings.get("type")}
            parser.add_argument(*self.names, action=Refusal, default=self.default, help=argparse.SUPPRESS, **known)


class Refusal(argparse.Action):
    """What a flag of other subcommands does; at its default it means what leaving it out means, so that passes."""

    def __init__(self, takers: Sequence[str], **known: Any) -> None:
        super().__init__(**known)
        self._takers = " or ".join(f"`midas-bench gate {name}`" for name in takers)

    def __call__(self, parser: argparse.ArgumentParser, _: object, values: object, __: str | None = None) -> None:
        """Refuse the flag.

        Raises:
            UserError: its value is not its default.
        """
        if values != self.default:
            raise UserError(
                self.option_strings[-1], f"means nothing with `{parser.prog}`", f"leave it out, or use {self._takers}"
            )


def _setting_flags(setting: str, metavar: str, says: str) -> Iterator[Flag]:
    """Yield the flags that say something of a model: of every side's, of the base's, and of a head's."""
    name = MODEL_FLAG[setting].lstrip("-")
    yield Flag(f"--{name}", RUN, metavar=metavar, help=f"of every side's network: {says}")
    yield Flag(f"--base-{name}", RUN, metavar=metavar, help="the same of the base's model alone")
    yield Flag(f"--head-{name}", RUN, action="append", default=[], metavar=metavar,
               help="the same of the head's model alone; repeatable")  # fmt: skip


FLAGS = (
    Flag("--base", RUN, metavar="REF", help="the revision to compare with, as git names it"),
    Flag("--head", RUN, action="append", default=[], metavar="REF",
         help="the revision to judge (default: the working tree as it is); repeatable, up to three"),
    Flag("--base-env", RUN, metavar="ENV",
         help="the base's libraries: requirements such as 'onnxruntime==1.24.*', a file of them, or an environment"),
    Flag("--head-env", RUN, action="append", default=[], metavar="ENV", help="the head's libraries; repeatable"),
    Flag("--model", RUN, metavar="FILE", help="the network of all sides, an ONNX file"),
    Flag("--base-model", RUN, metavar="FILE", help="the base's network, an ONNX file"),
    Flag("--head-model", RUN, action="append", default=[], metavar="FILE", help="the head's network; repeatable"),
    *(flag for setting in MODEL_SETTINGS for flag in _setting_flags(*setting)),
    Flag("--base-backend", RUN, metavar="NAME", help="compare backends: the base's (default: onnx)"),
    Flag("--head-backend", RUN, action="append", default=[], metavar="NAME", help="the head's backend; repeatable"),
    Flag("--calls", RUN, default="", metavar="MODULE:FUNCTION",
         help="compare calls of your own: a context manager that yields them by name"),
    Flag("--merge-base", RUN, action="store_true", help="compare with the newest commit that base and head share, "
         "so that later commits of the base do not count"),
    Flag("--cell", RUN, action="append", default=[], metavar="NAME",
         help="a cell to compare, repeatable: a backend (its pipeline), a stage, or a cell such as "
         f"{gate_cells.FAMILY[0].name} (default: ONNX Runtime's pipeline and each of its stages)"),
    Flag("--full", RUN, action="store_true", help="the whole matrix; give it a --budget of 4h"),
    Flag("--fresh-env", RUN, action="store_true", help="give the base an environment with its own dependencies"),
    Flag("--allow-changed-output", RUN, action="store_true", help="let other outputs pass"),
    Flag("--no-control", RUN, SELF_TEST, action="store_true",
         help="do not measure the base against itself, which takes a seventh of the time"),
    Flag("--measure", RUN, action="store_true", help="measure even if both sides run the same"),
    Flag("--fail-fast", RUN, action="store_true", help="end at the first figure that regressed or output that changed"),
    Flag("--no-why", RUN, action="store_true", help="do not profile operators where a figure regressed"),
    Flag("--baseline", COMPARE, required=True, action="append", nargs="+", type=Path, metavar="FILE",
         help="JSON files or folders to compare with, two or more"),
    Flag("--run", COMPARE, required=True, action="append", nargs="+", type=Path, metavar="FILE",
         help="JSON files or folders to judge, two or more"),
    Flag("--force", COMPARE, action="store_true", help="compare them even if they come from different machines"),
    # this flag chose the subcommand before there was one
    Flag("--self-test", SELF_TEST, action="store_true", help=argparse.SUPPRESS),
    Flag("--blocks", SELF_TEST, type=int, default=100, metavar="N", help="equal sides to record (default: 100)"),
    Flag("--gates", SELF_TEST, type=int, default=0, metavar="N", help="live gates, and as many with a slowdown"),
    Flag("--quick", SELF_TEST, action="store_true", help="test the machinery with calls of known duration"),
    Flag("--blocks-from", SELF_TEST, type=Path, metavar="FILE", help="draw from the blocks of an earlier self-test"),
    Flag("-o --output", SELF_TEST, type=Path, default=Path("reports/gate"), metavar="FOLDER",
         help="folder for the self-test's blocks, table and chart (default: reports/gate)"),
    Flag("--budget", RUN, SELF_TEST, default="5min", metavar="TIME",
         help="time for measuring, as 90s, 5min or 1h (default: 5min)"),
    Flag("--resume", RUN, SELF_TEST, action="store_true", help="go on with the same gate after it was interrupted"),
    Flag("--seed", RUN, SELF_TEST, type=int, metavar="N", help="seed of the shuffling (default: random, and reported)"),
    Flag("--photos", RUN, help=OPTIONS["--photos"].help, **OPTIONS["--photos"].settings),
    Flag("--weights", RUN, SELF_TEST, help=OPTIONS["--weights"].help, **OPTIONS["--weights"].settings),
    Flag("--threshold", *ALL, action="append", default=[], metavar="[FIGURE=]SHARE",
         help="growth that is worth an alarm: of time and memory (default: 5%%; of backends, a tie: 2%%), or of one "
         "figure as 'decode=10%%' or 'peak memory=2%%'; repeatable"),
    Flag("--startup-threshold", *ALL, metavar="SHARE",
         help="growth of start-up that is worth an alarm (default: 10%%; of saved results 20%%)"),
    Flag("--alpha", *ALL, default="1%", metavar="SHARE",
         help="chance of a false alarm in the whole gate (default: 1%%)"),
    Flag("--inconclusive", RUN, COMPARE, choices=("fail", "pass"), default="fail",
         help="exit code where figures are inconclusive or invalid: 3 (fail, the default) or 0 (pass)"),
    Flag("--json", RUN, COMPARE, type=Path, metavar="FILE", help="write everything, the block ratios included"),
    Flag("--markdown", RUN, COMPARE, type=Path, metavar="FILE", help="write the table, as for $GITHUB_STEP_SUMMARY"),
)  # fmt: skip

USELESS_BESIDE = {
    "--blocks-from": (
        "--quick", "--blocks", "--gates", "--budget", "--resume", "--seed", "--weights", "--threshold",
        "--startup-threshold", "--alpha",
    ),
    "--quick": ("--gates", "--weights"),
}  # fmt: skip
"""By a flag of the self-test, those that mean nothing beside it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their flags."""
    examples = (f"  midas-bench gate {name} {flags}" for name, (_, flags) in SUBCOMMANDS.items())
    parser.epilog = "\n".join(("examples:", *examples))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    subcommands = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    for name, (purpose, _) in SUBCOMMANDS.items():
        subcommand = subcommands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        subcommand.set_defaults(parser=subcommand)
        for flag in FLAGS:
            flag.add_to(subcommand, name)


def flags_of(subcommand: str) -> dict[str, Flag]:
    """Return the flags that a subcommand takes, by name."""
    return {flag.name: flag for flag in FLAGS if subcommand in flag.subcommands}


def with_subcommand(words: Sequence[str]) -> list[str]:
    """Return the command's words with the subcommand first, as its flags choose it where none is named.

    Raises:
        UserError: they choose none.
    """
    if words and not words[0].startswith("-"):
        return list(words)
    flags = {flag_named(word.partition("=")[0]) for word in words}
    for flag, subcommand in OLD_FORM.items():
        if flag in flags:
            return [subcommand, *words]
    if {"-h", "--help"} & flags:
        return ["--help"]
    raise UserError("gate", f"needs {RUN}, {COMPARE} or {SELF_TEST}", "begin with `midas-bench gate run --base main`")


def flag_named(word: str) -> str:
    """Return the flag that a word is, in full or abbreviated as argparse allows it; else the word."""
    matches = [flag.name for flag in FLAGS if word.startswith("--") and flag.name.startswith(word)]
    return matches[0] if len(matches) == 1 else word


def check_self_test(arguments: argparse.Namespace) -> None:
    """Refuse flags that mean nothing beside another one.

    Raises:
        UserError: such a flag is given.
    """
    defaults = {flag.name: flag.default for flag in FLAGS}
    values = {name: getattr(arguments, name.lstrip("-").replace("-", "_")) for name in defaults}
    for chosen, useless in USELESS_BESIDE.items():
        for name in useless:
            if values[chosen] and values[name] != defaults[name]:
                raise UserError(
                    name, f"means nothing with `midas-bench gate self-test {chosen}`", "leave one of them out"
                )
