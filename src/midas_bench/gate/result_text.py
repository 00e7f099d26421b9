"""The result of a gate, for a terminal and for a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as TerminalTable

from midas_bench.gate.outputs import Difference
from midas_bench.gate.result import EXIT_INCONCLUSIVE, EXIT_REGRESSED, GateResult
from midas_bench.gate.rule import (
    FASTER,
    IMPROVED,
    MISSING,
    PASSED,
    REGRESSED,
    SLOWER,
    TIED,
    UNDECIDED,
    Judgement,
    first_look,
)
from midas_bench.gate.thresholds import kind_of
from midas_bench.profile.text import moved_table
from midas_bench.render.document import Table, TableCell, columns, number
from midas_bench.render.markdown import table_lines
from midas_bench.render.markdown_escape import escape
from midas_bench.render.terminal import print_table
from midas_bench.results import units
from midas_bench.results.intervals import Interval
from midas_bench.results.json_fields import clean, visible

COLUMNS = columns("", "base#", "head / base#", "blocks#", "detectable#", "verdict")
DEPTH_COLUMNS = columns("head", "photo", "rank correlation#", "largest error#", "mean error#")
WIDTH = 120
MOST_PHOTOS = 5
COLOURS = {REGRESSED: "red", PASSED: "green", IMPROVED: "green", TIED: "green", FASTER: "green", SLOWER: "green"}
MARKS = {
    **dict.fromkeys((PASSED, TIED, FASTER, SLOWER), "✅"),
    **dict.fromkeys((REGRESSED, MISSING), "❌"),
    IMPROVED: "🚀",
    UNDECIDED: "❔",
}
SETTLED = (PASSED, IMPROVED, TIED, FASTER, SLOWER)


def ratio_text(interval: Interval | None) -> str:
    """Return such as `1.003 (0.987 to 1.019)`: three decimals, because the third is what small changes are about."""
    if interval is None:
        return units.NOTHING
    ends = [f"{end:.3f}" if 1e-3 < end < 1e3 else "?" for end in (interval.low, interval.high)]
    return f"{interval.estimate:.3f} ({ends[0]} to {ends[1]})"


def percent_text(share: float) -> str:
    """Return a share that a user chose, such as `5 %`."""
    return f"{100 * share:g} %"


def verdict_text(judgement: Judgement, needed: int) -> str:
    """Return the verdict with its threshold, as `not slower than 5 %`; `needed` is the fewest blocks for one."""
    larger = judgement.figure.unit == "bytes"
    limit = percent_text(judgement.figure.threshold)
    if judgement.verdict == PASSED:
        return f"not {'larger' if larger else 'slower'} than {limit}"
    if judgement.verdict == TIED:
        return f"TIED within {limit}"
    if judgement.verdict in (FASTER, SLOWER):
        return {FASTER: "SMALLER", SLOWER: "LARGER"}[judgement.verdict] if larger else judgement.verdict.upper()
    if judgement.verdict == UNDECIDED and judgement.ratio is None:
        return f"{UNDECIDED}: {judgement.blocks} blocks, {needed} are needed"
    return judgement.verdict


def table_rows(result: GateResult) -> list[tuple[str, ...]]:
    """Return one row of text per figure, as `COLUMNS` names its fields."""
    texts: list[tuple[str, ...]] = []
    needed = first_look(result.alpha, len(result.judgements))
    for judgement in result.judgements:
        shown = units.mib if judgement.figure.unit == "bytes" else units.seconds
        detectable = units.NOTHING if judgement.detectable is None else f"{100 * judgement.detectable:.1f} %"
        value = shown(result.base_values.get(judgement.figure.name))
        name, blocks = clean(judgement.figure.name), str(judgement.blocks)
        texts.append((name, value, ratio_text(judgement.ratio), blocks, detectable, verdict_text(judgement, needed)))
    return texts


def conclusion(result: GateResult) -> str:
    """Return the last line: what the exit code means, and whether the base has commits that the head lacks."""
    count = result.facts.get("commits_only_in_base") or 0
    commits = f"{count} commit{'' if count == 1 else 's'}"
    return _exit_code_meaning(result) + (
        f"; the base has {commits} that the head lacks, see --merge-base" if count else ""
    )


def _exit_code_meaning(result: GateResult) -> str:
    if result.same_code:
        return (
            "SAME CODE: code, libraries, model and backend are equal, so nothing was measured; --measure measures "
            "them all the same"
        )
    if result.exit_code == EXIT_REGRESSED:
        worse = f"{_listed(result.regressed)}: worse than on {result.base}" if result.regressed else ""
        changed = f"{_listed(result.changed)}: changed (--allow-changed-output lets it pass)" if result.changed else ""
        return f"FAIL: {'; '.join(part for part in (worse, changed) if part)}"
    if result.exit_code == EXIT_INCONCLUSIVE:
        if not result.judgements:
            return "INCONCLUSIVE: no cell was compared"
        explained = {judgement.figure.name for judgement in result.judgements if judgement.reason}
        advice = (
            "the reasons are above"
            if explained >= set(result.inconclusive)
            else "take a longer --budget or a quieter machine"
        )
        return f"INCONCLUSIVE: {_listed(result.inconclusive)}: {advice}"
    settled = [judgement for judgement in result.judgements if judgement.verdict in SETTLED]
    without_verdict = len(result.judgements) - len(settled)
    if without_verdict:
        return (
            f"PASS as asked, with {without_verdict} inconclusive or invalid figure{'' if without_verdict == 1 else 's'}"
        )
    if any(judgement.figure.compared for judgement in result.judgements):
        return f"SETTLED: every figure has an answer; below 1, {result.head} needs less than {result.base}"
    return f"PASS: no figure is worse than on {result.base} by its threshold or more ({thresholds_text(result)})"


def thresholds_text(result: GateResult) -> str:
    """Return the thresholds of a gate, such as `5 %; start-up 20 %`: the usual one first."""
    by_kind = {kind_of(judgement.figure.name): judgement.figure.threshold for judgement in result.judgements}
    shares = list(by_kind.values())
    usual = max(shares, key=shares.count)
    others = [f"{clean(kind)} {percent_text(share)}" for kind, share in by_kind.items() if share != usual]
    return "; ".join([percent_text(usual), *others])


def error_rates(result: GateResult) -> str:
    """Return the sentences that say how often a gate is wrong, and what the column `detectable` holds."""
    alpha = percent_text(result.alpha)
    if any(judgement.figure.compared for judgement in result.judgements):
        return (
            f"At most {alpha} of gates call an equal figure faster or slower, and at most {alpha} an unequal one tied."
        )
    rates = (
        f"At most {alpha} of gates raise a false alarm, and at most {alpha} pass a figure that grew by its threshold. "
        "The verdicts follow from the bounds in the table."
    )
    if all(judgement.detectable is None for judgement in result.judgements):
        return rates
    return (
        f"{rates} `detectable` is the smallest growth whose lower bound would be above 1 in 4 of 5 gates. "
        "Growth below the threshold is no alarm."
    )


def print_result(result: GateResult, console: Console) -> None:
    """Print the table, what changed in outputs and depth, the notes and the conclusion."""
    table = TerminalTable(box=SIMPLE_HEAD, pad_edge=False)
    for column in COLUMNS:
        wraps = column is COLUMNS[-1]
        table.add_column(column.title, no_wrap=not wraps, justify="right" if column.numeric else "left")
    for judgement, row in zip(result.judgements, table_rows(result), strict=True):
        table.add_row(*(_plain(text) for text in row), style=COLOURS.get(judgement.verdict, "yellow"))
    console.print(visible(f"{result.base} (base) against {result.head} (head)"), markup=False, highlight=False)
    if result.judgements:
        console.print(table)
    if result.depth:
        depth = depth_table(result)
        console.print(depth.title, highlight=False)
        print_table(depth, console)
    for why in result.why:
        console.print(visible(f"Operators behind {why.figure}:"), markup=False, highlight=False)
        if why.moved:
            print_table(moved_table(why.moved), console)
        console.print(visible(why.text), markup=False, highlight=False)
    for line in _sentences(result):
        console.print(visible(line), markup=False, highlight=False)
    console.print(visible(conclusion(result)), markup=False, highlight=False, style="bold")


def markdown(result: GateResult) -> str:
    """Return the same for `$GITHUB_STEP_SUMMARY` or a comment on a pull request."""
    mark = f"{MARKS[REGRESSED]} " if result.regressed or result.changed else ""
    lines = [f"### {mark}{escape(conclusion(result))}"]
    lines += ["", f"{escape(result.base)} (base) against {escape(result.head)} (head)", ""]
    rows = [
        (TableCell(name, code=True), *map(TableCell, rest), TableCell(f"{_mark(judgement)} {verdict}"))
        for judgement, (name, *rest, verdict) in zip(result.judgements, table_rows(result), strict=True)
    ]
    if rows:
        lines += table_lines(Table("gate", "", COLUMNS, tuple(rows)))
    if result.depth:
        depth = depth_table(result)
        lines += ["", f"{depth.title}:", "", *table_lines(depth)]
    for why in result.why:
        lines += ["", f"Operators behind {escape(why.figure)}:", ""]
        lines += [*table_lines(moved_table(why.moved)), ""] if why.moved else []
        lines.append(escape(why.text))
    lines += ["", *(f"- {escape(line)}" for line in _sentences(result))]
    return "\n".join(lines) + "\n"


def depth_table(result: GateResult) -> Table:
    """Return the photos whose depth differs most from the base's, of each head."""
    heads = dict.fromkeys(change.head for change in result.depth)
    by_head = [sorted((c for c in result.depth if c.head == head), key=lambda c: -c.mean_error) for head in heads]
    rows = [
        (
            TableCell(clean(change.head)),
            TableCell(clean(change.photo)),
            number(f"{change.rank_correlation:.4f}", change.rank_correlation),
            number(f"{change.largest_error:.2%}", change.largest_error),
            number(f"{change.mean_error:.2%}", change.mean_error),
        )
        for changes in by_head
        for change in changes[:MOST_PHOTOS]
    ]
    photos = len({change.photo for change in result.depth})
    title = f"Depth against the base: the {min(photos, MOST_PHOTOS)} of {photos} photos that differ most"
    return Table("depth", title, DEPTH_COLUMNS, tuple(rows))


def _mark(judgement: Judgement) -> str:
    return MARKS.get(judgement.verdict, MARKS[UNDECIDED])


def _sentences(result: GateResult) -> Iterable[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for judgement in result.judgements:
        if judgement.reason:
            reasons.setdefault((judgement.verdict, judgement.reason), []).append(judgement.figure.name)
    for (verdict, reason), names in reasons.items():
        yield f"{verdict}: {reason} ({_listed(names)})"
    for difference in result.differences:
        yield output_text(difference, result.output_may_change)
    yield from result.notes
    if result.control:
        widest = max(result.control.items(), key=lambda item: abs(item[1].estimate - 1))
        yield (
            f"The base against itself, in a third of the blocks: at most {abs(widest[1].estimate - 1):.1%} apart "
            f"({clean(widest[0])}, {ratio_text(widest[1])})."
        )
    disturbed = result.facts.get("disturbed_blocks")
    if disturbed:
        yield f"The machine was disturbed during {disturbed} of {result.facts['blocks']} blocks; all arms shared it."
    if any(judgement.ratio for judgement in result.judgements):
        yield error_rates(result)


def output_text(difference: Difference, may_change: bool = False) -> str:
    """Say whether an output changed, and how far."""
    allowed = " (allowed)" if difference.changed and may_change else ""
    return f"{difference.name}: {'CHANGED, ' if difference.changed else ''}{difference.text}{allowed}"


def settled_text(judgement: Judgement) -> str:
    """Return a verdict as it is told when it becomes certain."""
    blocks = f"after {judgement.blocks} blocks"
    return f"{judgement.figure.name}: {verdict_text(judgement, 0)}, {ratio_text(judgement.ratio)}, {blocks}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(clean, names))


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def progress_line(judgements: Sequence[Judgement]) -> str:
    """Return the state of the gate so far in one line."""
    open_ = [judgement for judgement in judgements if not judgement.decided]
    blocks = max((judgement.blocks for judgement in judgements), default=0)
    return f"{len(judgements) - len(open_)} of {len(judgements)} settled, looked at {blocks} blocks"
