"""Load the stations of the benchmark plugin; they stand in `midas_bench.measure.plugin`."""

pytest_plugins = (
    "midas_bench.measure.plugin.settings",
    "midas_bench.measure.plugin.matrix",
    "midas_bench.measure.plugin.cell",
    "midas_bench.measure.plugin.schedule",
)
