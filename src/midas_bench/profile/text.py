"""A profile, and what moved between two, as tables and sentences for a terminal or Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from midas_bench.profile.moved import MovedOperator
from midas_bench.profile.operators import Operator, Profile, spread_s
from midas_bench.render.document import Table, TableCell, code, columns, number
from midas_bench.render.markdown import table_lines
from midas_bench.render.markdown_escape import escape
from midas_bench.results import units
from midas_bench.results.json_fields import clean

WIDTH = 120
LONGEST_LABEL, LONGEST_KIND = 41, 20
COLUMNS = columns("operator", "kind", "time per call#", "share#", "calls#", "MFLOP#", "share of peak#")
MOVED_COLUMNS = columns("operator", "kind", "base#", "head#", "change#", "")
ONLY_IN_HEAD, ONLY_IN_BASE, WITHIN = "only in head", "only in base", "within the spread of the rounds"


def share_of_peak(operator: Operator, peaks: Mapping[str, float]) -> float | None:
    """Return the share of the machine's peak that an operator reaches; None where one of them is not known."""
    peak = peaks.get(operator.precision)
    if not peak or not operator.flop or not operator.median_s:
        return None
    return operator.flop / operator.median_s / peak


def operator_table(profile: Profile, peaks: Mapping[str, float], top: int | None = None) -> Table:
    """Return the operators that take longest, the others in one row, and what is outside of all of them.

    Args:
        profile: of one call.
        peaks: the machine's operations per second, by precision.
        top: rows of single operators; None for all.
    """
    ranked = sorted(profile.operators, key=lambda operator: -operator.median_s)
    shown, others = ranked[:top], ranked[top:] if top is not None else []
    rows = [_row(operator, profile, peaks) for operator in shown]
    if others:
        took_s = sum(operator.median_s for operator in others)
        rows.append(_summary(f"{len(others)} others", took_s, profile))
    # operators side by side take more than the call that they are in
    if profile.outside_s > 0:
        rows.append(_summary("outside of the operators", profile.outside_s, profile))
    return Table("profile", "Operators", COLUMNS, tuple(rows))


def _row(operator: Operator, profile: Profile, peaks: Mapping[str, float]) -> tuple[TableCell, ...]:
    share, calls = share_of_peak(operator, peaks), f"{operator.calls:g}"
    return (
        _label(operator),
        TableCell(clean(operator.kind, LONGEST_KIND)),
        number(units.seconds(operator.median_s), operator.median_s),
        number(units.percent(operator.median_s / profile.call_s), operator.median_s),
        number(calls, operator.calls),
        number(units.NOTHING if operator.flop is None else units.digits(operator.flop / 1e6), operator.flop),
        number(units.percent(share), share),
    )


def _summary(text: str, took_s: float, profile: Profile) -> tuple[TableCell, ...]:
    share = units.percent(took_s / profile.call_s)
    return (TableCell(text), TableCell(""), TableCell(units.seconds(took_s)), TableCell(share), *[TableCell("")] * 3)


def _label(operator: Operator) -> TableCell:
    # without the name of a tensor, the shapes of data and weights tell more than a number does
    shapes = ["x".join(map(str, shape)) for shape in operator.inputs[:2]]
    return code(clean(operator.output or ", ".join([operator.name.rpartition("::")[2], *shapes]), LONGEST_LABEL))


def costs(profile: Profile, leaves_out: str) -> str:
    """Say what profiling costs, and what the table leaves out."""
    plain_s = profile.plain_call_s
    if plain_s is None:
        return f"The table leaves out {leaves_out}."
    is_clear = abs(profile.call_s - plain_s) > spread_s(profile.calls_s) + spread_s(profile.plain_s)
    return (
        f"A call takes {units.seconds(profile.call_s)} with the profiler and {units.seconds(plain_s)} without it "
        f"({100 * (profile.call_s / plain_s - 1):+.1f} %{'' if is_clear else f', {WITHIN}'}); "
        f"the table leaves out {leaves_out}."
    )


def moved_table(moved: Sequence[MovedOperator], top: int | None = None) -> Table:
    """Return the operators that changed most, as `moved` ranks them."""
    rows = []
    for pair in moved[:top]:
        sides = [units.NOTHING if side is None else units.seconds(side.median_s) for side in (pair.base, pair.head)]
        note = ONLY_IN_HEAD if pair.base is None else ONLY_IN_BASE if pair.head is None else ""
        rows.append(
            (
                _label(pair.operator),
                TableCell(_kinds(pair)),
                *map(TableCell, sides),
                number(signed_seconds(pair.change_s), pair.change_s),
                TableCell(note or ("" if pair.is_clear else WITHIN)),
            )
        )
    return Table("moved", "Operators that moved", MOVED_COLUMNS, tuple(rows))


def _kinds(pair: MovedOperator) -> str:
    kinds = dict.fromkeys(side.kind for side in (pair.base, pair.head) if side)
    return ", now ".join(clean(kind, LONGEST_KIND) for kind in kinds)


def signed_seconds(value_s: float) -> str:
    """Return such as `+1.20 ms`."""
    return f"{'-' if value_s < 0 else '+'}{units.seconds(abs(value_s))}"


def explained(moved: Sequence[MovedOperator], base: Profile, head: Profile, top: int | None = None) -> str:
    """Say how much of the change of a call the operators of `moved_table` account for."""
    inside, outside = sum(pair.change_s for pair in moved[:top]), head.outside_s - base.outside_s
    return (
        f"A call changed by {signed_seconds(head.call_s - base.call_s)}; the operators of the table account for "
        f"{signed_seconds(inside)}, and what is outside of operators for {signed_seconds(outside)}."
    )


def markdown(table: Table, *sentences: str) -> str:
    """Return the table in Markdown, with sentences behind it."""
    return "\n".join([*table_lines(table), *(line for text in sentences for line in ("", escape(text)))]) + "\n"
