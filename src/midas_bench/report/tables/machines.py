"""Kinds of machine: the best set-ups of each, what differs between their runs, and what they are."""

from __future__ import annotations

from collections.abc import Sequence

from midas_bench.render.document import Column, Table, TableCell, code, number, table
from midas_bench.render.floor import share_cell
from midas_bench.results import units
from midas_bench.results.json_fields import clean
from midas_bench.results.machines import MachineResult, Machines, cpu
from midas_bench.results.recommendations import FORMATS, TITLES, setup_text

NOT_MEASURED = "not measured"
NO_COUNTER = "not measured: no counter"
NO_PRICE = "no price given"
FACTS = (
    "board", "physical cores", "logical cores", "allowed cores", "cpu quota", "memory", "memory limit", "isa",
    "virtualised", "governor", "turbo", "system",
)  # fmt: skip
"""Of a machine, as `machine_fields` calls them, in the order they are shown."""


def setup(row: MachineResult, question: str) -> str:
    """Name the best set-up of a machine, and that its precision is reduced where it is."""
    answer = row.answers[question]
    precision = ", reduced precision" if answer.winner.name in row.reduced else ""
    return setup_text(answer, answer.winner) + precision


def share_of_peak(row: MachineResult) -> TableCell:
    """Return the share of its own peak that the network alone reaches on a machine."""
    return share_cell(row.roof.share) if row.roof else number(NOT_MEASURED, None)


def machines(shown: Machines) -> Table | None:
    """Show the best figures of each kind of machine, beside its own peak; a column that none has is left out."""
    columns: dict[str, list[TableCell]] = {"machine": [TableCell(row.label) for row in shown.rows]}
    for question, title in TITLES.items():
        columns[f"{title}#"] = [_figure(row, question) for row in shown.rows]
    columns["share of peak#"] = [share_of_peak(row) for row in shown.rows]
    note = (
        "In brackets: 95 % intervals of the run; for memory, the range over processes. Share of peak: the network "
        "alone in the backend of the lowest latency, beside the fastest matrix product on as many threads there."
    )
    if any(row.price_per_hour is not None for row in shown.rows):
        columns["price per million#"] = [_price(row) for row in shown.rows]
        note += (
            " Price per million photos: price per hour / 3600 / images per second, times a million; for a machine that "
            "is always busy, in the currency of the price per hour."
        )
    if any(row.joules_per_photo for row in shown.rows):
        columns["energy per photo#"] = [_energy(row) for row in shown.rows]
        note += " Energy: of the CPU's packages, by RAPL's counters, at the highest throughput."
    else:
        note += f" Energy per photo: {NO_COUNTER}."
    if any(map(shown.unlike, shown.rows)):
        columns["not alike in"] = [_unlike(shown.unlike(row)) for row in shown.rows]
    rows = list(zip(*columns.values(), strict=True))
    return table("machines", "Each kind of machine", tuple(columns), rows, note=note)


def setups(rows: Sequence[MachineResult]) -> Table | None:
    """Show the set-ups that the best figures of each machine are of."""
    lines = [[TableCell(row.label), *(TableCell(_setup(row, question)) for question in TITLES)] for row in rows]
    return table("setups", "The set-ups of these figures", ("machine", *TITLES.values()), lines)


def _setup(row: MachineResult, question: str) -> str:
    return setup(row, question) if question in row.answers else NOT_MEASURED


def _figure(row: MachineResult, question: str) -> TableCell:
    answer = row.answers.get(question)
    if answer is None:
        return number(NOT_MEASURED, None)
    return number(FORMATS[question](answer.figure), answer.figure.estimate)


def _energy(row: MachineResult) -> TableCell:
    joules = row.joules_per_photo
    return number(units.joules_span(joules), joules.estimate) if joules else number(NO_COUNTER, None)


def _unlike(names: Sequence[str]) -> TableCell:
    return TableCell(", ".join(names), status="unsure") if names else TableCell(units.NOTHING)


def _price(row: MachineResult) -> TableCell:
    if row.price_per_hour is None:
        return number(NO_PRICE, None)
    return number(units.price_span(row.price), row.price.estimate) if row.price else number(NOT_MEASURED, None)


def differences(shown: Machines) -> Table | None:
    """Show what differs between the runs: a column for each fact."""
    columns = {"machine": [row.label for row in shown.rows], **shown.differences()}
    if len(columns) == 1:
        return None
    rows = [[*map(TableCell, values)] for values in zip(*columns.values(), strict=True)]
    return table("differences", "How the runs differ", [Column(clean(name)) for name in columns], rows)


def runs(rows: Sequence[MachineResult]) -> Table | None:
    """Show which file stands for each machine, and how much of it was disturbed."""
    lines = []
    for row in rows:
        run = row.run
        judged = [r for r in run.records if r.info.noise.noisy is not None]
        disturbed = f"{sum(bool(r.info.noise.noisy) for r in judged)} of {len(judged)}" if judged else "not recorded"
        passes = {len(r.times.passes_s) for r in run.records if r.is_pipeline}
        lines.append([
            TableCell(row.label), code(run.file), TableCell(run.when[:16].replace("T", " ")), TableCell(run.status),
            TableCell((run.commit or "")[:10]), number(str(max(passes, default=0)), max(passes, default=0)),
            TableCell(disturbed), number(str(len(row.others)), len(row.others)),
        ])  # fmt: skip
    heads = ("machine", "file", "when", "status", "commit", "passes#", "disturbed cells", "other runs#")
    return table("runs", "The run that stands for each machine", heads, lines)


def kinds(rows: Sequence[MachineResult]) -> Table | None:
    """Show what is known of each machine; what none of the files tells is left out."""
    facts = [fact for fact in FACTS if any(fact in row.run.machine.facts for row in rows)]
    lines = [
        [TableCell(row.label), code(row.run.machine.kind), TableCell(cpu(row.run.machine)),
         *(TableCell(row.run.machine.facts.get(fact, units.NOTHING)) for fact in facts)]
        for row in rows
    ]  # fmt: skip
    return table("kinds", "What they are", ("machine", "fingerprint", "CPU", *facts), lines)
