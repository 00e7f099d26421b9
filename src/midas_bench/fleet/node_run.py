"""One node's part of a fleet run: a Ray task that only starts the suite, and sends on what the suite writes.

The suite runs outside of Ray: in a session and an environment of its own, with all CPUs of the node reserved. It ends
with the task, however that ends. Its files are sent as they grow, so that a node that is lost leaves its journal.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from midas_bench.processes import Reply, ask
from midas_bench.results.run_files import STORAGE

LAUNCHER = "midas_bench.fleet.launcher"
LOG = "output.txt"
"""What the suite printed on a node."""
LOOK_S = 2.0
"""Between two looks at the files, which take a fraction of a millisecond."""
DESCRIBE_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Piece:
    """A part of a file.

    Attributes:
        name: of the file, below the run's folder.
        offset: of the part; the file ends with it.
        content: its bytes.
    """

    name: str
    offset: int
    content: bytes


@dataclass(frozen=True)
class Ended:
    """The end of the suite's process.

    Attributes:
        code: its exit code.
        names: of all files that it left.
    """

    code: int
    names: tuple[str, ...]


def describe_node() -> Reply:
    """Return what machine this node is, as `describe.handle` does."""
    return ask("midas_bench.fleet.describe", {}, DESCRIBE_TIMEOUT_S)


def run_suite(arguments: Sequence[str], files: Mapping[str, bytes]) -> Iterator[list[Piece] | Ended]:
    """Run the suite in a folder of its own, and yield what it writes, then its end.

    Args:
        arguments: of `midas-bench run`.
        files: to go on with, by their names below the folder.
    """
    folder = Path(tempfile.mkdtemp(prefix="midas-bench-fleet-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        sent = {name: len(content) for name, content in files.items()}
        with (folder / LOG).open("wb") as log:
            process = subprocess.Popen(
                launched([sys.executable, "-m", "midas_bench.cli.main", "run", *arguments]),
                cwd=folder,
                env=node_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        code = None
        while code is None:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(LOOK_S)
            pieces = list(new_pieces(folder, sent))
            if pieces:
                yield pieces
        yield Ended(code, tuple(sorted(_names(folder))))
    finally:
        if process is not None:
            end(process)
        shutil.rmtree(folder, ignore_errors=True)


def launched(command: Sequence[str]) -> list[str]:
    """Return the command that runs this one outside of Ray, with the niceness of Ray's node."""
    return [sys.executable, "-m", LAUNCHER, str(psutil.Process(os.getppid()).nice()), *command]


def node_environment() -> dict[str, str]:
    """Return the variables that this node was started with: Ray sets threads and more for its workers."""
    try:
        started_with = psutil.Process(os.getppid()).environ()
    except psutil.Error:
        started_with = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return {name: value for name, value in started_with.items() if not name.startswith("RAY_")}


def new_pieces(folder: Path, sent: dict[str, int]) -> Iterator[Piece]:
    """Yield what was written since the last look, and note it in `sent`, the sizes by name.

    Files of the suite grow or are renamed to their names when they are whole.
    """
    for name in _names(folder):
        with suppress(FileNotFoundError):
            size = (folder / name).stat().st_size
            before = sent.get(name)
            if size == before:
                continue
            # a torn last line was cut off
            offset = before if before is not None and size > before else 0
            with (folder / name).open("rb") as file:
                file.seek(offset)
                content = file.read()
            sent[name] = offset + len(content)
            yield Piece(name, offset, content)


def _names(folder: Path) -> Iterator[str]:
    """Yield the names of the files worth keeping: results, journal, depth maps, and what was printed."""
    if (folder / LOG).exists():
        yield LOG
    for path in sorted((folder / STORAGE).rglob("*")):
        if path.is_file() and path.suffix != ".lock" and not path.name.startswith("."):
            yield path.relative_to(folder).as_posix()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, also what has a session of its own."""
    if process.poll() is not None:
        return
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid)
        for one in (started, *started.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()
