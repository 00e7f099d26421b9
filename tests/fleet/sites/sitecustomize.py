"""Give a node of a local cluster another kind: all of its nodes are one machine."""

import os
import sys

if "midas_bench.fleet.describe" in sys.orig_argv and "FAKE_MACHINE" in os.environ:
    from dataclasses import replace

    from midas_bench.measure import machine

    inspect = machine.inspect
    machine.inspect = lambda: replace(inspect(), fingerprint=os.environ["FAKE_MACHINE"])
