"""The result of a gate as a record, and the exit code that follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from midas_bench.gate.block_journal import BlockJournal
from midas_bench.gate.outputs import Difference
from midas_bench.gate.rule import INVALID, MISSING, REGRESSED, UNDECIDED, Judgement

SCHEMA = 1
EXIT_PASS, EXIT_REGRESSED, EXIT_INCONCLUSIVE = 0, 1, 3


@dataclass(frozen=True)
class GateResult:
    """One gate.

    Attributes:
        base: title of the side that is compared with.
        head: title of the side that is judged.
        judgements: one per figure.
        differences: of the heat maps, one per pipeline; empty where saved results are compared.
        alpha: the chance of one false alarm or more that was promised.
        lenient: whether what is inconclusive or invalid passes.
        output_may_change: whether other heat maps pass.
        notes: what a reader should know besides, one sentence per note.
        facts: machine, seed, seconds, and the like, for the JSON.
        log_ratios: natural logarithms of head / base, one per block, by the figure's name.
        base_values: the base's own figures, in their units.
        journal: of the blocks; it is removed once the result is written.
    """

    base: str
    head: str
    judgements: Sequence[Judgement]
    differences: Sequence[Difference]
    alpha: float
    lenient: bool = False
    output_may_change: bool = False
    notes: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    log_ratios: Mapping[str, Sequence[float]] = field(default_factory=dict)
    base_values: Mapping[str, float] = field(default_factory=dict)
    journal: BlockJournal | None = None

    @property
    def regressed(self) -> list[str]:
        """Names of what is worse than on the base."""
        figures = [judgement.figure.name for judgement in self.judgements if judgement.verdict == REGRESSED]
        return figures + ([] if self.output_may_change else [d.name for d in self.differences if d.changed])

    @property
    def inconclusive(self) -> list[str]:
        """Names of the figures without a usable verdict: missing, inconclusive or invalid."""
        verdicts = {MISSING} if self.lenient else {MISSING, UNDECIDED, INVALID}
        return [judgement.figure.name for judgement in self.judgements if judgement.verdict in verdicts]

    @property
    def exit_code(self) -> int:
        """0 pass, 1 worse than the base, 3 inconclusive, invalid or missing."""
        if self.regressed:
            return EXIT_REGRESSED
        return EXIT_INCONCLUSIVE if self.inconclusive or not self.judgements else EXIT_PASS

    def to_json(self) -> dict[str, Any]:
        """Return JSON types; bounds that do not exist are null."""
        return {
            "schema": SCHEMA,
            "base": self.base,
            "head": self.head,
            "exit_code": self.exit_code,
            "alpha": self.alpha,
            **self.facts,
            "notes": list(self.notes),
            "figures": [
                _finite(asdict(judgement))
                | {
                    "base": self.base_values.get(judgement.figure.name),
                    "log_ratios": list(self.log_ratios.get(judgement.figure.name, ())),
                }
                for judgement in self.judgements
            ],
            "outputs": [asdict(d) | {"changed": d.changed} for d in self.differences],
        }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
