"""Tell what machine this is, in a process of its own: Ray's processes have an environment of their own."""

from __future__ import annotations

import platform
import sys

from midas_bench.measure import machine
from midas_bench.processes import Reply, answer


def handle(request: Reply) -> Reply:  # noqa: ARG001
    """Return kind and names of the machine."""
    facts = machine.inspect()
    return {"fingerprint": facts.fingerprint, "cpu": facts.cpu_model, "host": platform.node()}


if __name__ == "__main__":
    sys.exit(answer(handle))
