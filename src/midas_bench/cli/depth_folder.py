"""`midas-bench depth FOLDER -o OUT`: a heat map for each photo of a folder; it resumes after an interruption."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from midas_bench.cli.main import warn
from midas_bench.depth.config import Resolved
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.errors import printable
from midas_bench.heatmap_files import PhotoTask, check_note, leave_note, not_made_here, write_each

RATE_COVERS = "loading the network, reading and writing included"

EXIT_NOTHING_MADE = 2


def run(tasks: Sequence[PhotoTask], output: Path, config: Resolved) -> int:
    """Write the missing heat maps, list the photos that cannot be used, and return the exit code.

    Raises:
        UserError: the folder was made with other weights or another backend, holds files of these names that were not
            made here, or cannot be written.
    """
    if not check_note(output, config) and any(os.path.lexists(task.heatmap) for task in tasks):
        raise not_made_here(output)
    missing = [task for task in tasks if not task.done]
    start_s = time.perf_counter()
    errors = _write_heatmaps(missing, output, config) if missing else []
    seconds = time.perf_counter() - start_s
    written, present = len(missing) - len(errors), len(tasks) - len(missing)
    return told(output, errors, written, present, seconds, config.backend)


def _write_heatmaps(missing: Sequence[PhotoTask], output: Path, config: Resolved) -> list[str]:
    """Write the heat maps and return the errors of photos that have none."""

    def save(task: PhotoTask, heatmap: NDArray[np.uint8]) -> None:
        # only now, when there is something to save: a run that fails earlier leaves no note
        leave_note(output, config)
        task.save(heatmap)

    with (
        DepthPipeline.open(config=config) as pipeline,
        closing(write_each(pipeline, missing, save)) as outcomes,
        progress_bar() as progress,
    ):
        tracked = progress.track(outcomes, total=len(missing), description="heat maps")
        return [str(error) for error in tracked if error is not None]


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar on standard error, where that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # results go to standard output
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def told(output: object, errors: Sequence[str], written: int, present: int, seconds: float, backend: str) -> int:
    """List the photos that were left out, print how many heat maps there are, and return the exit code."""
    for error in errors:
        warn(f"left out: {error}")
    rate = f" ({written / seconds:.1f} per second, {RATE_COVERS}; {backend})" if written else ""
    counts = [f"{written} made{rate}"]
    counts += [f"{present} there already"] * bool(present) + [f"{len(errors)} left out"] * bool(errors)
    print(f"{printable(output)}: {', '.join(counts)}")
    return 0 if written or present else EXIT_NOTHING_MADE
