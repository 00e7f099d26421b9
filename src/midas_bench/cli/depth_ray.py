"""`midas-bench depth PHOTOS -o OUT --ray`: what `depth FOLDER` does, on all machines of a Ray cluster."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from midas_bench.cli.depth_folder import progress_bar, told
from midas_bench.cli.main import warn
from midas_bench.depth.config import Resolved
from midas_bench.errors import UserError, printable
from midas_bench.fleet import places
from midas_bench.fleet.bulk_depth import FAILED, KEPT, LEFT_OUT, cluster_groups, depth_maps
from midas_bench.fleet.ray_extra import connected, reason_of
from midas_bench.heatmap_files import not_made_here

Row = tuple[str, str]
"""Place of a photo, and of its heat map."""

Outcome = tuple[str, UserError]
"""What became of a photo, and why it has no heat map where that is so."""


def plan(photos: Path | str, output: Path | str, suffix: str) -> list[Row]:
    """Return the photos of a folder, a pattern or an address, as `places.tasks` does; warn of what is left out."""
    return places.tasks(str(photos), str(output), suffix, warn)


def run(rows: Sequence[Row], output: Path | str, config: Resolved) -> int:
    """Write the missing heat maps, list the photos that cannot be used, and return the exit code.

    Raises:
        UserError: as `depth_folder.run`; or a machine of the cluster failed, or none answers where one was named.
    """
    given = {printable(_absolute(place)): place for row in rows for place in row}
    # the processes have other current folders
    folder = _absolute(str(output))
    rows = [(_absolute(photo), _absolute(heatmap)) for photo, heatmap in rows]
    there = places.existing(folder, [heatmap for _, heatmap in rows])
    if not places.check_note(folder, config) and there:
        raise not_made_here(output)
    try:
        with connected():
            start_s = time.perf_counter()
            outcomes = dict(_outcomes(rows, folder, config))
            seconds = time.perf_counter() - start_s
    finally:
        places.remove_temporaries([heatmap for _, heatmap in rows])
    # in the order of the photos; one without an outcome is an error of ours, and ends here
    statuses = [(heatmap, *outcomes[heatmap]) for _, heatmap in rows]
    errors = [
        str(UserError(given.get(error.thing, error.thing), error.reason, error.next_step))
        for _, status, error in statuses
        if status == LEFT_OUT
    ]
    # a block that was repeated finds what its first attempt made
    present = sum(status == KEPT and heatmap in there for heatmap, status, _ in statuses)
    return told(output, errors, len(rows) - len(errors) - present, present, seconds, config.backend)


def _absolute(place: str) -> str:
    return place if places.is_address(place) else str(Path(place).absolute())


def _outcomes(rows: Sequence[Row], output: str, config: Resolved) -> Iterator[tuple[str, Outcome]]:
    """Yield the place of each heat map, and what became of its photo, as the cluster's processes end their blocks.

    Raises:
        UserError: what concerns all photos, such as a full disk; or a process failed otherwise.
    """
    import pyarrow
    import ray.data

    # the bar is ours, and the photos that are left out are listed at the end
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    block_rows = cluster_groups(config.threads).block_rows(len(rows))
    # names are bytes: not all of them are UTF-8
    blocks = [
        pyarrow.table({
            "photo": [os.fsencode(photo) for photo, _ in rows[start : start + block_rows]],
            "heatmap": [os.fsencode(heatmap) for _, heatmap in rows[start : start + block_rows]],
        })
        for start in range(0, len(rows), block_rows)
    ]  # fmt: skip
    done = depth_maps(ray.data.from_arrow(blocks), config, output=output)
    with progress_bar() as progress:
        bar = progress.add_task("heat maps", total=len(rows))
        try:
            for block in done.iter_batches(batch_size=None, batch_format="pyarrow"):
                for row in block.to_pylist():
                    error = UserError(row["thing"], row["reason"], row["next_step"])
                    if row["status"] == FAILED:
                        raise error
                    yield os.fsdecode(row["heatmap"]), (row["status"], error)
                progress.advance(bar, block.num_rows)
        except ray.exceptions.RayError as error:
            next_step = "install the same midas-bench[fleet] on every machine, and run again to go on"
            raise UserError("a machine of the Ray cluster", f"failed ({reason_of(error)})", next_step) from error
