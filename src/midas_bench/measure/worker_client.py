"""The arms of a comparison: worker processes that make the calls they are asked for, seen from their parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
from numpy.typing import NDArray

from midas_bench import allocator
from midas_bench.measure.memory_sampler import peak_bytes
from midas_bench.processes import ProcessDiedError, how_it_ended, last_words, wait_for_ended

OPEN_TIMEOUT_S = 600.0
"""Loading may have to make a graph first."""
CALL_TIMEOUT_S = 120.0
END_TIMEOUT_S = 10.0
"""For what a killed worker had started."""
RAISED = 1
"""Python's exit code for an exception, which the last words name already."""


@dataclass(frozen=True)
class WorkerSpec:
    """A worker process and the pipelines it opens.

    Attributes:
        name: of the arm.
        pipelines: by name, `photos` (paths) and `config` (fields of `PipelineConfig`, resolved).
        environment: variables to set beside the inherited ones and the allocator's settings.
        python: the interpreter that runs it.
        slowdown: the share by which each call is made longer, to test whether a comparison detects it.
        tree: the folder that its package must come from; None where the installed one is meant.
        calls: the module and name of what gives the calls, as `module:calls`; None for `depth.calls` of this package.
    """

    name: str
    pipelines: Mapping[str, Mapping[str, Any]]
    environment: Mapping[str, str] | None = None
    python: str = sys.executable
    slowdown: float = 0.0
    tree: str | None = None
    calls: str | None = None


@dataclass(frozen=True)
class TimedCall:
    """What is timed: a call of a pipeline of an arm."""

    arm: str
    pipeline: str
    call: str = "pipeline"

    def part(self, name: str) -> TimedCall:
        """Return what stands for a part of the call that the call timed itself."""
        return replace(self, call=f"{self.call}/{name}")


@dataclass(frozen=True)
class SavedArrays:
    """Arrays of one type on disk, one behind the other, and their shapes."""

    path: Path
    shapes: Sequence[tuple[int, ...]]
    dtype: str = "uint8"

    def read(self) -> NDArray[Any]:
        """Return all values, flat."""
        return np.fromfile(self.path, self.dtype)


class WorkerDiedError(ProcessDiedError):
    """A worker ended, or did not answer in time and was killed.

    Attributes:
        arm: its name.
        reason: how it ended, and its last words.
    """

    def __init__(self, arm: str, reason: str) -> None:
        self.arm = arm
        self.reason = reason
        super().__init__(f"arm {arm}: {reason}")


class Worker:
    """The parent's end of one worker process.

    Attributes:
        script: what the process runs.
    """

    script = Path(__file__).with_name("worker.py")

    def __init__(self, arm: WorkerSpec, core: int | None) -> None:
        self._arm = arm
        self._overdue = False
        self._start_s = time.perf_counter()
        # a file, because nobody reads a pipe while calls are made, and a full one would stop the worker
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            # -P: the folder of the script must not come before the libraries
            [arm.python, "-P", str(self.script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            env={**os.environ, **allocator.settings(os.environ), **(arm.environment or {})},
            # a process group of its own, so that the worker's children can be killed with it
            start_new_session=True,
        )
        if core is not None and hasattr(os, "sched_setaffinity"):
            # at once: three starts side by side that pinned themselves later differed by 14 % from block to block
            # (standard deviation, 10 blocks), these by 4 %. That it has ended already is seen where its reply is read
            with suppress(ProcessLookupError):
                os.sched_setaffinity(self._process.pid, {core})

    def begin_opening(self) -> None:
        """Have the arm's pipelines loaded, without waiting for that; `finish_opening` does."""
        arm = self._arm
        request = {"open": arm.pipelines, "slowdown": arm.slowdown, "tree": arm.tree}
        if arm.calls:
            request["calls"] = arm.calls
        self._send(request)

    def open(self, timeout_s: float | None = None) -> Mapping[str, Sequence[str]]:
        """Load the arm's pipelines, and return what `finish_opening` does.

        Raises:
            WorkerDiedError: it could not.
        """
        self.begin_opening()
        return self.finish_opening(timeout_s)

    def finish_opening(self, timeout_s: float | None = None) -> Mapping[str, Sequence[str]]:
        """Wait until the arm's pipelines are loaded, and return the names of the calls that each has.

        `startup_s` then tells the seconds since the process was started, without those in which it could have run but
        had to wait for its core.

        Raises:
            WorkerDiedError: it could not.
        """
        reply = self._receive(timeout_s or OPEN_TIMEOUT_S)
        self.startup_s = reply["at_s"] - self._start_s - (reply["queued_s"] or 0.0)
        ready: Mapping[str, Sequence[str]] = reply["ready"]
        return ready

    def save(self, probe: TimedCall, path: Path, timeout_s: float | None = None) -> SavedArrays | None:
        """Make one call, and write the arrays that it returns one behind the other; None where it returns no arrays.

        Raises:
            ProcessDiedError: as `call`.
        """
        request = {"pipeline": probe.pipeline, "call": probe.call, "save": str(path)}
        reply = self._ask(request, timeout_s or CALL_TIMEOUT_S)
        if reply["shapes"] is None:
            return None
        return SavedArrays(path, [tuple(shape) for shape in reply["shapes"]], reply["dtype"])

    def peak_bytes(self) -> int | None:
        """Return the process's highest resident memory so far, or None where the system keeps no such mark."""
        return peak_bytes(self._process.pid)

    def call(self, probe: TimedCall, timeout_s: float | None = None) -> float:
        """Make one call and return its seconds.

        Raises:
            WorkerDiedError: the worker ended, or did not answer in time and was killed.
        """
        return self.call_in_parts(probe, timeout_s)[probe]

    def call_in_parts(self, probe: TimedCall, timeout_s: float | None = None) -> dict[TimedCall, float]:
        """Make one call and return its seconds, and those of the parts that it timed itself, each as a call.

        Raises:
            WorkerDiedError: as `call`.
        """
        request = {"pipeline": probe.pipeline, "call": probe.call}
        reply = self._ask(request, timeout_s or CALL_TIMEOUT_S)
        parts = {probe.part(name): float(seconds) for name, seconds in reply.get("parts", {}).items()}
        return {probe: float(reply["seconds"]), **parts}

    def _ask(self, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        self._send(request)
        return self._receive(timeout_s)

    def _send(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        # a worker that ended says nothing more, which is seen where its reply is read
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        # a read from a pipe has no time-out of its own
        watchdog = threading.Timer(timeout_s, self._give_up)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            reason = f"no answer within {timeout_s:g} s" if self._overdue else self._last_words()
            raise WorkerDiedError(self._arm.name, reason)
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _give_up(self) -> None:
        self._overdue = True
        self._kill()

    def _last_words(self) -> str:
        code = self._process.wait()
        # the worker's children may go on without it
        self._kill_group()
        self._stderr.seek(0)
        words = last_words(self._stderr.read())
        return words if code == RAISED else f"{how_it_ended(code)}: {words}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        started = self._started()
        self._kill()
        self._process.wait()
        wait_for_ended(started, END_TIMEOUT_S)
        # the pipes are not read to their end: a child of the worker may still hold them
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self._stderr.close()

    def _started(self) -> list[int]:
        """Return the process ids of all that the worker started and that still runs."""
        # after `wait()` the system may give the process id to another process
        if self._process.returncode is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            return [process.pid for process in psutil.Process(self._process.pid).children(recursive=True)]
        return []

    def _kill(self) -> None:
        """End the worker and all that it started."""
        # after `wait()` the system may give the process id to another process
        if self._process.returncode is None:
            self._kill_group()
            self._process.kill()

    def _kill_group(self) -> None:
        if sys.platform != "win32":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
