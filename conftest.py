"""Load the modules of the benchmark plugin."""

from midas_bench.measure.plugin import MODULES

pytest_plugins = MODULES
