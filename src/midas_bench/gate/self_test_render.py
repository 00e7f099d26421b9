"""The result of a self-test as Markdown; it is read in a terminal too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from midas_bench.gate.rule import IMPROVED, PASSED, REGRESSED, UNDECIDED
from midas_bench.results import units
from midas_bench.results.markdown_escape import code, escape


def markdown(document: Mapping[str, Any]) -> str:
    """Return the tables of a self-test's document."""
    resampled = document["resampled"]
    machine = document["machine"]
    blocks = document["blocks"]
    lines = [
        f"{escape(machine['cpu_model'])}, {machine['allowed_cores']} cores, {escape(machine['system'])}, "
        f"{document['when'][:10]}: {len(blocks)} blocks of two equal sides, {_mean_s(blocks):.1f} s each, "
        f"{sum(bool(row['disturbed']) for row in blocks)} of them disturbed.",
        "",
        "| figure | spread of a block's log-ratio | difference of the equal sides (95 % interval) | p | p, Holm |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(_figure(name, value, resampled["unflipped"][name]) for name, value in resampled["spread"].items()),
        "",
        f"{resampled['gates']:,} gates drawn from these blocks as they were recorded raise a false alarm in "
        f"{_share(resampled['as_recorded'])}. For the rows below each drawn block's sign is drawn too; "
        f"{resampled['gates']:,} gates per row, at most {resampled['most_blocks']} blocks each:",
        "",
        f"| slowdown of {code(resampled['slowed'])} | regressed | not slower | improved | inconclusive "
        "| false alarm, any figure | all settled | blocks |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in resampled["rows"]:
        shares = [
            row["verdicts"].get(verdict, 0) / resampled["gates"] for verdict in (REGRESSED, PASSED, IMPROVED, UNDECIDED)
        ]
        cells = [percent(row["slowdown"]), *map(percent, shares), _share(row["false_alarm"])]
        lines.append(f"| {' | '.join([*cells, percent(row['settled']['share']), format(row['blocks'], '.1f')])} |")
    return "\n".join([*lines, *_live(document)]) + "\n"


def _figure(name: str, spread: float, bias: Mapping[str, float]) -> str:
    middle, low, high = (100 * math.expm1(bias[key]) for key in ("log_ratio", "low", "high"))
    # adding 0.0 turns a negative zero into zero
    middle, low, high = (round(value, 2) + 0.0 for value in (middle, low, high))
    difference = f"{middle:+.2f} % ({low:+.2f} to {high:+.2f})"
    return f"| {code(name)} | {100 * spread:.1f} % | {difference} | {bias['p']:.2f} | {bias['holm']:.2f} |"


def percent(share: float) -> str:
    """Return a share of many gates: two decimals, and never 0 % for more than none or 100 % for less than all."""
    return units.percent(share) if share in (0, 1) else f"{100 * share:.2f} %"


def _share(share: Mapping[str, Any]) -> str:
    return f"{percent(share['share'])} ({100 * share['low']:.2f} to {100 * share['high']:.2f})"


def _mean_s(blocks: list[Mapping[str, Any]]) -> float:
    return float(sum(row["block_s"] for row in blocks) / len(blocks))


def _live(document: Mapping[str, Any]) -> Iterable[str]:
    gates = document["live"]
    if not gates:
        return
    yield from ("", "Live gates:", "", "| slowdown | gates | exit 0 | exit 1 | exit 3 | blocks | seconds |")
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for slowdown in dict.fromkeys(gate["slowdown"] for gate in gates):
        slowed = [gate for gate in gates if gate["slowdown"] == slowdown]
        codes = [str(sum(gate["exit_code"] == code for gate in slowed)) for code in (0, 1, 3)]
        blocks = [gate["blocks"] for gate in slowed]
        took_s = [gate["seconds"] for gate in slowed]
        spans = [f"{min(blocks)} to {max(blocks)}", f"{min(took_s):.0f} to {max(took_s):.0f}"]
        yield f"| {' | '.join([percent(slowdown), str(len(slowed)), *codes, *spans])} |"
