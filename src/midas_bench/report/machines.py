"""Saved runs of several machines -> one report: a row for each kind of machine, and what may be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from midas_bench.errors import UserError, printable
from midas_bench.render.document import Card, Document, Section, present
from midas_bench.report.charts import machines as charts
from midas_bench.report.report_data import Progress
from midas_bench.report.select_runs import age, check_labels, preferred, readable
from midas_bench.report.spreadsheets import safe
from midas_bench.report.tables import machines as tables
from midas_bench.report.write import check_folder, write_files
from midas_bench.results import recommendations, units
from midas_bench.results.intervals import Interval
from midas_bench.results.machines import ALIKE, MachineResult, Machines, cpu, described, machines
from midas_bench.results.price import Prices
from midas_bench.results.run_files import STORAGE, read, saved_in
from midas_bench.results.runs import UNKNOWN, Run

RULE = (
    "Of each kind of machine, the newest complete run that times the whole pipeline stands for it; where none is "
    "complete, the newest other one."
)
INTERVALS = (
    "Intervals hold within one run. Another hour, or another machine of the same kind, can differ by more than that."
)
CSV_FIGURES = {"latency": "time_per_photo_s", "throughput": "images_per_second", "memory": "peak_rss_bytes"}
"""What a question's figure is called in the table, by its unit."""


@dataclass(frozen=True)
class MachinesData:
    """All that a report over machines is made from.

    Attributes:
        machines: a row for each kind.
        remarks: sentences on the choice of files.
    """

    machines: Machines
    remarks: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """Lines for the terminal: one for each machine, and one on what differs."""
        lines = [f"{row.label}: {'; '.join(_figures(row))}." for row in self.machines.rows]
        differing = list(self.machines.differences())
        if differing:
            lines.append(f"The runs differ in {_listed(differing)}; the report says how.")
        return lines


def _figures(row: MachineResult) -> Iterable[str]:
    for question, answer in row.answers.items():
        title = recommendations.TITLES[question]
        yield f"{title} {recommendations.figure_text(answer)} with {tables.setup(row, question)}"
    if not row.answers:
        yield "no set-up to recommend, because no cell times the pipeline or a process's memory"
    if row.roof:
        yield f"{tables.share_of_peak(row).text} of its own peak"
    if row.price:
        yield f"{units.price_span(row.price)} per million photos"
    if row.disturbed:
        yield "disturbed in most passes, so idle it is faster"


def _listed(names: Sequence[str]) -> str:
    shown = names if len(names) <= 5 else [*names[:4], f"{len(names) - 4} others"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def write_machines(
    places: Sequence[Path],
    folder: Path,
    labels: Sequence[str] = (),
    prices: Prices | None = None,
    progress: Progress = lambda _: None,
) -> tuple[MachinesData, Path]:
    """Write the report over the machines of these runs into a folder; return what is in it, and the page's path.

    Args:
        places: files and folders with saved runs; none stands for the storage of pytest-benchmark.
        folder: for the report.
        labels: what to call the machine of each place; none stand for the CPU's name and the cores.
        prices: what an hour of the machines costs.
        progress: is called with the name of what is being worked on.

    Raises:
        UserError: a file that was named is not usable, there is none, labels and places do not match in number, a price
            names none of the machines, or the folder cannot be written.
    """
    data = collect(places, labels, prices or Prices(), progress)
    check_folder(folder)
    progress("the machines")
    rendered = document(data)
    return data, write_files(rendered, {"machines": spreadsheet(data.machines)}, folder, progress)


def collect(places: Sequence[Path], labels: Sequence[str], prices: Prices, progress: Progress) -> MachinesData:
    """Read the runs and choose one for each kind of machine.

    Of a folder, a file that cannot be read is left out with a remark. One that was named is an error.

    Raises:
        UserError: as `write_machines`.
    """
    check_labels(places, labels)
    remarks: list[str] = []
    runs: dict[Path, tuple[str, Run]] = {}
    named = [*map(printable, labels)] or [""] * len(places)
    for place, label in zip(places or [STORAGE], named or [""], strict=True):
        if place.is_dir() or not places:
            found, left_out = readable(saved_in(place), progress)
            remarks += left_out
        else:
            progress(printable(place.name))
            found = [read(place)]
        for run in found:
            runs.setdefault(run.path.resolve(), (label, run))
    if not runs:
        place = places[0] if places else STORAGE
        raise UserError(place, f"holds no usable file ({remarks[0]})", "name a file that pytest-benchmark saved")
    shown = machines(_by_kind(list(runs.values())), prices)
    for row in shown.rows:
        if row.others:
            names = ", ".join(other.file for other in sorted(row.others, key=age))
            remarks.append(f"{row.label}: {row.run.file} of {len(row.others) + 1} runs; not shown: {names}.")
    return MachinesData(shown, tuple(remarks))


def _by_kind(runs: Sequence[tuple[str, Run]]) -> list[MachineResult]:
    """Choose a run of each kind, with its label; a machine without a CPU's name is a kind of its own."""
    kinds: dict[str, list[tuple[str, Run]]] = {}
    for label, run in runs:
        kind = f"{UNKNOWN} {run.path}" if run.machine.kind == UNKNOWN else run.machine.kind
        kinds.setdefault(kind, []).append((label, run))
    rows = []
    for group in kinds.values():
        best = preferred([run for _, run in group])
        label = next(label for label, run in group if run is best)
        others = tuple(run for _, run in group if run is not best)
        rows.append(MachineResult(label or described(best), best, others))
    return rows


def document(data: MachinesData) -> Document:
    """Build the sections, and leave out those with nothing to show."""
    rows = data.machines.rows
    sections = (answer_section(data), comparison_section(data.machines), run_section(rows))
    count = f"{len(rows)} kind{'' if len(rows) == 1 else 's'} of machine"
    when = sorted(row.run.when[:10] for row in rows if row.run.when)
    dates = f"runs of {when[0]} to {when[-1]}" if when and when[0] != when[-1] else f"runs of {when[0]}" if when else ""
    subtitle = ", ".join(filter(None, [count, dates]))
    title = "MiDaS_small depth estimation on CPU, by machine"
    return Document(title, subtitle, tuple(section for section in sections if not section.empty))


def answer_section(data: MachinesData) -> Section:
    """Say which machine is best at what, and show each with its figures."""
    shown = data.machines
    all_charts = present(charts.machines(shown), charts.prices(shown))
    all_tables = present(tables.machines(shown), tables.setups(shown.rows))
    return Section(
        "machines", "The machines", tuple(_warnings(shown)), (RULE, INTERVALS, *data.remarks), tuple(_cards(shown)),
        all_tables, all_charts,
    )  # fmt: skip


def _warnings(shown: Machines) -> Iterable[str]:
    for row in shown.rows:
        unlike = shown.unlike(row)
        if unlike:
            yield (
                f"NOT COMPARABLE: {row.label} was measured with other or unknown {' and '.join(unlike)}. Its figures "
                "stand by themselves."
            )
    others = [name for name in shown.differences() if name not in ALIKE]
    if others:
        yield (
            f"DIFFERENT RUNS: beside their machines, the runs differ in {_listed(others)}. Part of a difference may "
            "come from there."
        )
    disturbed = [row.label for row in shown.rows if row.disturbed]
    if disturbed:
        yield (
            f"DISTURBED: {'; '.join(disturbed)}: most passes behind these figures were disturbed. Idle, the machine is "
            "faster. Run again when nothing else runs there."
        )
    partial = [row.label for row in shown.rows if row.run.status == "partial"]
    if partial:
        yield f"Partial runs: {'; '.join(partial)}. What they did not measure is missing here."
    nameless = [row.label for row in shown.rows if row.run.machine.kind == UNKNOWN]
    if nameless:
        yield f"UNKNOWN MACHINE: {'; '.join(nameless)}: no CPU is named, so several files may be of one machine."
    if any(record.info.weights.source == "seeded" for row in shown.rows for record in row.run.records):
        yield "Seeded (random) weights: times are right, but the depth itself means nothing."


def _cards(shown: Machines) -> Iterable[Card]:
    """Yield the best machine for each question, among those that compare."""
    comparable = [row for row in shown.rows if not shown.unlike(row)]
    for question, title in recommendations.TITLES.items():
        figures = [(row, row.answers[question].figure) for row in comparable if question in row.answers]
        write = recommendations.FORMATS[question]
        yield from _card(title, question, write, figures, higher_is_better=question == "throughput")
    priced = [(row, price) for row in comparable if (price := row.price)]
    yield from _card("lowest price per million photos", "throughput", units.price_span, priced)


def _card(
    title: str,
    question: str,
    write: Callable[[Interval], str],
    figures: Sequence[tuple[MachineResult, Interval]],
    higher_is_better: bool = False,
) -> Iterable[Card]:
    """Yield a card where there are two machines or more to choose from."""
    if len(figures) < 2:
        return
    ranked = sorted(figures, key=lambda pair: pair[1].estimate, reverse=higher_is_better)
    (best, figure), *others = ranked
    near = [row.label for row, other in others if other.low <= figure.high and figure.low <= other.high]
    caution = f"Intervals overlap: these runs do not tell it from {' or '.join(near)}." if near else ""
    if any(row.disturbed for row, _ in figures):
        caution = f"{caution} One of the machines was disturbed.".strip()
    following = f"{others[0][0].label}, {write(others[0][1])}"
    with_setup = f"{write(figure)}, {tables.setup(best, question)}"
    basis = recommendations.basis_text(best.answers[question])
    yield Card(title, best.label, with_setup, basis, following, caution)


def comparison_section(shown: Machines) -> Section:
    """Name what differs between the runs, for nothing of it is hidden in the figures."""
    if len(shown.rows) < 2:
        return Section("comparable", "What may be compared")
    text = [
        f"Figures of two machines compare where {' and '.join(ALIKE)} are the same, by their digests. "
        "All else that differs is named here. The best set-up is the best of the backends and batch sizes that a run "
        "measured."
    ]
    if not shown.differences():
        text.append("The runs differ in nothing but the machine.")
    return Section("comparable", "What may be compared", text=tuple(text), tables=present(tables.differences(shown)))


def run_section(rows: Sequence[MachineResult]) -> Section:
    """Say which file stands for each machine, how quiet it was there, and what the machine is."""
    return Section("runs", "The runs", tables=present(tables.runs(rows), tables.kinds(rows)))


def spreadsheet(shown: Machines) -> str:
    """Return CSV with one row for each figure of each machine, in SI units."""
    return safe(pd.DataFrame(list(_csv_rows(shown)))).to_csv(index=False)


def _csv_rows(shown: Machines) -> Iterable[Mapping[str, object]]:
    for row in shown.rows:
        run = row.run
        machine: dict[str, object] = {
            "machine": row.label, "fingerprint": run.machine.kind, "cpu": cpu(run.machine), "run": run.name,
            "when": run.when, "commit": run.commit, "status": run.status,
            "unlike_in": "; ".join(shown.unlike(row)),
        }  # fmt: skip
        for question, answer in row.answers.items():
            winner = answer.winner
            network = {"model": winner.model} if winner.model else {}
            yield machine | network | {
                "figure": CSV_FIGURES[question], **_ends(answer.figure), "backend": winner.backend,
                "recipe": winner.recipe, "threads": winner.threads, "batch_size": winner.batch_size,
                "stream_photos": winner.stream_photos or None, "reduced": winner.name in row.reduced,
                "passes": answer.passes, "disturbed_share": answer.disturbed,
            }  # fmt: skip
        others = {
            "share_of_peak": row.roof.share if row.roof else None,
            "price_per_million_photos": row.price,
            "energy_per_photo_j": row.joules_per_photo,
        }
        yield from (machine | {"figure": name, **_ends(figure)} for name, figure in others.items() if figure)


def _ends(figure: Interval) -> dict[str, object]:
    known = figure.low < figure.high
    return {
        "estimate": figure.estimate,
        "low": figure.low if known else None,
        "high": figure.high if known else None,
    }
