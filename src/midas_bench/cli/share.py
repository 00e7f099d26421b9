"""`midas-bench share RUN.json`: a copy of a run without host names, user names and folders."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import platform
from contextlib import suppress
from pathlib import Path

from midas_bench.errors import UserError, printable
from midas_bench.files import check_writable, write_whole
from midas_bench.results.run_files import parsed, run_from
from midas_bench.results.shared_copy import Names, file_name, is_removable, shared_copy

USER_VARIABLES = ("USER", "LOGNAME", "USERNAME", "SUDO_USER")
HOST_VARIABLES = ("HOSTNAME", "COMPUTERNAME")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run_file", type=Path, metavar="RUN.json", help="a saved run")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE",
        help="where to write the copy (default: RUN-shared.json in the current folder)",
    )  # fmt: skip
    parser.add_argument(
        "--remove",
        action="append",
        default=[],
        metavar="WORD",
        help="a further name to take out, such as a customer's; repeat it for several",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the copy, and say what was taken out."""
    path: Path = arguments.run_file
    for word in arguments.remove:
        if not is_removable(word):
            reason = "cannot be taken out: it has fewer than two letters, or is a word that every run holds"
            raise UserError(f"--remove {word}", reason, "leave it out, or give a longer one")
    content = parsed(path)
    run_from(content, path)
    names = local_names() | Names(others=frozenset(arguments.remove))
    try:
        copied = shared_copy(content, names)
        text = json.dumps(copied.content, indent=4) + "\n"
    except RecursionError:
        raise UserError(path, "is nested too deeply", "leave the file out or write it anew") from None
    output: Path = arguments.output or Path(f"{file_name(path.stem, content, names)}-shared.json")
    if output.exists() and output.samefile(path):
        raise UserError(output, "is the run itself", "name another file with -o")
    run_from(copied.content, output)
    check_writable(output, "-o")
    write_whole(output, text.encode())
    left_out = ", ".join(map(printable, copied.left_out)) or "nothing"
    changed = f"{copied.changed} text{'' if copied.changed == 1 else 's'} changed"
    print(f"{printable(output)} ({len(text) / 1024:.0f} KiB): left out {left_out}; {changed}")
    print(
        "No known host, user or folder is in it. Look through it before you pass it on; --remove takes out more words."
    )
    return 0


def local_names() -> Names:
    """Return the names of this machine and of its user, as far as the system tells them without a network."""
    variables = os.environ
    users = {variables.get(name, "") for name in USER_VARIABLES}
    # a user without a name or without a home, as in a container
    with suppress(OSError, KeyError, ImportError):
        users.add(getpass.getuser())
    with suppress(RuntimeError):
        users.add(Path.home().name)
    hosts = {platform.node(), *(variables.get(name, "") for name in HOST_VARIABLES)}
    return Names(frozenset(filter(None, hosts)), frozenset(filter(None, users)))
