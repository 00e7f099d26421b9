"""How close is the depth of reduced precision to an exact backend's? Asked of the processes that are open anyway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.backends import registry
from midas_bench.depth.config import Resolved
from midas_bench.errors import UserError
from midas_bench.measure.fidelity import fidelity, problem
from midas_bench.measure.reference import Reference
from midas_bench.measure.tune_budget import TimeOut
from midas_bench.measure.tune_candidates import Candidate
from midas_bench.measure.tune_race import Race
from midas_bench.measure.worker_client import WorkerDiedError
from midas_bench.processes import ProcessDiedError
from midas_bench.results.tuning_results import Closeness
from midas_bench.scene_photos import Photo


def closeness(race: Race, config: Resolved, photo: Photo, time_out: TimeOut, may_compute: bool) -> dict[str, Closeness]:
    """Return it by backend for the photo that is timed; nothing where there is no exact depth to compare with.

    Args:
        race: whose candidates are asked; one that dies leaves it.
        config: of all of them.
        photo: the first of every batch and stream.
        time_out: of all answers.
        may_compute: whether there is time to compute the reference's depth where no exact backend is in the race.
    """
    first: dict[str, Candidate] = {}
    for candidate in race.running:
        first.setdefault(candidate.setup.backend, candidate)
    reduced = [candidate for name, candidate in first.items() if not registry.find(name).exact]
    if not reduced:
        return {}
    reference, exact = _exact_depth(race, first, Reference(config), photo, time_out, may_compute)
    closeness_by_backend: dict[str, Closeness] = {}
    if exact is None:
        return closeness_by_backend
    for candidate in reduced:
        depth = _depth(race, candidate, time_out)
        if depth is not None:
            backend = candidate.setup.backend
            measured = fidelity(depth, exact)
            reason = problem(backend, measured, config.weights.source, reference)
            closeness_by_backend[backend] = Closeness(reference, **asdict(measured), problem=reason)
    return closeness_by_backend


def _exact_depth(
    race: Race,
    first: Mapping[str, Candidate],
    reference: Reference,
    photo: Photo,
    time_out: TimeOut,
    may_compute: bool,
) -> tuple[str, NDArray[np.float32] | None]:
    """Return a name and its depth: the reference's if it is cached, else that of an exact backend in the race."""
    if reference.lacking([photo]):
        for name in (reference.backend, *first):
            depth = _depth(race, first[name], time_out) if name in first and registry.find(name).exact else None
            if depth is not None:
                return name, depth
        if not may_compute:
            return reference.backend, None
    try:
        return reference.backend, reference.depth([photo])
    except (UserError, ProcessDiedError):
        return reference.backend, None


def _depth(race: Race, candidate: Candidate, time_out: TimeOut) -> NDArray[np.float32] | None:
    try:
        return candidate.depth(time_out())
    except WorkerDiedError as error:
        race.lose(candidate, error.reason)
        return None
