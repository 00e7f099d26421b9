"""The command `midas-bench`: run one of its commands, and turn an error into one line and an exit code."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from midas_bench.errors import UserError

COMMANDS = {
    "run": "run the benchmarks by pytest, with any of its flags",
    "accuracy": "compare estimated with true depth on the rendered photos",
    "depth": "turn a photo into a depth heat map",
    "report": "turn saved runs into tables, charts and one page",
    "export": "write saved runs for Bencher, github-action-benchmark or OpenMetrics",
    "share": "write a copy of a saved run without host names, user names and folders",
    "gate": "compare the speed and memory of commits, environments, models or backends, and fail if one is worse",
    "loadgen": "measure latency, throughput and the highest rate within a latency bound, by MLCommons LoadGen",
    "tune": "find the backend, thread count and batch size to deploy on this machine",
    "model": "tell what a model of your own takes and gives, and what of it is assumed",
    "profile": "show which operators of the network take the time",
    "self-test": "simulate runs beside scripted disturbances, and count how often their answers are right",
    "serve": "serve a web page and an API that turn photos into depth heat maps",
    "web-assets": "fetch what the page and the benchmarks run in a browser, once",
    "fleet": "run the benchmarks on every machine of a Ray cluster, and report on them together",
    "doctor": "describe this machine, and what would spoil a measurement on it now",
}
"""Each is a module of this package with `add_arguments(parser)` and `run(arguments) -> exit code`."""

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run one command; return 0 on success, 1 on a negative verdict, 2 on bad input, 3 without a verdict."""
    # None where the parent process closed standard output
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - to the end of the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a file's name may hold characters that standard output cannot encode
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        arguments = _parse(sys.argv[1:] if argv is None else argv)
        module = _module(arguments.command)
        code: int = module.run(arguments)
        sys.stdout.flush()
        return code
    except UserError as error:
        warn(str(error))
        return EXIT_BAD_INPUT
    # `midas-bench ... | head` is no error
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if not _has_temporary_folder():
            warn("temporary files: no folder can be written; set TMPDIR to one that can")
            return EXIT_BAD_INPUT
        if error.filename is not None or error.errno not in (errno.EBADF, errno.ENOSPC):
            raise
        warn(f"standard output cannot be written ({error.strerror})")
        # at a usual exit, Python would write again and print a traceback
        os._exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        warn("interrupted")
        return EXIT_INTERRUPTED


def _module(command: str) -> Any:
    return importlib.import_module(f"midas_bench.cli.{command.replace('-', '_')}")


def _has_temporary_folder() -> bool:
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        return False
    return True


def warn(line: str) -> None:
    """Print a line on standard error, under the command's name."""
    print(f"midas-bench: {line}", file=sys.stderr)


def _parse(argv: list[str]) -> argparse.Namespace:
    if argv[:1] == ["run"] and not {"-h", "--help"} & set(argv[1:2]):
        # pytest knows its flags better than a second parser would
        return argparse.Namespace(command="run", pytest_arguments=[word for word in argv[1:] if word != "--"])
    if argv[:1] == ["gate"]:
        gate_flags = importlib.import_module("midas_bench.cli.gate_flags")
        gate_settings = importlib.import_module("midas_bench.cli.gate_settings")
        argv = ["gate", *gate_settings.with_settings(gate_flags.with_subcommand(argv[1:]), Path.cwd())]
    chosen = next((word for word in argv if word in COMMANDS), None)
    parser = argparse.ArgumentParser("midas-bench", description="MiDaS_small monocular depth estimation on CPU.")
    parser.add_argument("--version", action="version", version=f"midas-bench {version('midas-bench')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_text in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        command.set_defaults(parser=command)
        # the other commands' modules take long to import
        if name == chosen:
            _module(name).add_arguments(command)
    arguments, unknown = parser.parse_known_args(argv)
    if unknown and "passed_on" in arguments:
        arguments.passed_on = unknown
    # this parser's error shows the command's own usage, not that of all commands
    elif unknown:
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
