"""The result of a self-test as Markdown; it is read in a terminal too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from midas_bench.gate.result_text import ratio_text
from midas_bench.gate.rule import IMPROVED, PASSED, REGRESSED, UNDECIDED
from midas_bench.render.document import Column, Table, TableCell, columns
from midas_bench.render.markdown import table_lines
from midas_bench.render.markdown_escape import escape
from midas_bench.results import units
from midas_bench.results.intervals import Interval

SPREADS = columns(
    "figure", "spread of a block's log-ratio#", "difference of the equal sides (95 % interval)#", "p#", "p, Holm#"
)
SHARES = columns(
    "regressed#", "not slower#", "improved#", "inconclusive#", "false alarm, any figure#", "all settled#", "blocks#"
)
LIVE = columns("slowdown#", "gates#", "exit 0#", "exit 1#", "exit 3#", "blocks#", "seconds#")


def markdown(document: Mapping[str, Any]) -> str:
    """Return the tables of a self-test's document."""
    resampled = document["resampled"]
    machine = document["machine"]
    blocks = document["blocks"]
    slowdown = Column(f"slowdown of {resampled['slowed']}", numeric=True)
    lines = [
        f"{escape(machine['cpu_model'])}, {machine['allowed_cores']} cores, {escape(machine['system'])}, "
        f"{document['when'][:10]}: {len(blocks)} blocks of two equal sides, {_mean_s(blocks):.1f} s each, "
        f"{sum(bool(row['disturbed']) for row in blocks)} of them disturbed.",
        "",
        *_table(SPREADS, (_figure(name, value, resampled) for name, value in resampled["spread"].items())),
        "",
        f"{resampled['gates']:,} gates drawn from these blocks as they were recorded raise a false alarm in "
        f"{_share(resampled['as_recorded'])}. For the rows below each drawn block's sign is drawn too; "
        f"{resampled['gates']:,} gates per row, at most {resampled['most_blocks']} blocks each:",
        "",
        *_table((slowdown, *SHARES), (_drawn(row, resampled["gates"]) for row in resampled["rows"])),
        *_three_arms(resampled),
        *_control(document),
        *_live(document["live"]),
    ]
    return "\n".join(lines) + "\n"


def _table(heads: tuple[Column, ...], rows: Iterable[Iterable[str | TableCell]]) -> Iterable[str]:
    cells = (tuple(field if isinstance(field, TableCell) else TableCell(field) for field in row) for row in rows)
    return table_lines(Table("self-test", "", heads, tuple(cells)))


def _figure(name: str, spread: float, resampled: Mapping[str, Any]) -> Iterable[str | TableCell]:
    bias = resampled["unflipped"][name]
    middle, low, high = (100 * math.expm1(bias[key]) for key in ("log_ratio", "low", "high"))
    # adding 0.0 turns a negative zero into zero
    middle, low, high = (round(value, 2) + 0.0 for value in (middle, low, high))
    difference = f"{middle:+.2f} % ({low:+.2f} to {high:+.2f})"
    return TableCell(name, code=True), f"{100 * spread:.1f} %", difference, f"{bias['p']:.2f}", f"{bias['holm']:.2f}"


def _drawn(row: Mapping[str, Any], gates: int) -> Iterable[str]:
    verdicts = (REGRESSED, PASSED, IMPROVED, UNDECIDED)
    shares = (percent(row["verdicts"].get(verdict, 0) / gates) for verdict in verdicts)
    settled = percent(row["settled"]["share"])
    return percent(row["slowdown"]), *shares, _share(row["false_alarm"]), settled, format(row["blocks"], ".1f")


def percent(share: float) -> str:
    """Return a share of many gates: two decimals, and never 0 % for more than none or 100 % for less than all."""
    return units.percent(share) if share in (0, 1) else f"{100 * share:.2f} %"


def _share(share: Mapping[str, Any]) -> str:
    return f"{percent(share['share'])} ({100 * share['low']:.2f} to {100 * share['high']:.2f})"


def _mean_s(blocks: list[Mapping[str, Any]]) -> float:
    return float(sum(row["block_s"] for row in blocks) / len(blocks))


def _three_arms(resampled: Mapping[str, Any]) -> Iterable[str]:
    rows = resampled.get("three_arms", [])
    if rows:
        yield from (
            "",
            "Gates of three arms, drawn from the blocks with a control, which arm is the base drawn too:",
            "",
        )
        slowdown = Column("slowdown of one head", numeric=True)
        yield from _table((slowdown, *SHARES), (_drawn(row, resampled["gates"]) for row in rows))


def _control(document: Mapping[str, Any]) -> Iterable[str]:
    control = document.get("control", {})
    if control:
        count = sum(bool(row.get("control")) for row in document["blocks"])
        texts = (f"{escape(name)} {ratio_text(Interval(**ratio))}" for name, ratio in control.items())
        yield from ("", f"The base against itself, in {count} of the blocks (95 % intervals): {'; '.join(texts)}.")


def _live(gates: list[Mapping[str, Any]]) -> Iterable[str]:
    if gates:
        slowdowns = dict.fromkeys(gate["slowdown"] for gate in gates)
        rows = (_live_row(slowdown, [gate for gate in gates if gate["slowdown"] == slowdown]) for slowdown in slowdowns)
        yield from ("", "Live gates:", "", *_table(LIVE, rows))


def _live_row(slowdown: float, gates: list[Mapping[str, Any]]) -> Iterable[str]:
    blocks = [gate["blocks"] for gate in gates]
    took_s = [gate["seconds"] for gate in gates]
    codes = (str(sum(gate["exit_code"] == code for gate in gates)) for code in (0, 1, 3))
    spans = f"{min(blocks)} to {max(blocks)}", f"{min(took_s):.0f} to {max(took_s):.0f}"
    return percent(slowdown), str(len(gates)), *codes, *spans
