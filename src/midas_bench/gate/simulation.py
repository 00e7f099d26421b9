"""Gates drawn from recorded blocks of two equal sides: how often does the rule raise a false alarm, or miss one?

Gates are drawn from the blocks with replacement. With equal sides each alarm is a false one; with a slowdown added,
each gate without an alarm has missed it. Equal sides may be swapped, so the sides of each drawn block are swapped at
random. That makes the drawn blocks symmetric around a ratio of 1, whatever was recorded. `unflipped`, and gates drawn
without swapping, show whether the recorded blocks are symmetric themselves.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from midas_bench.errors import UserError
from midas_bench.gate.rule import FIRST_LOOK, REGRESSED, UNDECIDED, Family, Figure
from midas_bench.results.intervals import CONFIDENCE, holm, signed_rank_interval
from midas_bench.results.share import Share

SLOWDOWNS = (0.0, 0.02, 0.05, 0.10)
LIVE_SLOWDOWN = 0.05
RESAMPLED, RESAMPLED_QUICK = 10_000, 1_000
SEED = 1
AS_RECORDED = len(SLOWDOWNS)
"""Seeds the gates that are drawn without swapping, as the slowdown's place among `SLOWDOWNS` does the others."""

Outcome = tuple[dict[str, str], int]


@dataclass(frozen=True)
class Blocks:
    """Recorded blocks, and what a gate of them is.

    Attributes:
        figures: in the order of the columns.
        alpha: the chance of one false alarm or more that is accepted.
        logs: float64 (blocks, figures), log-ratios of head over base.
        most: how many blocks a gate's budget has time for.
        three: float64 (blocks with a control, 3, figures): base, head and control, each over the base.
    """

    figures: Sequence[Figure]
    alpha: float
    logs: NDArray[np.float64]
    most: int
    three: NDArray[np.float64]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Blocks:
        """Read them from the document of a self-test.

        Raises:
            UserError: they are too few for one look.
        """
        rows = document["blocks"]
        recorded = [Figure(**figure) for figure in document["figures"]]
        complete = [figure for figure in recorded if all(figure.name in row["log_ratios"] for row in rows)]
        needed = Family(complete, document["alpha"]).first_look
        if len(rows) < needed:
            raise UserError("self-test", f"has {len(rows)} blocks", f"record at least {needed}")
        logs = np.array([[row["log_ratios"][figure.name] for figure in complete] for row in rows])
        with_control = [row for row in rows if all(figure.name in row.get("control", {}) for figure in complete)]
        control = np.array([[row["control"][figure.name] for figure in complete] for row in with_control])
        beside = np.array([[row["log_ratios"][figure.name] for figure in complete] for row in with_control])
        most = int(document["budget_s"] / np.mean([row["block_s"] for row in rows]))
        return cls(complete, document["alpha"], logs, most, np.stack([np.zeros_like(beside), beside, control], 1))


def resample(document: Mapping[str, Any], gates: int = RESAMPLED, seed: int = SEED) -> dict[str, Any]:
    """Draw gates from recorded blocks and count their verdicts, for each slowdown of the first figure.

    Args:
        document: of a self-test, as `self_test` returns it.
        gates: how many for each slowdown.
        seed: of the drawing.

    Raises:
        UserError: the document holds too few blocks for one look.
    """
    blocks = Blocks.of(document)
    return {
        "gates": gates,
        "seed": seed,
        "most_blocks": blocks.most,
        "slowed": blocks.figures[0].name,
        "rows": [simulate_gates(blocks, slowdown, gates, seed) for slowdown in SLOWDOWNS],
        "as_recorded": without_sign_flips(blocks, gates, seed),
        "spread": {figure.name: float(blocks.logs[:, i].std(ddof=1)) for i, figure in enumerate(blocks.figures)},
        "unflipped": observed_bias(blocks),
        "three_arms": [simulate_three_arms(blocks, slowdown, gates, seed) for slowdown in (0.0, LIVE_SLOWDOWN)]
        if len(blocks.three) >= FIRST_LOOK
        else [],
    }


def simulate_gates(blocks: Blocks, slowdown: float, gates: int, seed: int) -> dict[str, Any]:
    """Draw gates with one slowdown of the first figure, and count their verdicts."""
    generator = np.random.default_rng([seed, SLOWDOWNS.index(slowdown)])
    shift = np.array([math.log1p(slowdown), *[0.0] * (len(blocks.figures) - 1)])
    return _counted(
        slowdown, blocks.figures[0].name, [_gate(blocks, shift, generator, swap=True) for _ in range(gates)]
    )


def simulate_three_arms(blocks: Blocks, slowdown: float, gates: int, seed: int) -> dict[str, Any]:
    """Draw gates of two heads from the blocks that hold three equal arms; the first figure of one head is slowed.

    Equal arms may change places: in each drawn block, which of the three is the base is drawn.
    """
    generator = np.random.default_rng([seed, 3, round(1000 * slowdown)])
    figures = [Figure(f"{head}: {f.name}", f.threshold, f.unit) for head in ("one", "two") for f in blocks.figures]
    shift = np.array([math.log1p(slowdown), *[0.0] * (len(figures) - 1)])
    outcomes = []
    for _ in range(gates):
        drawn = blocks.three[generator.integers(len(blocks.three), size=blocks.most)]
        order = generator.permuted(np.tile(np.arange(3), (blocks.most, 1)), axis=1)
        placed = np.take_along_axis(drawn, order[:, :, None], axis=1)
        logs = (placed[:, 1:] - placed[:, :1]).reshape(blocks.most, -1) + shift
        outcomes.append(_judged(figures, blocks.alpha, logs))
    return _counted(slowdown, figures[0].name, outcomes)


def without_sign_flips(blocks: Blocks, gates: int, seed: int) -> dict[str, Any]:
    """Count the gates of equal sides with a false alarm, drawn from the blocks without swapping sides."""
    generator = np.random.default_rng([seed, AS_RECORDED])
    unmoved = np.zeros(len(blocks.figures))
    outcomes = [_gate(blocks, unmoved, generator, swap=False) for _ in range(gates)]
    return Share(sum(REGRESSED in verdicts.values() for verdicts, _ in outcomes), gates).to_json()


def observed_bias(blocks: Blocks) -> dict[str, dict[str, float]]:
    """Return by figure how far the recorded ratios of equal sides differ from 1: `log_ratio`, bounds, `p`, `holm`.

    The bounds hold with 95 %; `p` is of Wilcoxon's signed-rank test, two-sided, and `holm` the same corrected for the
    number of figures.
    """
    tail = (1 - CONFIDENCE) / 2
    p_values = [float(stats.wilcoxon(logs).pvalue) if logs.any() else 1.0 for logs in blocks.logs.T]
    biases = {}
    for figure, logs, p, corrected in zip(blocks.figures, blocks.logs.T, p_values, holm(p_values), strict=True):
        ends = signed_rank_interval(logs, tail, tail)
        biases[figure.name] = {
            "log_ratio": ends.estimate, "low": ends.low, "high": ends.high, "p": p, "holm": corrected,
        }  # fmt: skip
    return biases


def _gate(blocks: Blocks, shift: NDArray[np.float64], generator: np.random.Generator, *, swap: bool) -> Outcome:
    """Draw one gate; return the verdicts by figure, and the blocks it took."""
    drawn = blocks.logs[generator.integers(len(blocks.logs), size=blocks.most)]
    if swap:
        drawn = drawn * generator.choice([-1.0, 1.0], size=(blocks.most, 1))
    return _judged(blocks.figures, blocks.alpha, drawn + shift)


def _judged(figures: Sequence[Figure], alpha: float, logs: NDArray[np.float64]) -> Outcome:
    """Judge one gate's blocks, float64 (blocks, figures), look by look."""
    most = len(logs)
    family = Family(figures, alpha)
    look, count = 0, most
    for count in range(family.first_look, most + 1):
        if not family.is_look(count) and count < most:
            continue
        look += 1
        family.look(look, {figure.name: logs[:count, i].tolist() for i, figure in enumerate(figures)})
        if not family.undecided:
            break
    return {name: judgement.verdict for name, judgement in family.judgements.items()}, count


def _counted(slowdown: float, slowed: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    total = len(outcomes)

    def share(holds: Callable[[dict[str, str]], bool]) -> dict[str, Any]:
        return Share(sum(holds(verdicts) for verdicts, _ in outcomes), total).to_json()

    others = {name for verdicts, _ in outcomes[:1] for name in verdicts} - ({slowed} if slowdown else set())
    return {
        "slowdown": slowdown,
        "verdicts": dict(Counter(verdicts[slowed] for verdicts, _ in outcomes)),
        "alarm": share(lambda verdicts: verdicts[slowed] == REGRESSED),
        "false_alarm": share(lambda verdicts: any(verdicts[name] == REGRESSED for name in others)),
        "settled": share(lambda verdicts: UNDECIDED not in verdicts.values()),
        "blocks": float(np.mean([blocks for _, blocks in outcomes])),
    }
