"""LoadGen's scenarios and the running server's."""

from __future__ import annotations

from collections.abc import Sequence

from midas_bench.render.document import Table, TableCell, code, count, number, table
from midas_bench.results import units
from midas_bench.results.load_records import Load
from midas_bench.results.runs import Record, of_type


def loads(records: Sequence[Record]) -> Table | None:
    """Show each scenario's figures, and whether they hold by LoadGen's rules."""
    statuses = {"valid": "good", "not valid": "bad", "short run": "unsure"}
    rows = []
    for r in of_type(records, Load):
        result = r.info
        rate = result.target_per_second
        rows.append([
            TableCell(result.scenario), code(result.backend_name),
            count(result.threads),
            *(number(units.seconds(value), value)
              for value in (result.query_latency_s.get(p) for p in ("p50", "p90", "p99"))),
            number(units.seconds(result.early_stopping_s), result.early_stopping_s),
            number(units.rate(result.images_per_second), result.images_per_second),
            number(units.NOTHING if rate is None else f"{units.digits(rate)}/s within "
                   f"{units.seconds(result.latency_bound_s)}", rate),
            count(result.queries),
            TableCell(result.judged or units.NOTHING, status=statuses.get(result.judged, "")),
            TableCell(result.invalid_reason or ""),
        ])  # fmt: skip
    columns = ("scenario", "backend", "threads#", "p50#", "p90#", "p99#", "early stopping#", "throughput#",
               "largest rate#", "queries#", "by the rules", "why not")  # fmt: skip
    note = (
        "MLPerf's scenarios, driven by MLCommons LoadGen. The figure that counts: SingleStream's p90, MultiStream's "
        "p99 of queries of eight photos, Offline's throughput, Server's largest Poisson rate whose p99 holds the "
        "bound. Early stopping: LoadGen's estimate of that percentile, raised by what so few queries leave unsure. "
        "closed-loop, open-loop and soak are the running server over HTTP, without LoadGen."
    )
    return table("loads", "Scenarios", columns, rows, note=note)


def load_points(records: Sequence[Record]) -> Table | None:
    """Show every rate and number of clients that was tried."""
    rows = []
    for r in of_type(records, Load):
        for p in r.info.load_points:
            refused = units.percent(p.rejected_share) if p.requests and p.rejected is not None else units.NOTHING
            rows.append([
                code(r.name),
                count(p.clients),
                *(number(units.NOTHING if rate is None else units.digits(rate), rate)
                  for rate in (p.offered_per_second, p.achieved_per_second)),
                *(number(units.seconds(value), value) for value in (p.p50_s, p.p90_s, p.p99_s)),
                count(p.requests),
                number(refused, p.rejected_share), number(units.mib(p.peak_rss_bytes), p.peak_rss_bytes),
            ])  # fmt: skip
    columns = ("cell", "clients#", "offered/s#", "achieved/s#", "p50#", "p90#", "p99#", "requests#", "refused#",
               "peak memory#")  # fmt: skip
    title = "Latency against rate"
    return table("load-points", title, columns, rows)


def soaks(records: Sequence[Record]) -> Table | None:
    """Show how often each answer was given in a soak, and by how much the server's memory grew meanwhile."""
    rows = []
    for r in of_type(records, Load):
        growth = r.info.rss_growth
        for request, counts in r.info.outcomes.items():
            for outcome, times in counts.items():
                grown = number(units.percent(growth), growth)
                rows.append([code(r.info.backend_name), TableCell(request), TableCell(outcome), count(times), grown])
                # the first row of a soak shows its growth, the others a dash
                growth = None
    columns = ("backend", "request", "answer", "requests#", "growth of memory#")
    note = (
        "Good and bad requests in a shuffled mix; a number is HTTP's status. The cell fails if one request gets a "
        "wrong answer, or if the server counts differently. Growth: resident memory at the end over that after the "
        "warm-up."
    )
    return table("soak", "Soak: every answer", columns, rows, note=note)
