"""Students beside their teacher: their depth photo by photo, and what one photo takes on each, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from midas_bench.depth.backends import registry
from midas_bench.depth.config import Resolved
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.measure.accuracy import Accuracy, against_truth
from midas_bench.measure.reference import Reference
from midas_bench.measure.teacher import Agreement, agreement, can_be_followed
from midas_bench.measure.tune import ITS_ERROR, MOST_PASSES, OPENING_S, OPENING_SHARE, PROBE_S, peak_of_new_process
from midas_bench.measure.tune_budget import Budget
from midas_bench.measure.tune_candidates import Candidate, opened
from midas_bench.measure.tune_race import Race
from midas_bench.measure.worker_client import WorkerDiedError
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import Trial, setup_name
from midas_bench.scene_photos import Photo

AT_A_TIME = 32
"""Photos whose teacher's depth is computed in one process: a large network takes seconds for each, and is waited for
no longer than `reference.TIMEOUT_S`."""
NO_TIME = "too little time was left to measure it; a larger --budget does"


@dataclass(frozen=True)
class PhotoResult:
    """What a photo says of one model on one backend.

    Attributes:
        file: of the photo.
        agreement: with the teacher.
        accuracy: against the true depth; None where it is not known.
    """

    file: str
    agreement: Agreement
    accuracy: Accuracy | None


class Teacher:
    """A teacher's depth, photo by photo, from the cache of references."""

    def __init__(self, config: Resolved) -> None:
        self._reference = Reference(config)

    def photos_with_depth(self, photos: Sequence[Photo], done: Callable[[int], object]) -> list[Photo]:
        """Return the photos that the teacher tells something of, in order; `done` hears how many are computed.

        Raises:
            UserError: the teacher or the cache is not usable.
            ProcessDiedError: the teacher's process crashed.
        """
        telling = []
        for start in range(0, len(photos), AT_A_TIME):
            some = photos[start : start + AT_A_TIME]
            self._reference.prepare(some)
            telling += [photo for photo in some if can_be_followed(self._reference.depth([photo])[0])]
            done(len(some))
        return telling

    def own_results(self, photos: Sequence[Photo]) -> list[PhotoResult]:
        """Return what the photos say of the teacher itself, which agrees with itself."""
        same = Agreement(rank_correlation=1.0, aligned_error=0.0, ordered_pairs_kept=1.0)
        depths = (self._reference.depth([photo])[0] for photo in photos)
        return [
            PhotoResult(photo.file, same, against_truth(depth, photo) if photo.depth else None)
            for photo, depth in zip(photos, depths, strict=True)
        ]

    def results(self, config: Resolved, photos: Sequence[Photo], done: Callable[[int], object]) -> list[PhotoResult]:
        """Compare a student on its backend with the teacher, photo by photo.

        Raises:
            UserError: the student cannot be opened, or gives no depth.
        """
        results = []
        with DepthPipeline.open(config=config) as pipeline:
            for photo in photos:
                # heat maps are not asked for
                depth = pipeline.staged([photo.data]).timed("decode", "preprocess", "inference").depth[0]
                agreed = agreement(depth, self._reference.depth([photo])[0])
                results.append(PhotoResult(photo.file, agreed, against_truth(depth, photo) if photo.depth else None))
                done(1)
        return results


def file_bytes(config: Resolved) -> int | None:
    """Return the size of what a backend loads, with further files that hold its weights; None where that is no file.

    Raises:
        UserError: as `registry.prepare`.
    """
    weights = config.weights
    graph = registry.prepare(config.backend, weights, Path(config.cache_dir), config.calibration)
    if graph is None:
        return Path(weights.path).stat().st_size if weights.path else None
    outside = weights.external if str(graph.path) == weights.path else ()
    return sum(path.stat().st_size for path in (graph.path, *(graph.path.parent / name for name in outside)))


def timed(configs: Mapping[str, Resolved], photo: Photo, budget: Budget) -> tuple[dict[str, Trial], dict[str, str]]:
    """Time one photo on each, in passes in which all take turns, until the budget ends; nobody leaves.

    Returns:
        by name what was measured, and for the others why not.
    """
    race, photos = Race(budget), [str(photo.path)]
    candidates: dict[str, Candidate] = {}
    left_out: dict[str, str] = {}
    try:
        for name, config in configs.items():
            setup = Setup(config.backend, 1, config.threads)
            one_pass_s = sum(candidate.visit_s for candidate in race.running)
            if race.running and budget.left_s() < budget.expected_opening_s(name, OPENING_S) + one_pass_s:
                left_out[name] = NO_TIME
                continue
            budget.report(f"{name}: opening it")
            try:
                with budget.opening(name):
                    time_out = budget.time_out(OPENING_SHARE * budget.total_s)
                    candidates[name] = opened(setup, config, photos, time_out, PROBE_S)
            except WorkerDiedError as error:
                left_out[name] = error.reason.removeprefix(ITS_ERROR)
                continue
            race.join(candidates[name])
            if candidates[name].peak_bytes is None:
                # the system keeps no mark of a peak
                candidates[name].peak_bytes = peak_of_new_process(configs[name], photos, time_out())
        race.take_turns(MOST_PASSES)
    finally:
        race.close()
    visited = [candidate for candidate in race.seen if candidate.readings]
    trials = dict(zip(visited, race.trials({}), strict=True))
    for name, candidate in candidates.items():
        if candidate not in trials:
            left_out[name] = NO_TIME if candidate in race.running else race.lost[setup_name(candidate.setup)]
    return {name: trials[candidate] for name, candidate in candidates.items() if candidate in trials}, left_out
