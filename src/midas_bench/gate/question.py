"""The question that a gate answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from midas_bench.gate.gate_cells import GateCell
from midas_bench.gate.thresholds import Thresholds


@dataclass(frozen=True)
class ArmRequest:
    """What one arm was asked to run; what is None is as the command finds it.

    Attributes:
        ref: a revision, as git names it.
        env: requirements, a file of them, or an environment.
        model: an ONNX file.
        backend: a name of the registry.
        settings: of the model, as `PipelineConfig.model_settings`.
    """

    ref: str | None = None
    env: str | None = None
    model: str | None = None
    backend: str | None = None
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def titles(self) -> list[str]:
        """What the arm was given, as the user wrote it; the revision apart."""
        settings = (f"{name} {value}" for name, value in self.settings)
        return [text for text in (self.env, self.model, *settings, self.backend) if text]


def are_alternatives(requests: Sequence[ArmRequest]) -> bool:
    """Tell whether arms are backends to choose from, so that none of them is what there was before."""
    return len({request.backend for request in requests}) > 1


@dataclass(frozen=True)
class Question:
    """The question that a gate answers.

    Attributes:
        base: what is compared with.
        heads: what is judged, one to three.
        cells: the calls that are compared; empty for the usual ones.
        weights: auto, official, seeded or a path.
        thresholds: growth that is worth an alarm.
        alpha: the chance of one false alarm or more that is accepted.
        budget_s: seconds for the comparison.
        seed: of all shuffling.
        calls: a user's own calls, as `module:calls`; empty for the pipelines of this package.
        photos: folder of the user's own photos; None for those of the project.
        own_names: of the user's own calls that are compared; empty for all.
        fresh_env: whether the base gets an environment with the dependencies that it asks for.
        resume: whether an interrupted gate of the same question goes on.
        lenient: whether what is inconclusive passes.
        output_may_change: whether other outputs pass.
        merge_base: whether the newest commit that base and head share takes the base's place.
        control: whether the base runs against itself in some blocks.
        measure_same: whether arms that run the same are measured.
        fail_fast: whether the first figure that regressed, or output that changed, ends the gate.
        why: whether operators are profiled where a figure regressed.
    """

    base: ArmRequest
    heads: tuple[ArmRequest, ...]
    cells: tuple[GateCell, ...]
    weights: str
    thresholds: Thresholds
    alpha: float
    budget_s: float
    seed: int
    calls: str = ""
    photos: str | None = None
    own_names: tuple[str, ...] = ()
    fresh_env: bool = False
    resume: bool = False
    lenient: bool = False
    output_may_change: bool = False
    merge_base: bool = False
    control: bool = True
    measure_same: bool = False
    fail_fast: bool = False
    why: bool = True

    @property
    def requests(self) -> tuple[ArmRequest, ...]:
        """All arms, the base first."""
        return (self.base, *self.heads)

    @property
    def of_alternatives(self) -> bool:
        """Whether the arms are backends to choose from."""
        return are_alternatives(self.requests)

    @property
    def of_revisions(self) -> bool:
        """Whether git names what is compared."""
        return any(request.ref is not None for request in self.requests)
