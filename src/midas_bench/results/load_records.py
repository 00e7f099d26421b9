"""What load does to latency: LoadGen's scenarios, and an HTTP service under closed or open loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from midas_bench.results.json_fields import Fields

PERCENTILES = ("p50", "p90", "p99")


@dataclass(frozen=True, kw_only=True)
class LoadPoint:
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

    achieved_per_second: float
    p50_s: float
    p90_s: float
    p99_s: float
    offered_per_second: float | None = None
    clients: int | None = None
    requests: int | None = None
    rejected: int | None = None
    peak_rss_bytes: int | None = None

    @property
    def rejected_share(self) -> float:
        """The share of requests that were refused."""
        return (self.rejected or 0) / self.requests if self.requests else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return what is known, in JSON types; one of the `load_points` in `extra_info`."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Load:
    """The result of one cell of the kind `load`.

    Attributes:
        scenario: single-stream, multi-stream, offline or server; for HTTP closed-loop, open-loop or soak.
        rules: full or short where LoadGen ran; None elsewhere.
        valid: whether it holds by LoadGen's rules; None where they do not apply.
        invalid_reason: why not.
        queries: how many were sent.
        latency_s: p50, p90 and p99 of a query; empty in Offline, whose one query is the whole run.
        early_stopping_s: LoadGen's estimate of the scenario's percentile, raised by what so few queries leave unsure.
        images_per_second: that were completed.
        latency_bound_s: that Server's or an open loop's p99 must hold.
        target_per_second: the largest Poisson rate that was seen to hold it.
        points: one per rate or number of clients, in the order they were measured.
        peak_rss_bytes: of the process that was driven.
        logs: the folder of LoadGen's logs.
        outcomes: of a soak, how many requests of each name had each status, or what else became of them.
        rss_growth: of a soak, by which share resident memory grew after the warm-up.
    """

    scenario: str
    rules: str | None = None
    valid: bool | None = None
    invalid_reason: str | None = None
    queries: int | None = None
    latency_s: dict[str, float]
    early_stopping_s: float | None = None
    images_per_second: float | None = None
    latency_bound_s: float | None = None
    target_per_second: float | None = None
    points: tuple[LoadPoint, ...] = ()
    peak_rss_bytes: int | None = None
    logs: str | None = None
    outcomes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rss_growth: float | None = None

    def to_fields(self) -> dict[str, Any]:
        """Return the fields of `CellInfo` that it fills."""
        fields: dict[str, Any] = {"kind": "load"} | {k: v for k, v in vars(self).items() if v is not None}
        fields["query_latency_s"] = fields.pop("latency_s")
        fields["load_points"] = [point.to_json() for point in fields.pop("points")]
        return {name: value for name, value in fields.items() if value not in ({}, [])}

    @property
    def judged(self) -> str:
        """Whether the figures hold, in a word or two: valid, not valid, short run."""
        if self.rules == "short":
            return "short run"
        return "" if self.valid is None else "valid" if self.valid else "not valid"

    @property
    def open_loop(self) -> tuple[LoadPoint, ...]:
        """The points with an offered rate, the lowest first."""
        offered = (p for p in self.points if p.offered_per_second is not None)
        return tuple(sorted(offered, key=lambda p: p.offered_per_second or 0))


def load_from(info: Fields) -> Load | None:
    """Read what `Load.to_fields` wrote; None where the cell has no scenario.

    Raises:
        UserError: a value is of the wrong type.
    """
    scenario = info.text("scenario")
    if scenario is None:
        return None
    latency = info.section("query_latency_s")
    latency_s = {p: latency.number(p, "seconds") for p in PERCENTILES} if latency else {}
    return Load(
        scenario=scenario,
        rules=info.text("rules"),
        valid=info.flag("valid"),
        invalid_reason=info.text("invalid_reason"),
        queries=info.whole("queries"),
        latency_s={p: value for p, value in latency_s.items() if value is not None},
        early_stopping_s=info.number("early_stopping_s", "seconds"),
        images_per_second=info.number("images_per_second"),
        latency_bound_s=info.number("latency_bound_s", "seconds"),
        target_per_second=info.number("target_per_second"),
        points=tuple(_point(section) for section in info.sections("load_points")),
        peak_rss_bytes=info.whole("peak_rss_bytes"),
        logs=info.text("logs"),
        outcomes=_outcomes(info.section("outcomes")),
        rss_growth=info.number("rss_growth", signed=True),
    )


def _outcomes(requests: Fields | None) -> dict[str, dict[str, int]]:
    outcomes: dict[str, dict[str, int]] = {}
    for name in requests or ():
        counts = requests.section(name) if requests else None
        outcomes[name] = {outcome: counts.whole(outcome) or 0 for outcome in counts} if counts else {}
    return outcomes


def _point(fields: Fields) -> LoadPoint:
    return LoadPoint(
        achieved_per_second=fields.required("achieved_per_second", "requests per second"),
        p50_s=fields.required("p50_s", "seconds"),
        p90_s=fields.required("p90_s", "seconds"),
        p99_s=fields.required("p99_s", "seconds"),
        offered_per_second=fields.number("offered_per_second"),
        clients=fields.whole("clients"),
        requests=fields.whole("requests"),
        rejected=fields.whole("rejected"),
        peak_rss_bytes=fields.whole("peak_rss_bytes"),
    )


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
