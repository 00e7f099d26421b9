"""Times: every cell's, the streams', and ratios from interleaved blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from midas_bench.render.document import Table, TableCell, code, count, number, table
from midas_bench.results import units
from midas_bench.results.frame import none_if_missing
from midas_bench.results.intervals import Interval
from midas_bench.results.kinds import BrowserRatio, PeerRatio, Ratio, SceneRatio, Stream
from midas_bench.results.runs import TIMED, Record, of_type


def cells_table(cells: pd.DataFrame) -> Table | None:
    """Show every timed cell."""
    timed = cells[cells.kind.isin(TIMED)]
    rows = [
        [
            code(str(row["name"])),
            number(units.seconds(row.median_s), row.median_s),
            number(_ends(row), none_if_missing(row.median_low_s)),
            number(units.seconds(row["mean_s"]), row["mean_s"]),
            number(units.seconds(row.min_s), row.min_s),
            number(units.seconds(row.stddev_s), row.stddev_s),
            count(row.rounds),
            _rate(none_if_missing(row.images_per_second)),
            count(none_if_missing(row.passes)),
            TableCell(_machine(row), status="bad" if none_if_missing(row.noisy) else ""),
        ]
        for _, row in timed.iterrows()
    ]
    columns = (
        "cell", "median#", "95 % interval#", "mean#", "min#", "std. dev.#", "rounds#", "images/s#", "passes#", "machine"
    )  # fmt: skip
    note = "With passes, the median is one over passes, and the interval comes from the spread between them."
    return table("cells", "Every timed cell", columns, rows, note=note)


def _machine(row: pd.Series[Any]) -> str:
    """Say whether the machine was quiet: in how many passes it was not, where there are several."""
    noisy, disturbed = none_if_missing(row.noisy), none_if_missing(row.disturbed_passes)
    if noisy is None:
        return units.NOTHING
    if disturbed:
        return f"disturbed in {disturbed} of {row.passes}"
    return "noisy" if noisy else "quiet"


def _rate(images_per_second: float | None) -> TableCell:
    text = units.NOTHING if images_per_second is None else units.digits(images_per_second)
    return number(text, images_per_second)


def _ends(row: pd.Series[Any]) -> str:
    if none_if_missing(row.median_low_s) is None:
        return units.NOTHING
    size, unit = units.time_unit(row.median_s)
    return f"{units.span(Interval(row.median_s, row.median_low_s, row.median_high_s), size)} {unit}"


def streams(records: Sequence[Record]) -> Table | None:
    """Show the photos per second of each stream."""
    rows = []
    for r in sorted(of_type(records, Stream), key=lambda r: -(r.images_per_second or 0)):
        photos, rate = r.info.stream_photos, r.images_per_second
        if rate is not None:
            ends = r.times.median.inverted().mapped(photos)
            rows.append([TableCell(r.info.backend_name), count(photos), number(units.digits(rate), rate),
                         number(units.span(ends) if ends.confidence else units.NOTHING, ends.low),
                         count(r.info.threads), count(r.times.rounds)])  # fmt: skip
    columns = ("backend", "photos#", "images/s#", "95 % interval#", "threads per photo#", "rounds#")
    note = "From encoded photos to heat maps: the next photos are decoded while the network has one, on all cores."
    return table("streams", "Streams", columns, rows, note=note)


def ratios(records: Sequence[Record]) -> Table | None:
    """Show the ratios from interleaved blocks; those to peers and of browsers have tables of their own."""
    rows = []
    for r in of_type(records, Ratio):
        if isinstance(r.info, PeerRatio | BrowserRatio):
            continue
        name = r.info.name
        if isinstance(r.info, SceneRatio):
            name = f"{r.info.stage}: {r.info.scene}/{r.info.baseline_scene}"
        value, n = r.info.estimate, len(r.info.block_log_ratios)
        estimate = value.estimate if value else None
        fields = [number(units.times(estimate), estimate), number(units.span(value), value.low if value else None)]
        rows.append([code(name), *fields, count(n), count(r.info.threads)])
    note = "Times of the first over the second; the share is of the whole recipe. Workers took turns, block by block."
    columns = ("ratio", "estimate#", "95 % interval#", "blocks#", "threads#")
    return table("ratios", "Ratios from interleaved blocks", columns, rows, note=note)
