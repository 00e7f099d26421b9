"""The arms of a gate: a base, what is compared with it, and the base again as a control."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from midas_bench.depth.config import Resolved
from midas_bench.gate.revisions import Revision
from midas_bench.scene_photos import Photo

BASE, HEAD, CONTROL = "base", "head", "ctrl"
HEADS = (HEAD, "hea2", "hea3")
"""Names of equal length: where a process's files lie can shift its timing (T. Mytkowicz et al., Producing Wrong Data
Without Doing Anything Obviously Wrong, ASPLOS 2009)."""


@dataclass(frozen=True)
class Arm:
    """What one arm runs.

    Attributes:
        title: as the verdict names it.
        revision: the code; of a user's own calls, the code that these are in.
        config: backend, weights or model, and cache; None for a user's own calls.
        python: the interpreter that runs it.
        environment: what its libraries are known by; empty where they are the gate's own.
        versions: of its libraries, where these are looked up.
        slowdown: the share by which each of its calls is made longer, to test whether a gate detects it.
    """

    title: str
    revision: Revision
    config: Resolved | None = None
    python: str = sys.executable
    environment: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    slowdown: float = 0.0

    @property
    def identity(self) -> dict[str, Any]:
        """Return what two arms have in common that compute the same in the same way, in JSON types."""
        config = self.config
        return {
            "code": self.revision.digest or self.revision.commit,
            "environment": self.environment,
            "backend": config.backend if config else None,
            "weights": config.weights.identity if config else None,
        }


@dataclass(frozen=True)
class Sides:
    """The arms that a gate compares, and what is the same for all.

    Attributes:
        base: what is compared with.
        heads: what is judged, one to three.
        photos: by scene.
        run_folder: the gate's own, with the revisions' files.
        calls: a user's own calls, as `module:calls`; empty for the pipelines of this package.
    """

    base: Arm
    heads: Sequence[Arm]
    photos: Mapping[str, Sequence[Photo]]
    run_folder: Path
    calls: str = ""

    @property
    def arms(self) -> dict[str, Arm]:
        """The base and the heads by the names of their workers."""
        return {BASE: self.base, **dict(zip(HEADS, self.heads, strict=False))}

    @property
    def head_titles(self) -> dict[str, str]:
        """By head, what its figures begin with: its title where there are several."""
        if len(self.heads) == 1:
            return {HEADS[0]: ""}
        titles = [head.title for head in self.heads]
        # figures are told apart by their names
        return {
            name: title if titles.count(title) == 1 else f"{title} ({name})"
            for name, title in zip(HEADS, titles, strict=False)
        }

    @property
    def same(self) -> bool:
        """Whether all arms run the same code with the same libraries, model and backend."""
        return all(head.identity == self.base.identity for head in self.heads)

    def with_configs(self, change: Callable[[Resolved], Resolved]) -> Sides:
        """Return the same sides, each configuration changed by a function."""
        changed = [replace(arm, config=change(arm.config) if arm.config else None) for arm in (self.base, *self.heads)]
        return replace(self, base=changed[0], heads=tuple(changed[1:]))
