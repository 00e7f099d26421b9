"""One run of each kind of machine -> the best set-ups of each, beside its own peak, and what may be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from midas_bench.errors import printable
from midas_bench.results import fidelity_results
from midas_bench.results.compare import PYTHON
from midas_bench.results.intervals import Interval
from midas_bench.results.machine_fields import cpu_name
from midas_bench.results.passes import mean_over_cells
from midas_bench.results.price import PricedMachine, Prices, per_million_photos
from midas_bench.results.ranking import Recommendation
from midas_bench.results.recommendations import DISTURBED, answers
from midas_bench.results.record import DIGITS, Weights
from midas_bench.results.roofline import Roof, roofs
from midas_bench.results.runs import UNKNOWN, Record, RecordedMachine, Run

WEIGHTS, PHOTOS = "weights", "photos"
ALIKE = (WEIGHTS, PHOTOS)
"""What must be the same for figures of two machines to compare; all else that differs is named beside them."""
OF_THE_SET_UP = ("environment",)
"""Facts of a machine that are no part of its kind, and that a user sets."""


def described(run: Run) -> str:
    """Return such as `AMD EPYC, 2 cores`: the CPU, and the cores that the run might use; its file without a CPU."""
    machine = run.machine
    if machine.kind == UNKNOWN:
        return printable(run.file)
    name = printable(cpu(machine) or machine.kind)
    cores = machine.facts.get("allowed cores") or machine.facts.get("logical CPUs")
    return f"{name}, {cores} core{'' if cores == '1' else 's'}" if cores else name


def cpu(machine: RecordedMachine) -> str:
    """Return the CPU's name without trademark signs; nothing where the file names none."""
    names = (cpu_name(machine.facts.get(fact)) for fact in ("cpu model", "CPU"))
    return next(filter(None, names), "")


def priced(label: str, machine: RecordedMachine) -> PricedMachine:
    """Return what a price may name a machine by."""
    return PricedMachine(label, machine.kind, cpu(machine))


@dataclass(frozen=True)
class MachineResult:
    """A kind of machine, by the run that stands for it.

    Attributes:
        label: what the report calls it.
        run: the run.
        others: further runs of the same kind, which no figure comes from.
        price_per_hour: of the machine; None where none was given.
    """

    label: str
    run: Run
    others: tuple[Run, ...] = ()
    price_per_hour: float | None = None

    @cached_property
    def answers(self) -> Mapping[str, Recommendation]:
        """The best set-ups, by question: latency, throughput and memory; those that the run allows."""
        return {answer.question: answer for answer in answers(self.run.records)}

    @cached_property
    def reduced(self) -> frozenset[str]:
        """The backends whose depth is not exact."""
        return frozenset(fidelity_results.reduced(self.run.records))

    @property
    def disturbed(self) -> bool:
        """Whether most passes behind one of the figures on time were disturbed."""
        return any(answer.disturbed >= DISTURBED for answer in self.answers.values())

    @cached_property
    def roof(self) -> Roof | None:
        """The network alone beside the machine's peak: of the fastest set-up's backend, on as many threads if possible.

        None where that was not measured.
        """
        fastest = self.answers.get("latency")
        if fastest is None:
            return None
        own = [roof for roof in roofs(self.run.records) if roof.record.info.backend_name == fastest.winner.name]
        threads, size = fastest.winner.threads, fastest.winner.batch_size
        alike = [r for r in own if (r.record.info.threads, r.record.info.batch_size) == (threads, size)]
        return next(iter([*alike, *own]), None)

    @property
    def price(self) -> Interval | None:
        """The price of a million photos with the highest throughput; None without a price or a throughput."""
        best = self.answers.get("throughput")
        if best is None or self.price_per_hour is None:
            return None
        return per_million_photos(best.figure, self.price_per_hour)

    @property
    def joules_per_photo(self) -> Interval | None:
        """Energy of the CPU's packages per photo with the highest throughput; None where no counter was read."""
        best = self.answers.get("throughput")
        cells = [r for r in self.run.records if best and r.fullname in best.cells]
        return joules_per_photo(cells)

    @cached_property
    def basis(self) -> Mapping[str, str]:
        """What its figures rest on, by name, for comparing it with other machines'."""
        records = self.run.records
        timed = [r for r in records if r.is_pipeline]
        sizes = sorted({r.info.batch_size for r in timed if r.info.batch_size})
        of_set_up = {name: text for name in OF_THE_SET_UP if (text := self.run.machine.facts.get(name))}
        values = {
            WEIGHTS: "; ".join(sorted({r.info.weights.identity_text for r in records if r.info.weights != Weights()})),
            PHOTOS: ", ".join(_photos(timed)),
            "backends": ", ".join(sorted({r.info.backend_name for r in timed})),
            "batch sizes": ", ".join(map(str, sizes)),
            "commit": (self.run.commit or "")[:10],
            **of_set_up,
            **(self.run.machine.versions or {PYTHON: self.run.machine.facts.get(PYTHON, "")}),
        }
        return {name: text or UNKNOWN for name, text in values.items()}


def _photos(cells: Sequence[Record]) -> list[str]:
    """Name the photos that were timed one by one, which every run of the matrix has; else all that were timed."""
    one_by_one = [r for r in cells if r.info.batch_size == 1] or cells
    named = {f"{p.file} ({(p.sha256 or UNKNOWN)[:DIGITS]})" for r in one_by_one for p in r.info.photos}
    return sorted(named)


def joules_per_photo(cells: Sequence[Record]) -> Interval | None:
    """Return joules per photo: the median over passes of the mean over cells, with an interval from their spread.

    None where a cell has no reading, or the counter did not move.
    """
    per_photo = [
        np.asarray(r.info.energy_by_pass_j) / r.info.photos_per_round if r.info.photos_per_round else np.empty(0)
        for r in cells
    ]
    passes = min((len(of_cell) for of_cell in per_photo), default=0)
    values = np.array([of_cell[:passes] for of_cell in per_photo])
    if not passes or not (values > 0).all():
        return None
    disturbed = np.array([np.resize(r.disturbed_by_pass, passes) for r in cells], bool)
    mean = float(values.mean())
    return mean_over_cells(values, disturbed) or Interval(mean, mean, mean, confidence=0.0)


@dataclass(frozen=True)
class Machines:
    """Several kinds of machine.

    Attributes:
        rows: one for each kind, the lowest latency first.
    """

    rows: tuple[MachineResult, ...]

    @cached_property
    def shared_basis(self) -> Mapping[str, str]:
        """The weights and photos that most machines have, of equally many those of the newest run."""
        kinds = [_of_basis(row) for row in sorted(self.rows, key=lambda row: row.run.when, reverse=True)]
        known = [kind for kind in kinds if UNKNOWN not in kind] or kinds
        most = max(known, key=kinds.count)
        return dict(zip(ALIKE, most, strict=True))

    def unlike(self, row: MachineResult) -> tuple[str, ...]:
        """Return what keeps a machine's figures from being compared with the others': its weights or its photos.

        What is unknown is like nothing, unless it is the only machine.
        """
        if len(self.rows) < 2:
            return ()
        shared = self.shared_basis
        return tuple(name for name in ALIKE if row.basis[name] == UNKNOWN or row.basis[name] != shared[name])

    def differences(self) -> dict[str, list[str]]:
        """Return by name what differs between the machines' runs: a value for each row."""
        names = dict.fromkeys(name for row in self.rows for name in row.basis)
        values = {name: [row.basis.get(name, "not there") for row in self.rows] for name in names}
        return {name: given for name, given in values.items() if len(set(given)) > 1}


def _of_basis(row: MachineResult) -> tuple[str, ...]:
    return tuple(row.basis[name] for name in ALIKE)


def machines(rows: Sequence[MachineResult], prices: Prices) -> Machines:
    """Give each machine its price and a label of its own; the lowest latency comes first.

    Raises:
        UserError: a price names none of the machines.
    """
    named = [priced(row.label, row.run.machine) for row in rows]
    prices.check(named)
    counts = Counter(row.label for row in rows)
    own = [
        replace(
            row,
            price_per_hour=prices.of(machine),
            label=row.label if counts[row.label] == 1 else f"{row.label} ({_told_by(row.run)})",
        )
        for row, machine in zip(rows, named, strict=True)
    ]
    return Machines(tuple(sorted(own, key=_latency_s)))


def _told_by(run: Run) -> str:
    return printable(run.path if run.machine.kind == UNKNOWN else run.machine.kind)


def _latency_s(row: MachineResult) -> float:
    answer = row.answers.get("latency")
    return answer.figure.estimate if answer else float("inf")
