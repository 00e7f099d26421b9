"""Blocks of a page and of native ONNX Runtime -> the ratio of their times, if it is sure whose code the page ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from midas_bench.depth.stages import STAGES
from midas_bench.measure.blocks import Block, Groups, log_ratios
from midas_bench.measure.browser.tier import ReferenceKernels
from midas_bench.measure.worker_client import TimedCall
from midas_bench.results.kinds import ratio_fields

PHOTO = "photo"
"""The pipeline of both workers."""
WHOLE, INFERENCE, KERNEL = "pipeline", "inference", "kernel"
TIMED = (WHOLE, *STAGES)


class UncertainTierError(Exception):
    """A page ran code that is not surely optimised, so its times are of no use; the message says why in one line."""


def groups(browser_backend: str, backend: str) -> Groups:
    """Return what is timed in a round: photo and network side by side, the other native stages, and the kernel."""
    together = [[TimedCall(arm, PHOTO, call) for arm in (browser_backend, backend)] for call in (WHOLE, INFERENCE)]
    alone = [[TimedCall(backend, PHOTO, stage)] for stage in STAGES if stage != INFERENCE]
    return [*together, *alone, [TimedCall(browser_backend, PHOTO, KERNEL)]]


def over_native(
    measured: Sequence[Block], kernels: ReferenceKernels, browser_backend: str, backend: str, timed: str
) -> dict[str, Any]:
    """Return the fields of a `BrowserRatio` that blocks with these groups fill.

    Args:
        measured: the blocks.
        kernels: the kernel's times where one compiler alone made its code.
        browser_backend: name of the page's worker.
        backend: name of the native one.
        timed: one of `TIMED`. The page's network is timed alone, its other stages within a whole photo.

    Raises:
        UncertainTierError: the page of a block was not close to optimised code.
    """
    kernel = TimedCall(browser_backend, PHOTO, KERNEL)
    # within a page the least, for other work can only add to it; of the pages the one that proves least
    page_s = max(min(each[kernel] for each in block.rounds) for block in measured)
    if problem := kernels.problem(page_s):
        raise UncertainTierError(problem)
    theirs, ours = TimedCall(browser_backend, PHOTO, timed), TimedCall(backend, PHOTO, timed)
    if timed not in (WHOLE, INFERENCE):
        theirs = TimedCall(browser_backend, PHOTO, WHOLE).part(timed)
    rounds = [each for block in measured for each in block.rounds]
    return {
        **ratio_fields(log_ratios(measured, lambda seconds: seconds[theirs] / seconds[ours])),
        "browser_median_s": median(block.median_s(theirs) for block in measured),
        "native_median_s": median(block.median_s(ours) for block in measured),
        "browser_rounds_s": [each[theirs] for each in rounds],
        "native_rounds_s": [each[ours] for each in rounds],
        "tier": {"page_s": page_s, **asdict(kernels)},
    }
