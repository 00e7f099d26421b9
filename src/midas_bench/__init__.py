"""MiDaS_small depth estimation on CPU, and its performance suite."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midas_bench.depth.pipeline import DepthPipeline

__all__ = ["DepthPipeline"]

NO_TELEMETRY = {
    # ONNX Runtime keeps a device id and a queue of events under the user's cache, and looks up its host every few
    # seconds, also while something is timed
    "ORT_DISABLE_TELEMETRY": "1",
    # OpenVINO reports its import unless it runs in CI or a file in the user's home declines; of the variables by which
    # it recognises CI this one changes least elsewhere
    "TF_BUILD": "1",
    "NNCF_CI": "1",
    # Ray's cluster would send what it is and how it is used
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Variables that switch off what the runtimes report about their use."""

# Every process passes here before it imports a runtime, and what it starts inherits the variables: workers of older
# revisions and programs of others too. Whoever has set one, be it to nothing, keeps it.
for _name, _value in NO_TELEMETRY.items():
    os.environ.setdefault(_name, _value)

# OpenVINO asks for the user's home as it is imported, and raises where there is none, as for an unknown uid in a
# container. With a home that is no folder it goes on, and writes nothing.
if os.path.expanduser("~") == "~":  # noqa: PTH111 - Path.home raises
    os.environ["HOME"] = os.devnull


def __getattr__(name: str) -> Any:
    """Import the public API when it is asked for: every process imports this package, and few need a runtime."""
    if name == "DepthPipeline":
        from midas_bench.depth.pipeline import DepthPipeline

        return DepthPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
