"""The result of a gate as a record, and the exit code that follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from midas_bench.gate.block_journal import BlockJournal
from midas_bench.gate.depth_change import DepthChange
from midas_bench.gate.outputs import Difference
from midas_bench.gate.rule import INVALID, MISSING, REGRESSED, UNDECIDED, Judgement
from midas_bench.gate.why import Why
from midas_bench.results.intervals import Interval

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
        control: the base's ratio to itself, by what is measured.
        depth: what changed in the depth, by head and photo.
        why: which operators moved where a figure regressed.
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
    control: Mapping[str, Interval] = field(default_factory=dict)
    depth: Sequence[DepthChange] = ()
    why: Sequence[Why] = ()
    journal: BlockJournal | None = None

    @property
    def regressed(self) -> list[str]:
        """Names of the figures that are worse than on the base."""
        return [judgement.figure.name for judgement in self.judgements if judgement.verdict == REGRESSED]

    @property
    def changed(self) -> list[str]:
        """Names of the outputs that changed and may not."""
        return [] if self.output_may_change else [d.name for d in self.differences if d.changed]

    @property
    def same_code(self) -> bool:
        """Whether nothing was measured, because all arms run the same."""
        return bool(self.facts.get("same_code"))

    @property
    def inconclusive(self) -> list[str]:
        """Names of the figures without a usable verdict: missing, inconclusive or invalid."""
        verdicts = {MISSING} if self.lenient else {MISSING, UNDECIDED, INVALID}
        return [judgement.figure.name for judgement in self.judgements if judgement.verdict in verdicts]

    @property
    def exit_code(self) -> int:
        """0 pass, 1 worse than the base or changed, 3 inconclusive, invalid or missing."""
        if self.same_code:
            return EXIT_PASS
        if self.regressed or self.changed:
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
            "outputs": [_finite(asdict(d)) | {"changed": d.changed} for d in self.differences],
            "control": {name: _finite(asdict(ratio)) for name, ratio in self.control.items()},
            "depth": [asdict(change) for change in self.depth],
            "why": [why.to_json() for why in self.why],
        }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
