"""Which operators moved where a figure regressed: both sides are profiled in new processes, after the last block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from midas_bench.cpu import pinnable_core
from midas_bench.errors import UserError
from midas_bench.gate.arms import BASE
from midas_bench.gate.block_series import BlockSeries
from midas_bench.gate.gate_cells import GateCell
from midas_bench.gate.rule import REGRESSED, Family
from midas_bench.processes import ProcessDiedError
from midas_bench.profile.moved import MovedOperator, moved
from midas_bench.profile.profiled import profile_in_turns
from midas_bench.profile.text import explained

ROUNDS = 12
MOST_OPERATORS = 5
RUNTIME_CALLS = ("inference", "pipeline")
"""Of this package's own calls, those that run the network, the more telling first."""
CAVEAT = "The profiler itself takes time, most for small operators; both sides paid for it."


@dataclass(frozen=True)
class Why:
    """What a profile shows of one regressed call.

    Attributes:
        figure: which regressed.
        moved: those that changed most, the one first that changed most; empty where no runtime shows any.
        text: how much of the change they account for, or why there is no profile.
    """

    figure: str
    moved: Sequence[MovedOperator]
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        operators = [
            {
                "operator": each.operator.label,
                "kind": each.operator.kind,
                "base_s": each.base.median_s if each.base else None,
                "head_s": each.head.median_s if each.head else None,
            }
            for each in self.moved
        ]
        return {"figure": self.figure, "operators": operators, "text": self.text}


def reasons(all_series: Sequence[BlockSeries], family: Family, progress: Callable[[str], object]) -> list[Why]:
    """Profile both sides of the regressed calls that run a network: of each head, one call of each pipeline."""
    whys = []
    for series, head, cell in _regressed(all_series, family):
        figure = series.figure_of(head, cell.name)
        progress(f"profiling both sides of {figure}")
        specs = [arm for name in (BASE, head) for arm in series.arms if arm.name == name]
        try:
            base, other = profile_in_turns(specs, cell.batch, cell.call, ROUNDS, core=pinnable_core())
        except (UserError, ProcessDiedError) as error:
            whys.append(Why(figure, (), f"no profile: {error}"))
            continue
        ranked = moved(base, other)
        if not ranked:
            whys.append(Why(figure, (), "no profile: the call runs no operator of a runtime that can be profiled"))
            continue
        text = f"{explained(ranked, base, other, MOST_OPERATORS)} {CAVEAT}"
        whys.append(Why(figure, ranked[:MOST_OPERATORS], text))
    return whys


def _regressed(all_series: Sequence[BlockSeries], family: Family) -> Iterator[tuple[BlockSeries, str, GateCell]]:
    pairs = [(series, head) for series in all_series for head in series.heads]
    for series, head in pairs:
        verdicts = {cell: family.judgements[series.figure_of(head, cell.name)].verdict for cell in series.cells}
        regressed = [cell for cell, verdict in verdicts.items() if verdict == REGRESSED]
        own = [cell for cell in regressed if not cell.scene]
        # of a pipeline's calls, the last one that is put here stays
        networks = {
            cell.batch: cell
            for call in reversed(RUNTIME_CALLS)
            for cell in regressed
            if cell.scene and cell.call == call
        }
        for cell in (*own, *networks.values()):
            yield series, head, cell
