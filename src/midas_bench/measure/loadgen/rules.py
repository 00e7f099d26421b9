"""How long each scenario runs: by MLPerf's rules, or for a few seconds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SCENARIOS = ("single-stream", "multi-stream", "offline", "server")
PERCENTILE = {"single-stream": 0.90, "multi-stream": 0.99, "offline": 0.90, "server": 0.99}
SAMPLES_PER_QUERY = 8
"""Of MultiStream, as the rules have it."""
BOUND_OF_P90 = 3.0
"""Server's bound, where none is given, in times the SingleStream p90: waiting may take twice as long as the work."""
MARGIN = 1.1
"""LoadGen makes Offline's query larger by this factor than its minimum duration seems to need."""
RETRIES = 3
"""Runs by the rules that Server's search may need until one holds the bound."""


@dataclass(frozen=True)
class Rules:
    """What LoadGen is asked for.

    Attributes:
        name: full or short; only a full run can be valid.
        duration_s: the least duration of a run.
        least: the fewest queries by scenario; for Offline, the fewest samples of its one query.
        probe_s: the duration of a run that looks for Server's rate.
        search_s: no such run begins after this many seconds of search.
        probes: the most runs of the search.
    """

    name: str
    duration_s: float
    least: dict[str, int]
    probe_s: float
    search_s: float
    probes: int

    @property
    def full(self) -> bool:
        """Whether a run of these can be valid."""
        return self.name == "full"

    def to_json(self) -> dict[str, Any]:
        """Return what `Rules(**...)` reads again."""
        return asdict(self)


FULL = Rules(
    "full",
    600.0,
    {"single-stream": 1024, "multi-stream": 662, "offline": 24_576, "server": 100},
    probe_s=60.0,
    search_s=600.0,
    probes=10,
)
"""The durations, percentiles and counts of MLPerf Inference.

Sources: mlcommons/inference_policies, inference_rules.adoc, section Scenarios; mlcommons/inference,
loadgen/mlperf.conf. They allow one pass in Offline where the data set has fewer than 24,576 samples, and leave
SingleStream to early stopping. The stricter counts are used here: 24,576, and the 1,024 of earlier versions.
"""

SHORT = Rules(
    "short",
    3.0,
    {"single-stream": 10, "multi-stream": 3, "offline": 16, "server": 10},
    probe_s=3.0,
    search_s=25.0,
    probes=6,
)
"""For seeing that everything runs; too few queries for a percentile, and never valid."""

RULES = {rules.name: rules for rules in (FULL, SHORT)}


def expected_s(scenario: str, rules: Rules, latency_s: float, workers: int) -> float:
    """Return about how many seconds a scenario takes, one photo taking `latency_s` in each of some workers."""
    least = rules.least[scenario]
    if scenario == "single-stream":
        return max(rules.duration_s, least * latency_s)
    if scenario == "multi-stream":
        return max(rules.duration_s, least * SAMPLES_PER_QUERY * latency_s / workers)
    if scenario == "offline":
        return max(MARGIN * rules.duration_s, least * latency_s / workers)
    own_run_s = rules.duration_s if rules.probe_s < rules.duration_s else 0.0
    return min(rules.search_s, rules.probes * rules.probe_s) + rules.probe_s + own_run_s
