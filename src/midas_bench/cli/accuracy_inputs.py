"""What `midas-bench accuracy` compares: flags -> backends and configurations by name, with a teacher or without."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from midas_bench.depth.backends import registry
from midas_bench.depth.config import Resolved, resolve
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.weights import Weights
from midas_bench.errors import printable
from midas_bench.options import pipeline_config, split

EXIT_CANNOT_JUDGE = 3
BUDGET_S = 120.0
FOLDER = Path("reports/accuracy")
"""Where the report stands by default."""


def chosen_backends(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the backends that are named, or all that run here; with a model those that run it.

    Raises:
        UserError: one is unknown or cannot run here.
    """
    return registry.select(split(arguments.backend) or ["all"], own_model=bool(arguments.model))


def configured(
    arguments: argparse.Namespace, backends: Sequence[str], calibration: tuple[str, ...]
) -> Mapping[str, Resolved]:
    """Resolve what is to be compared, for the first of the backends: by its name, each model or the weights.

    Raises:
        UserError: a model, a setting or the weights are not usable, or a backend does not run them.
    """
    configs: dict[str, Resolved] = {}
    for model in dict.fromkeys(arguments.model or [None]):
        config = resolve(pipeline_config(arguments, backend=backends[0], calibration=calibration, model=model))
        for backend in backends:
            registry.check_runs(backend, config.weights)
        name = weights_name(config.weights)
        configs[printable(model) if name in configs else name] = config
    return configs


def weights_name(weights: Weights) -> str:
    """Return what tables call a model, by its file, or weights, by where they are from and a size of its own."""
    if weights.source == "model":
        return printable(Path(weights.path or "").name)
    name = printable(Path(weights.path or "").name) if weights.source == "file" else f"MiDaS_small {weights.source}"
    interface = weights.interface
    return name if interface == MIDAS else f"{name} {interface.size}"
