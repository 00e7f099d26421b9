"""Load the modules of the benchmark plugin; they stand in `midas_bench.measure.plugin`."""

pytest_plugins = tuple(
    f"midas_bench.measure.plugin.{station}"
    for station in ("settings", "matrix", "noise", "ledger", "saving", "cell", "schedule", "summary")
)
