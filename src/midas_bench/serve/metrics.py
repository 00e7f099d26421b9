"""The server's metrics, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Counters of one server, in a registry of their own: two servers in one process do not share them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ours: dict[str, Any] = {"registry": self._registry, "namespace": "midas_bench"}
        self._requests = Counter(
            "requests", "Requests answered, by route, method and status.", ("route", "method", "status"), **ours
        )
        self._rejected = Counter("rejected", "Requests answered with a problem, by reason.", ("reason",), **ours)
        self._stages = Histogram(
            "stage_seconds", "Time that a photo spent in a stage.", ("stage",), buckets=BUCKETS_S, **ours
        )
        self._queue = Gauge("queue_length", "Accepted photos that wait for a worker.", **ours)
        self._in_work = Gauge("in_work", "Photos in work.", **ours)
        ProcessCollector(registry=self._registry)

    def watch(self, queue_length: Callable[[], int], in_work: Callable[[], int]) -> None:
        """Read both gauges whenever the metrics are read."""
        self._queue.set_function(queue_length)
        self._in_work.set_function(in_work)

    def answered(self, route: str, method: str, status: int) -> None:
        """Count a response."""
        self._requests.labels(route, method, str(status)).inc()

    def rejected(self, reason: str) -> None:
        """Count a problem."""
        self._rejected.labels(reason).inc()

    def spent(self, stage_s: Mapping[str, float]) -> None:
        """Add a photo's stage times."""
        for stage, seconds in stage_s.items():
            self._stages.labels(stage).observe(seconds)

    def text(self) -> bytes:
        """Return all of it in Prometheus's text format."""
        return generate_latest(self._registry)
