"""Fidelity, the machine's peak, and others' programs beside ours."""

from __future__ import annotations

from collections.abc import Sequence

from midas_bench.render.document import Table, TableCell, code, count, number, table
from midas_bench.render.floor import floor_table, share_cell
from midas_bench.report.charts.fidelity import correlation
from midas_bench.results import units
from midas_bench.results.fidelity_results import FidelityPoint
from midas_bench.results.intervals import Interval
from midas_bench.results.json_fields import clean
from midas_bench.results.kinds import Floor, Stage
from midas_bench.results.roofline import Roof
from midas_bench.results.runs import Record, input_sizes, of_type


def fidelity(points: Sequence[FidelityPoint]) -> Table | None:
    """Show each backend's time for one photo and how close its depth is to the reference's."""
    teacher = next((p.agreement.teacher for p in points if p.agreement), None)
    rows = [
        [
            code(p.backend),
            number(units.seconds_span(p.time), p.time.estimate),
            *_followed(p, teacher),
            number(_share(p.max_relative_error), p.max_relative_error),
            number(_share(p.mean_relative_error), p.mean_relative_error),
            number(correlation(p), p.rank_correlation),
            number(units.percent(p.flipped_pairs), p.flipped_pairs),
        ]
        for p in points
    ]
    columns = ["backend", "time for one photo#", "largest error#", "mean error#", "rank correlation#", "flipped pairs#"]
    note = (
        "Errors as a share of the depth range. Rank correlation: Spearman's, of the worst photo. Flipped pairs: pixel "
        "pairs at random places whose order is the other way round, of the worst photo."
    )
    if teacher:
        columns[2:2] = [f"correlation with {clean(teacher)}#", "pairs kept#"]
        note += f" Pairs kept: those in the order that {clean(teacher)} has them in, of the worst photo."
    return table("fidelity", "Speed and fidelity", columns, rows, note=note)


def _followed(point: FidelityPoint, teacher: str | None) -> list[TableCell]:
    if teacher is None:
        return []
    agreement = point.agreement
    if agreement is None:
        return [number(units.NOTHING, None)] * 2
    return [
        number(units.correlation(agreement.rank_correlation), agreement.rank_correlation),
        number(units.percent(agreement.pairs_kept), agreement.pairs_kept),
    ]


def _share(value: float | None) -> str:
    return units.NOTHING if value is None else f"{value:.2g}"


def roofline(roofs: Sequence[Roof]) -> Table | None:
    """Show the network's time, the least it could take at this machine's peak, and the share that is reached."""
    rows = [
        [
            code(roof.record.info.backend_name),
            count(roof.record.info.batch_size or 1),
            count(roof.record.info.threads),
            number(units.seconds_span(roof.record.times.median), roof.record.times.median_s),
            number(f"{units.digits((roof.record.info.flop or 0) / 1e9)} GFLOP", roof.record.info.flop),
            number(units.flop_rate(roof.record.info.peak_flop_per_s), roof.record.info.peak_flop_per_s),
            number(units.seconds(roof.least_s), roof.least_s),
            share_cell(roof.share),
        ]
        for roof in roofs
    ]
    columns = ("backend", "batch#", "threads#", "time#", "work#", "peak#", "least time#", "share of peak#")
    note = (
        "Peak: the highest rate of a matrix product in the backend's precision on as many threads, measured once in "
        "this run. Work: operations of the graph that runs, as direct convolutions. Least time: work over peak. "
        "A share above 100 % is none: the product was disturbed, or this CPU has a faster way than the product's."
    )
    return table("roofline", "How far from this machine's peak", columns, rows, note=note)


def floors(records: Sequence[Record]) -> list[Table]:
    """Show the steps from a photo to a PNG beside their limits, one table for each backend and photo."""
    tables = []
    for number_of_table, r in enumerate(of_type(records, Floor)):
        if not r.info.steps:
            continue
        photo = next((f"{p.width}x{p.height}" for p in r.info.photos), "a photo")
        threads = units.counted(r.info.threads or 0, "thread")
        title = f"Distance to the limit: {r.info.backend_name}, {photo}, {threads}"
        tables.append(floor_table(f"floor-{number_of_table}", title, r.info.steps))
    return tables


def peers(timings: Sequence[tuple[str, Record, Interval]]) -> Table | None:
    """Show others' programs and networks beside our backends: the network alone, one image per call."""
    rows = [
        [
            TableCell(name, status="good" if isinstance(record.info, Stage) else ""),
            TableCell("ours" if isinstance(record.info, Stage) else "peer"),
            count(record.info.threads),
            number(units.seconds_span(time), time.estimate),
        ]
        for name, record, time in timings
    ]
    columns = ("network", "origin", "threads#", "time of one call#")
    note = (
        f"One image of {input_sizes(record for _, record, _ in timings)} per call, the network alone. A peer that "
        "times itself gives a median without interval. timm's backbone is the first part of the network only."
    )
    return table("peers", "Peers", columns, rows, note=note)
