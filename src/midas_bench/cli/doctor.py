"""`midas-bench doctor`: what machine this is, and what will spoil a measurement on it now."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from midas_bench.cores import Clock
from midas_bench.depth.backends import registry
from midas_bench.errors import printable
from midas_bench.measure import machine
from midas_bench.measure.doctor import advise, examine
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.processes import ProcessDiedError, ask

EXIT_DISTURBED = 1
TIMEOUT_S = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the facts and the findings; return 1 if something will spoil a measurement.

    The JSON holds `machine`, `condition`, `builds`, `backends` (why each cannot run, or null), `findings`, `advice` and
    `quiet` (whether nothing was found).
    """
    facts = machine.inspect()
    now = machine.condition()
    findings = examine(facts, now)
    advice = advise(os.environ)
    builds = _builds()
    backends = {row.name: _why_missing(row) for row in registry.ROWS}
    if arguments.json:
        document = {
            "quiet": not findings,
            "findings": [str(finding) for finding in findings],
            "advice": [str(finding) for finding in advice],
            "backends": backends,
            "machine": facts.to_json(),
            "condition": now.to_json(),
            "builds": builds,
        }
        print(json.dumps(document, indent=2))
        return EXIT_DISTURBED if findings else 0
    memory = f"{facts.memory_bytes / 2**30:.0f} GiB"
    if facts.memory_limit_bytes:
        memory += f", limited to {facts.memory_limit_bytes / 2**30:.1f} GiB"
    rows: list[tuple[str, Any]] = [
        ("machine", f"{facts.cpu_model}, {facts.system}" + (", virtual" if facts.virtualised else "")),
        ("kind", f"{facts.fingerprint} (equal on machines of the same kind)"),
        *([("board", printable(facts.board))] if facts.board else []),
        ("cores", f"{facts.physical_cores} physical, {facts.allowed_cores} allowed"),
        *(("core kind", str(kind)) for kind in facts.core_kinds),
        *([("used", "; ".join(map(str, facts.usable_kinds)))] if facts.usable_kinds != facts.core_kinds else []),
        ("instructions", ", ".join(facts.isa) or "none that matter"),
        ("memory", memory),
        ("governor", facts.governor or "not visible"),
        *([("clock", _clock(now.clock))] if now.clock else []),
        ("turbo", {None: "not visible", True: "on", False: "off"}[facts.turbo]),
        ("backends", ", ".join(name for name, reason in backends.items() if reason is None)),
        *(("not here", f"{name}: {reason}") for name, reason in backends.items() if reason is not None),
        ("libraries", ", ".join(f"{name} {number}" for name, number in facts.versions.items())),
        *(("build", f"{name}: {text}") for name, text in builds.items()),
        *(("variable", f"{name}={value}") for name, value in facts.environment.items()),
    ]
    for name, value in rows:
        print(f"{name:<13} {value}")
    print()
    for finding in findings:
        print(f"! {finding}")
    for finding in advice:
        print(f"advice: {finding}")
    if not findings:
        print("The machine is quiet: nothing was found that would spoil a measurement.")
    return EXIT_DISTURBED if findings else 0


def _clock(clock: Clock) -> str:
    return f"{clock.now_mhz} MHz now, {clock.limit_mhz} of {clock.max_mhz} MHz allowed, {', '.join(clock.governors)}"


def _why_missing(row: registry.Row) -> str | None:
    error = registry.missing(row)
    return None if error is None else error.why


def _builds() -> dict[str, str]:
    """Ask a child how torch, ONNX Runtime and OpenCV were built: this process need not import them."""
    try:
        return ask(MODULE, {"task": "builds"}, TIMEOUT_S)
    except ProcessDiedError as error:
        return {"unknown": str(error)}
