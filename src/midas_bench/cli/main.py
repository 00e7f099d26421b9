"""The command `midas-bench`: pick a command, turn an error into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from importlib.metadata import version

from midas_bench.errors import UserError

COMMANDS = {
    "accuracy": "compare estimated with true depth on the rendered photos",
    "depth": "turn a photo into a depth heat map",
    "report": "turn saved runs into tables, charts and one page",
    "doctor": "say what machine this is and what will spoil a measurement on it now",
}
"""Each is a module of this package with `add_arguments(parser)` and `run(arguments) -> exit code`."""

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run one command; return 0 on success, 1 on a negative verdict, 2 on bad input, 3 if nothing can be said."""
    argv = sys.argv[1:] if argv is None else argv
    chosen = next((word for word in argv if word in COMMANDS), None)
    parser = argparse.ArgumentParser("midas-bench", description="MiDaS_small monocular depth estimation on CPU.")
    parser.add_argument("--version", action="version", version=f"midas-bench {version('midas-bench')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_text in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=help_text.capitalize() + ".")
        if name == chosen:  # the others' imports are not worth their time
            importlib.import_module(f"midas_bench.cli.{name}").add_arguments(command)
    arguments = parser.parse_args(argv)
    try:
        module = importlib.import_module(f"midas_bench.cli.{arguments.command}")
        code: int = module.run(arguments)
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"midas-bench: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except BrokenPipeError:  # `midas-bench ... | head` is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("midas-bench: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
