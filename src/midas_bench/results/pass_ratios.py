"""Ratios of cells of one run, taken within each pass and scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from midas_bench.results.intervals import Interval
from midas_bench.results.passes import mean_over_cells
from midas_bench.results.ranking import ARTICLE
from midas_bench.results.runs import Record


def time_ratio(above: Sequence[Sequence[Record]], below: Sequence[Record]) -> Interval | None:
    """Return the mean over scenes of a time over another one, as the median over passes; None without passes.

    Args:
        above: lists of cells, one cell per scene, whose times add up.
        below: one cell per scene.
    """
    scenes = [r.info.scene for r in below]
    by_scene = [{r.info.scene: r for r in cells} for cells in above]
    if not scenes or any(len(cells) != len(scenes) or set(cells) != set(scenes) for cells in by_scene):
        return None
    rows = [[r, *(cells[r.info.scene] for cells in by_scene)] for r in below]
    passes = min(len(r.times.passes_s) for row in rows for r in row)
    if passes < 2:
        return None
    disturbed = [[r.disturbed_by_pass[:passes] for r in row] for row in rows]
    ratios = [sum(r.times.passes_s[:passes] for r in row[1:]) / row[0].times.passes_s[:passes] for row in rows]
    return mean_over_cells(ratios, np.any(disturbed, axis=1))


def pipelines(records: Sequence[Record], backend: str, batch_size: int = 1, recipe: str = "fast") -> list[Record]:
    """Return the cells of the whole way with one backend and batch size; none where they have several thread counts."""
    cells = [r for r in records if r.is_pipeline and r.info.batch_size == batch_size]
    cells = [r for r in cells if r.info.backend_name == backend]
    cells = [r for r in cells if (r.info.recipe == ARTICLE) == (recipe == ARTICLE)]
    return cells if len({r.info.threads for r in cells}) == 1 else []


def stages(records: Sequence[Record], stage: str, recipe: str) -> list[Record]:
    """Return the cells of one stage of a recipe alone."""
    return [r for r in records if r.kind == "stage" and r.info.stage == stage and r.info.recipe == recipe]
