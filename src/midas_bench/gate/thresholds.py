"""By which share each figure may grow."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

MEMORY, STARTUP = "peak memory", "start-up"
"""What figures of a whole process begin with."""


@dataclass(frozen=True)
class Thresholds:
    """By which share each figure may grow.

    Attributes:
        time: of a call.
        memory: at its peak.
        startup: of a process.
        named: of single figures, by their names or what these begin with: `decode`, `decode[onnx-b1-street]`.
    """

    time: float
    memory: float
    startup: float
    named: Mapping[str, float] = field(default_factory=dict)

    def of(self, name: str) -> float:
        """Return the threshold of what is measured: its own, that of its kind, or the usual one."""
        kind = kind_of(name)
        usual = {MEMORY: self.memory, STARTUP: self.startup}.get(kind, self.time)
        return self.named.get(name, self.named.get(kind, usual))

    def unused(self, names: Collection[str]) -> list[str]:
        """Return the names of thresholds that belong to nothing of what is measured."""
        return [name for name in self.named if name not in {*names, *map(kind_of, names)}]


def kind_of(name: str) -> str:
    """Return what the name of a figure begins with, such as `decode` or `peak memory`."""
    return name.partition("[")[0].rstrip()
