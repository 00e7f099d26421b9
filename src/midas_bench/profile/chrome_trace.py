"""A profile in the Trace Event Format, which Perfetto, speedscope and Chrome open."""

from __future__ import annotations

from typing import Any

from midas_bench.profile.operators import Operator, Profile

GAP_US = 1000.0
"""Between two calls, to tell them apart."""
TRACK = {"pid": 1, "tid": 1}


def chrome_trace(profile: Profile, title: str) -> dict[str, Any]:
    """Return the trace in JSON types: the calls one after the other, and in each its operators.

    Times are microseconds. The format is described in "Trace Event Format", by Google's catapult project.
    """
    events: list[dict[str, Any]] = [{"ph": "M", "name": "process_name", "ts": 0, **TRACK, "args": {"name": title}}]
    start_us = 0.0
    for number, (call_s, of_call) in enumerate(zip(profile.calls_s, profile.events, strict=True), start=1):
        end_us = start_us + 1e6 * call_s
        events.append({**_event("call", start_us, end_us), "cat": "call", "args": {"round": number}})
        for event in sorted(of_call, key=lambda event: event.start_s):
            operator = profile.operators[event.operator]
            begin_us = start_us + 1e6 * event.start_s
            # a viewer nests only what ends within the call; the clocks differ by some microseconds
            last_us = min(begin_us + 1e6 * event.took_s, end_us)
            if begin_us < last_us:
                events.append(_event(operator.kind, begin_us, last_us) | {"cat": "operator", "args": _about(operator)})
        start_us = end_us + GAP_US
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _event(name: str, begin_us: float, end_us: float) -> dict[str, Any]:
    return {"ph": "X", "name": name, "ts": round(begin_us, 3), "dur": round(end_us - begin_us, 3), **TRACK}


def _about(operator: Operator) -> dict[str, Any]:
    return {"operator": operator.label, "inputs": operator.inputs, "outputs": operator.outputs, "flop": operator.flop}
