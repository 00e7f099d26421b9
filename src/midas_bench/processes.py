"""Ask a fresh Python process one question: JSON in on stdin, JSON out.

A process of its own gives back its memory, imports only what its work needs, and may die without taking the caller
along. The callee is a module with `sys.exit(answer(handle))` at its end.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from midas_bench import allocator
from midas_bench.errors import UserError

EXIT_USER_ERROR = 2
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
"""Their descriptors, whatever `sys.stdout` and `sys.stderr` are."""

Reply = dict[str, Any]


class ProcessDiedError(Exception):
    """A child ended without an answer; the message holds how, and its last words.

    Attributes:
        next_step: what to do about it where its end tells, whatever the child was asked; or nothing.
    """

    def __init__(self, message: str, next_step: str = "") -> None:
        self.next_step = next_step
        super().__init__(message)


def ask(
    module: str,
    request: Mapping[str, Any],
    timeout_s: float,
    *,
    environment: Mapping[str, str] | None = None,
    started: Callable[[subprocess.Popen[str]], None] | None = None,
) -> Reply:
    """Run `python -m module` on this request and return what it replies.

    Args:
        module: dotted name; its main calls `answer`.
        request: JSON types only.
        timeout_s: after so many seconds the child is killed.
        environment: variables to set beside the inherited ones and the allocator's settings.
        started: called with the process before it gets its request; for watching it from outside.

    Raises:
        UserError: the child raised one.
        ProcessDiedError: it was killed, timed out or crashed.
    """
    with subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        # a path that a library prints need not be UTF-8
        errors="replace",
        env={**os.environ, **allocator.settings(os.environ), **(environment or {}), "PYTHONIOENCODING": "utf-8"},
    ) as child:
        try:
            if started:
                started(child)
            stdout, stderr = child.communicate(json.dumps(request), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            raise ProcessDiedError(f"no answer within {timeout_s:.0f} s", "try again when less runs here") from None
        # Ctrl-C included: no child outlives its question
        except BaseException:
            child.kill()
            raise
    if child.returncode == 0:
        reply: Reply = json.loads(stdout)
        return reply
    if child.returncode == EXIT_USER_ERROR and stdout:
        raise UserError(*json.loads(stdout))
    killed = child.returncode == -signal.SIGKILL
    message = f"{how_it_ended(child.returncode)}: {last_words(stderr)}"
    raise ProcessDiedError(message, "free some memory, or raise its limit" if killed else "")


def answer(handle: Callable[[Reply], Reply]) -> int:
    """Answer the request on stdin through `handle`, and return the exit code. For the child's main."""
    die_with_parent()
    # What libraries print belongs to stderr: stdout carries the reply and nothing else.
    reply_to = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with reply_to:
        try:
            reply = handle(json.load(sys.stdin))
        except UserError as error:
            json.dump([error.thing, error.reason, error.next_step], reply_to)
            return EXIT_USER_ERROR
        except Exception:
            traceback.print_exc()
            return 1
        json.dump(reply, reply_to)
    return 0


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, even by SIGKILL; elsewhere do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Ask Linux to make this process the parent of its descendants whose own parent ends; elsewhere do nothing.

    Their processor seconds count as its children's, once it has waited for them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def wait_for_ended(process_ids: Iterable[int], timeout_s: float) -> None:
    """Wait for descendants that were killed, be they this process's children, adopted ones or nobody's any more."""
    end_s = time.monotonic() + timeout_s
    left = set(process_ids)
    while left and time.monotonic() < end_s:
        left = {process_id for process_id in left if not _has_ended(process_id)}
        if left:
            time.sleep(0.005)


def _has_ended(process_id: int) -> bool:
    try:
        return os.waitpid(process_id, os.WNOHANG)[0] == process_id
    # another one's child, until that one ends
    except ChildProcessError:
        return not psutil.pid_exists(process_id)


TIED = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"
"""The numbers are `PR_SET_PDEATHSIG` and SIGKILL."""


def tied(command: Sequence[str]) -> list[str]:
    """Return a command that becomes another one, which then ends with this process as `die_with_parent` has it.

    A function for the moment before a program starts would need a fork, which Python refuses beside other threads.
    """
    return [sys.executable, "-S", "-E", "-c", TIED, *command] if sys.platform == "linux" else list(command)


@contextmanager
def without_output(descriptor: int = STANDARD_OUTPUT) -> Iterator[None]:
    """Drop what native libraries print to this process's standard output meanwhile, whichever thread they run in.

    Args:
        descriptor: `STANDARD_OUTPUT` or `STANDARD_ERROR`.
    """
    try:
        kept = os.dup(descriptor)
    # it is closed
    except OSError:
        yield
        return
    flush_all = ctypes.CDLL(None).fflush
    with Path(os.devnull).open("w") as nowhere:
        flush_all(None)
        os.dup2(nowhere.fileno(), descriptor)
        try:
            yield
        finally:
            flush_all(None)
            os.dup2(kept, descriptor)
            os.close(kept)


def how_it_ended(returncode: int) -> str:
    """Return a process's end in words, from the exit status that `subprocess` reports."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def last_words(stderr: str) -> str:
    """Return the last line of what a process wrote to stderr."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"
