"""Become another program, outside of Ray: `python -m midas_bench.fleet.launcher NICENESS PROGRAM ARGUMENT ...`.

A Ray worker starts it. The worker has threads, so it cannot set these things itself between fork and exec. The program
takes the place of this module, and dies with the worker: Linux keeps the setting over exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

from midas_bench.processes import PR_SET_PDEATHSIG


def main(niceness: int, command: Sequence[str]) -> None:
    """Run the command in place of this process.

    Args:
        niceness: of the program; Ray gives its workers 15, so all else on the machine would come before it.
        command: its path and its arguments.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getpriority(os.PRIO_PROCESS, 0) != niceness:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
        except PermissionError:
            now = os.getpriority(os.PRIO_PROCESS, 0)
            print(
                f"! niceness {now}, by Ray: other processes come first; start Ray with RAY_worker_niceness={niceness}"
            )
            sys.stdout.flush()
    os.execv(command[0], list(command))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
