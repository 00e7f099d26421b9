"""Many machines, by Ray (extra `fleet`): depth of large sets of photos, and a run of the suite on every node."""

from midas_bench.fleet.bulk_depth import depth_maps

__all__ = ["depth_maps"]
