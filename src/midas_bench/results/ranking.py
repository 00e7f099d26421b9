"""The set-ups with the lowest latency, the highest throughput and the least memory; and what the others cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from midas_bench.results.intervals import Interval, bootstrap_interval, bootstrap_medians
from midas_bench.results.kinds import Memory, Stream
from midas_bench.results.passes import mean_over_cells
from midas_bench.results.record import backend_name
from midas_bench.results.runs import Record, of_type

FAST, ARTICLE = "fast", "article"


@dataclass(frozen=True, order=True)
class Setup:
    """What could be deployed: a backend with so many threads, in one of the two recipes, for batches or a stream.

    Attributes:
        backend: a name of the registry.
        batch_size: photos that the network takes together; 1 in a stream.
        threads: for one call of the network; the photos of a stream stand side by side on the cores that there are.
        recipe: fast or article.
        stream_photos: photos of each stream that was timed; 0 where calls of a batch were timed.
        model: name of the network; empty where a run has one.
    """

    backend: str
    batch_size: int
    threads: int | None = None
    recipe: str = FAST
    stream_photos: int = 0
    model: str = ""

    @property
    def photos_per_call(self) -> int:
        """Photos of what was timed: a batch or a whole stream."""
        return self.stream_photos or self.batch_size

    @property
    def name(self) -> str:
        """The backend, with the network where there are several, or the article's recipe: for tables and charts."""
        return "article's recipe" if self.recipe == ARTICLE else backend_name(self.backend, self.model)


@dataclass(frozen=True)
class Alternative:
    """A set-up that did not win.

    Attributes:
        setup: which.
        figure: its own figure, in the answer's unit.
        relative_cost: its time or memory over the winner's, with an interval where there is one.
    """

    setup: Setup
    figure: Interval
    relative_cost: Interval


@dataclass(frozen=True)
class Recommendation:
    """One question answered.

    Attributes:
        question: latency, throughput or memory.
        winner: the best set-up.
        figure: its figure: seconds per photo, images per second, or bytes. Low equals high where no interval is known.
        alternatives: the others, best first; for each network, backend and recipe its best batch and its best stream.
        tied: those of them that the rounds of this run cannot tell from the winner.
        scenes: the scenes that the figure is a mean over; none for a stream, whose photos are of several.
        cells: ids of the cells that the winner's figure rests on.
        rounds: the fewest rounds that one of those cells had.
        passes: how many passes the figure is a median over; 0 where a file has none.
        disturbed: share of those passes during which the machine was disturbed; of the cells, where there are none.
    """

    question: str
    winner: Setup
    figure: Interval
    alternatives: tuple[Alternative, ...]
    tied: tuple[Setup, ...]
    scenes: tuple[str, ...]
    cells: tuple[str, ...]
    rounds: int
    passes: int = 0
    disturbed: float = 0.0


@dataclass(frozen=True)
class _Candidate:
    setup: Setup
    records: tuple[Record, ...]
    # of a call, the mean over scenes
    seconds: Interval
    # seconds and whether the machine was disturbed, (scenes, passes); no passes where the files have none
    passes_s: np.ndarray
    disturbed: np.ndarray
    # of files without passes, bootstrap draws of the estimate; None where no interval can be given
    draws: np.ndarray | None


def fastest(records: Sequence[Record]) -> Recommendation | None:
    """Find the set-up with the least time for one photo: the median over passes of the mean over scenes, in seconds.

    Of files without passes it is the mean over scenes of the medians. Scenes with a disturbed cell are then left out
    for all set-ups, as long as others are left.
    """
    return _timed(
        "latency", [r for r in records if r.is_pipeline and r.info.batch_size == 1], lambda seconds, _: seconds
    )


def cells_behind(records: Sequence[Record], answer: Recommendation) -> set[str]:
    """Return the ids of the cells of all set-ups that an answer on time names."""
    named = {answer.winner, *(alternative.setup for alternative in answer.alternatives)}
    cells = [r for r in records if r.is_pipeline or isinstance(r.info, Stream)]
    return {r.fullname for setup, group in _setups(cells).items() if setup in named for r in group}


def best_throughput(records: Sequence[Record]) -> Recommendation | None:
    """Find the set-up with the most images per second: a batch's or a stream's photos over its seconds.

    A batch's seconds are the mean over scenes of the medians. Scenes with a disturbed cell are left out as in
    `fastest`; a stream stays whole, for its photos are of all scenes.
    """
    batches = [r for r in records if r.is_pipeline and r.info.batch_size]
    return _timed("throughput", batches, lambda seconds, photos: photos / seconds, _streams(records, batches))


def _streams(records: Sequence[Record], batches: Sequence[Record]) -> list[Record]:
    """Return the streams of the photos that the batches were timed on; all streams where no photos are recorded."""
    timed = _photos(batches)
    streams = [r for r in of_type(records, Stream) if r.info.backend and r.info.stream_photos and r.times.resolved]
    return [r for r in streams if not timed or _photos([r]) <= timed]


def _photos(cells: Iterable[Record]) -> set[str]:
    return {photo.sha256 or photo.file for r in cells for photo in r.info.photos}


def _timed(
    question: str, cells: Sequence[Record], figure: Callable[[float, int], float], streams: Sequence[Record] = ()
) -> Recommendation | None:
    candidates = []
    scenes = _common_scenes(cells)
    for seed, (setup, group) in enumerate(sorted(_setups([*cells, *streams]).items(), key=lambda item: str(item[0]))):
        common = tuple(
            sorted((r for r in group if setup.stream_photos or r.info.scene in scenes), key=lambda r: str(r.info.scene))
        )
        if common:
            candidates.append(_candidate(setup, common, seed))
    if not candidates:
        return None
    # where time was short, later passes kept to the set-ups that were best by then: the others' two passes tell less
    most = max(c.passes_s.shape[1] for c in candidates)
    candidates = [c for c in candidates if 2 * c.passes_s.shape[1] >= most]
    # seconds per photo decide both questions: the relative cost is always in time
    ranked = sorted(candidates, key=lambda c: c.seconds.estimate / c.setup.photos_per_call)
    winner, *others = _best_of_each(ranked)
    alternatives = tuple(Alternative(c.setup, _figure(c, figure), _relative_cost(c, winner)) for c in others)
    return Recommendation(
        question=question,
        winner=winner.setup,
        figure=_figure(winner, figure),
        alternatives=alternatives,
        tied=tuple(a.setup for a in alternatives if a.relative_cost.low <= 1),
        scenes=() if winner.setup.stream_photos else tuple(sorted(s for s in scenes if s is not None)),
        cells=tuple(r.fullname for r in winner.records),
        rounds=min(r.times.rounds for r in winner.records),
        passes=winner.passes_s.shape[1],
        disturbed=float(np.mean(winner.disturbed)),
    )


def _common_scenes(cells: Sequence[Record]) -> set[str | None]:
    """Return the scenes that all set-ups have, without those that have a disturbed cell as long as others are left."""
    if not cells:
        return set()
    scenes = set.intersection(*({r.info.scene for r in group} for group in _setups(cells).values()))
    if not scenes:
        # nothing was measured on the same photos: keep the scene that most set-ups have
        every = [r.info.scene for r in cells]
        scenes = {max(dict.fromkeys(every), key=every.count)}
    if all(len(r.times.passes_s) for r in cells):
        # each pass met the cells of all set-ups alike
        return scenes
    # a backend is not slow because the machine was busy with something else during one of its cells
    disturbed = {r.info.scene for r in cells if r.info.noise.noisy}
    return scenes - disturbed or scenes


def _setups(cells: Iterable[Record]) -> dict[Setup, list[Record]]:
    groups: dict[Setup, list[Record]] = {}
    for r in cells:
        stream_photos = r.info.stream_photos if isinstance(r.info, Stream) else 0
        setup = Setup(
            str(r.info.backend),
            r.info.batch_size or 1,
            r.info.threads,
            r.info.recipe or FAST,
            stream_photos,
            r.info.model or "",
        )
        groups.setdefault(setup, []).append(r)
    return groups


def _candidate(setup: Setup, cells: tuple[Record, ...], seed: int) -> _Candidate:
    bare = _bare(float(np.mean([r.times.median_s for r in cells])))
    passes = min(len(r.times.passes_s) for r in cells)
    if passes > 1:
        passes_s = np.array([r.times.passes_s[:passes] for r in cells])
        disturbed = np.array([r.disturbed_by_pass[:passes] for r in cells])
        return _Candidate(setup, cells, mean_over_cells(passes_s, disturbed) or bare, passes_s, disturbed, None)
    noisy = np.array([[bool(r.info.noise.noisy)] for r in cells])
    no_passes_s = np.empty((len(cells), 0))
    # the rounds of one visit know nothing of what else the machine did just then
    if noisy.any() or not all(r.times.allow_ratio_interval for r in cells):
        return _Candidate(setup, cells, bare, no_passes_s, noisy, None)
    generator = np.random.default_rng(seed)
    draws = np.mean([bootstrap_medians(r.times.rounds_s, generator) for r in cells], axis=0)
    return _Candidate(setup, cells, bootstrap_interval(bare.estimate, draws), no_passes_s, noisy, draws)


def _best_of_each(ranked: Sequence[_Candidate]) -> list[_Candidate]:
    best: dict[tuple[str, bool], _Candidate] = {}
    for candidate in ranked:
        setup = candidate.setup
        best.setdefault((setup.name, setup.stream_photos > 0), candidate)
    return list(best.values())


def _figure(candidate: _Candidate, figure: Callable[[float, int], float]) -> Interval:
    photos, seconds = candidate.setup.photos_per_call, candidate.seconds
    low, high = sorted((figure(seconds.low, photos), figure(seconds.high, photos)))
    return Interval(figure(seconds.estimate, photos), low, high, seconds.confidence)


def _relative_cost(candidate: _Candidate, winner: _Candidate) -> Interval:
    scale = winner.setup.photos_per_call / candidate.setup.photos_per_call
    within_passes = _price(candidate, winner)
    if within_passes is not None:
        return within_passes.mapped(scale)
    estimate = candidate.seconds.estimate / winner.seconds.estimate * scale
    if candidate.draws is None or winner.draws is None:
        return _bare(estimate)
    return bootstrap_interval(estimate, candidate.draws / winner.draws * scale)


def _price(candidate: _Candidate, winner: _Candidate) -> Interval | None:
    """Return the ratio of two candidates, taken within each pass and scene, where both stood side by side.

    A stream is no scene: its ratio to a batch is that of the pass as a whole.
    """
    passes = min(candidate.passes_s.shape[1], winner.passes_s.shape[1])
    above, below = candidate.passes_s[:, :passes], winner.passes_s[:, :passes]
    disturbed = (candidate.disturbed[:, :passes], winner.disturbed[:, :passes])
    if [r.info.scene for r in candidate.records] == [r.info.scene for r in winner.records]:
        return mean_over_cells(above / below, disturbed[0] | disturbed[1]) if passes else None
    whole = above.mean(axis=0, keepdims=True) / below.mean(axis=0, keepdims=True)
    return mean_over_cells(whole, np.concatenate(disturbed).any(axis=0, keepdims=True)) if passes else None


def _bare(value: float) -> Interval:
    return Interval(value, value, value, confidence=0.0)


def least_memory(records: Sequence[Record]) -> Recommendation | None:
    """Find the set-up with the lowest peak, in bytes: the mean over its processes, their range as low and high."""
    cells = [r for r in of_type(records, Memory) if r.info.backend]
    ranked = sorted(
        ((_peaks(group), setup, group) for setup, group in _setups(cells).items()), key=lambda c: c[0].estimate
    )
    if not ranked:
        return None
    best: dict[str, tuple[Interval, Setup, list[Record]]] = {}
    for candidate in ranked:
        best.setdefault(candidate[1].name, candidate)
    (figure, winner, group), *others = best.values()
    # a batch of four is compared with a batch of four, where the winner has one
    same = {s.batch_size: peaks for peaks, s, _ in ranked if s.name == winner.name}
    alternatives = tuple(
        Alternative(s, peaks, _bare(peaks.estimate / same.get(s.batch_size, figure).estimate)) for peaks, s, _ in others
    )
    return Recommendation(
        question="memory",
        winner=winner,
        figure=figure,
        alternatives=alternatives,
        tied=(),
        scenes=tuple(sorted({r.info.scene for r in group if r.info.scene is not None})),
        cells=tuple(r.fullname for r in group),
        rounds=len(group),
    )


def _peaks(group: Sequence[Record]) -> Interval:
    peaks = [float(r.info.peak_rss_bytes) for r in of_type(group, Memory)]
    return Interval(float(np.mean(peaks)), min(peaks), max(peaks), 0.0)
