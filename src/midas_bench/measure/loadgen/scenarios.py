"""Ask fresh processes for what MLCommons LoadGen measures of the pipeline."""

from __future__ import annotations

import importlib.util
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.config import Resolved
from midas_bench.errors import UserError
from midas_bench.measure.loadgen.rules import Rules, expected_s
from midas_bench.processes import Reply, ask
from midas_bench.results.json_fields import Fields
from midas_bench.results.load_records import Load
from midas_bench.results.struct_reader import read
from midas_bench.scene_photos import Photo

CHILD = "midas_bench.measure.loadgen.process"
LOGS = Path("reports/loadgen")
"""Where each run's logs get a folder of their own."""
OPENING_S = 300.0
PATIENCE = 4
"""Times the expected duration after which a process is given up."""


@dataclass(frozen=True)
class LoadPlan:
    """What is driven, and how.

    Attributes:
        config: of the pipeline; its backend is named apart.
        photos: LoadGen's samples.
        rules: how long each scenario runs.
        logs: the folder for LoadGen's logs; each backend gets one in it.
        bound_s: Server's latency bound; None takes three times the SingleStream p90.
    """

    config: Resolved
    photos: Sequence[Photo]
    rules: Rules
    logs: Path
    bound_s: float | None = None


@dataclass(frozen=True)
class Look:
    """A first look: about how long a photo takes, and how many are in work at a time."""

    latency_s: float
    workers: int

    def expected_s(self, scenario: str, rules: Rules) -> float:
        """Return about how long a scenario will run."""
        return expected_s(scenario, rules, self.latency_s, self.workers)


def new_logs(project: Path) -> Path:
    """Return a folder for the logs of a run that starts now."""
    return project / LOGS / datetime.now().strftime("%Y%m%d-%H%M%S")


def check_installed() -> None:
    """Make sure that LoadGen can be imported, without doing so.

    Raises:
        UserError: it cannot.
    """
    if importlib.util.find_spec("mlperf_loadgen") is None:
        advice = "pip install 'midas-bench[load]'"
        reason = "is needed for this and is not installed"
        # the extra leaves it out there
        if sys.platform == "linux" and platform.machine() != "x86_64":
            reason += f", and has no wheel for {platform.machine()}"
            advice = "install g++ and python3-dev, and build it with pip install mlcommons-loadgen"
        raise UserError("MLCommons LoadGen", reason, advice)


def look(plan: LoadPlan, backend: str) -> Look:
    """Open a backend in a process of its own and call it a few times.

    Raises:
        UserError, ProcessDiedError: as `ask`.
    """
    return Look(**_ask(plan, backend, "look", OPENING_S))


def measure(plan: LoadPlan, backend: str, scenarios: Sequence[str], timeout_s: float) -> dict[str, Load]:
    """Run scenarios in turn in one fresh process, killed after `timeout_s`.

    Raises:
        UserError, ProcessDiedError: as `ask`.
    """
    logs = plan.logs.absolute() / backend
    wanted = {"scenarios": list(scenarios), "rules": plan.rules.to_json(), "bound_s": plan.bound_s, "logs": str(logs)}
    reply = _ask(plan, backend, "scenarios", timeout_s, **wanted)
    loads = {name: read(Fields(logs, name, fields), Load) for name, fields in reply.items()}
    return {name: load for name, load in loads.items() if load is not None}


def timeout_s(expected: float) -> float:
    """Return after how long a process that should take so many seconds is given up."""
    return OPENING_S + PATIENCE * expected


def logged_depth(plan: LoadPlan, backend: str) -> NDArray[np.float32]:
    """Let LoadGen ask for every photo once in its AccuracyOnly mode; return float32 (N, H, W) as it logged it.

    Raises:
        UserError, ProcessDiedError: as `ask`.
    """
    logs = plan.logs.absolute() / backend / "accuracy"
    with tempfile.TemporaryDirectory(prefix="midas-bench-") as folder:
        outputs = [Path(folder) / f"{n}.npy" for n in range(len(plan.photos))]
        _ask(plan, backend, "accuracy", OPENING_S, logs=str(logs), outputs=list(map(str, outputs)))
        return np.stack([np.load(output) for output in outputs])


def _ask(plan: LoadPlan, backend: str, task: str, timeout_s: float, **fields: Any) -> Reply:
    config = replace(plan.config, backend=backend).to_json()
    photos = [str(photo.path.absolute()) for photo in plan.photos]
    return ask(CHILD, {"task": task, "config": config, "photos": photos, **fields}, timeout_s)
