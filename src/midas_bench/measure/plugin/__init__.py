"""The plugin for pytest that measures cells, writes each to disk as it ends, and sums up."""

MODULES = tuple(
    f"midas_bench.measure.plugin.{module}"
    for module in (
        "settings",
        "fast_backends",
        "parametrize",
        "noise",
        "run_state",
        "saving",
        "cell",
        "passes",
        "summary",
    )
)
"""In this order: pytest calls hooks that are marked alike in the order of loading, and `passes` counts the cells that
`run_state` leaves."""
