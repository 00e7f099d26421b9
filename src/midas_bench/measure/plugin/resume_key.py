"""What must be the same for two halves of a run to make one: code, weights, photos, options, machine, cells."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import midas_bench
from midas_bench.files import sources_sha256
from midas_bench.measure.plugin.settings import RUN, SETTINGS

OPTIONS = (
    "benchmark_min_rounds",
    "benchmark_max_time",
    "benchmark_min_time",
    "benchmark_warmup",
    "benchmark_disable_gc",
    "benchmark_warmup_iterations",
    "benchmark_precision",
    "benchmark_confidence",
    "benchmark_calibration_precision",
    "benchmark_cprofile",
    "benchmark_timer",
)


def resume_key(config: pytest.Config, planned: Sequence[str]) -> dict[str, Any]:
    """Return what identifies a run, in JSON types."""
    run, settings = config.stash[RUN], config.stash[SETTINGS]
    weights: Any = run.models[0].weights.fingerprint
    if settings.compared_models:
        weights = {f"weights of {model.name}": model.weights.fingerprint for model in run.models}
    return {
        "code": sources_sha256(Path(midas_bench.__file__).parent, config.rootpath / "bench"),
        "weights": weights,
        "photos": hashlib.sha256("".join(photo.sha256 for photo in run.photos).encode()).hexdigest(),
        "options": {name: str(getattr(config.option, name, None)) for name in OPTIONS}
        | {"threads": list(run.thread_counts), "quick": settings.quick, "backends": list(settings.backends)},
        "machine": run.machine.fingerprint,
        "environment": run.machine.environment,
        "versions": run.machine.versions,
        "cells": list(planned),
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name each difference, with the old and the new value."""
    changes = []
    for name in now:
        old, new = then.get(name), now[name]
        if old == new:
            continue
        if name == "cells":
            changes.append(_cell_changes(old or (), new))
        elif isinstance(new, dict) and isinstance(old, dict):
            keys = [key for key in new.keys() | old.keys() if old.get(key) != new.get(key)]
            changes += [f"{key}: {old.get(key)} then, {new.get(key)} now" for key in sorted(keys)]
        else:
            changes.append(f"{name}: {str(old)[:12]} then, {str(new)[:12]} now")
    return changes


def _cell_changes(old: Sequence[str], new: Sequence[str]) -> str:
    """Say how many were and are planned, and name the first that is missing or new."""
    counts = f"cells: {len(old)} were planned, now {len(new)}"
    missing, added = ([name for name in a if name not in set(b)] for a, b in ((old, new), (new, old)))
    parts = [f"{word} {names[0]}" for word, names in (("without", missing), ("newly with", added)) if names]
    return ", ".join([counts, *(parts or ["in another order"])])
