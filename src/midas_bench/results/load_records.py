"""What load does to latency: LoadGen's scenarios, and an HTTP service under closed or open loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct, field, structs

from midas_bench.results.record import CellInfo, ClientCpuSeconds, Number, Seconds, Whole

PerSecond = Annotated[float, Meta(ge=0, extra={"unit": "requests per second"})]


class LoadPoint(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was seen at one offered rate (open loop), or with so many clients that each wait (closed loop).

    Attributes:
        achieved_per_second: requests answered with a heat map, per second.
        p50_s: latency of those, the median.
        p90_s: likewise.
        p99_s: likewise.
        offered_per_second: requests sent per second, whether or not the ones before were answered; open loop only.
        clients: that each send the next request when the last one was answered; closed loop only.
        requests: that were sent.
        rejected: of those, how many were refused for being too many.
        peak_rss_bytes: the server's highest resident memory by then.
    """

    achieved_per_second: PerSecond
    p50_s: Seconds
    p90_s: Seconds
    p99_s: Seconds
    offered_per_second: Number | None = None
    clients: Whole | None = None
    requests: Whole | None = None
    rejected: Whole | None = None
    peak_rss_bytes: Whole | None = None

    @property
    def rejected_share(self) -> float:
        """The share of requests that were refused."""
        return (self.rejected or 0) / self.requests if self.requests else 0.0

    def to_row(self) -> dict[str, Any]:
        """Return its fields by name."""
        return structs.asdict(self)


class Load(CellInfo, frozen=True, kw_only=True, tag="load"):
    """The result of LoadGen's scenario, or of an HTTP service under load."""

    scenario: Annotated[str, "LoadGen's scenario, or `closed-loop`, `open-loop` or `soak` for HTTP."]
    rules: Annotated[str | None, "LoadGen's rules, `full` or `short`."] = None
    valid: Annotated[bool | None, "whether the run is valid by LoadGen's rules."] = None
    invalid_reason: Annotated[str | None, "why the run is not valid."] = None
    queries: Annotated[Whole | None, "number of queries sent."] = None
    query_latency_s: Annotated[
        dict[str, Seconds],
        "p50, p90 and p99 of a query, in seconds.",
    ] = field(default_factory=dict)
    early_stopping_s: Annotated[
        Seconds | None,
        "LoadGen's own estimate of the scenario's percentile, in seconds.",
    ] = None
    latency_bound_s: Annotated[Seconds | None, "bound on the p99, in seconds."] = None
    target_per_second: Annotated[Number | None, "highest Poisson rate whose p99 stayed within the bound."] = None
    load_points: Annotated[tuple[LoadPoint, ...], "one object per rate or number of clients."] = ()
    peak_rss_bytes: Annotated[Whole | None, "highest resident memory."] = None
    logs: Annotated[str | None, "folder of LoadGen's logs."] = None
    client_cpu_s: ClientCpuSeconds = None
    outcomes: Annotated[
        dict[str, dict[str, Whole]],
        "of a soak, the number of requests by their kind and by status or other outcome.",
    ] = field(default_factory=dict)
    rss_growth: Annotated[float | None, "of a soak, the share by which resident memory grew after the warm-up."] = None

    @property
    def judged(self) -> str:
        """Whether the figures hold, in a word or two: valid, not valid, short run."""
        if self.rules == "short":
            return "short run"
        return "" if self.valid is None else "valid" if self.valid else "not valid"

    @property
    def open_loop(self) -> tuple[LoadPoint, ...]:
        """The points with an offered rate, the lowest first."""
        offered = (p for p in self.load_points if p.offered_per_second is not None)
        return tuple(sorted(offered, key=lambda p: p.offered_per_second or 0))


def knee(points: Sequence[LoadPoint], bound_s: float | None) -> LoadPoint | None:
    """Return the knee: the largest offered rate whose p99 stays within the bound and of which nothing was rejected.

    None where no point is so, or no bound is known. A rate above one that failed counts too, because its own p99 held.
    Near the limit, chance decides whether a short run holds or fails.
    """
    held = [
        point
        for point in points
        if point.offered_per_second is not None
        and bound_s is not None
        and point.p99_s <= bound_s
        and not point.rejected
    ]
    return max(held, key=lambda point: point.offered_per_second or 0, default=None)
