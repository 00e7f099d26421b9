"""Floating-point operations of one 256x256 image, by the graph that really runs; a product and its sum are two."""

from __future__ import annotations

from midas_bench.depth.backends.registry import Row
from midas_bench.depth.weights import Weights

PLAIN_FLOP = 9_190_336_512
"""The network as it was trained, by torch's FLOP counter; tests hold both networks to these numbers."""
DEPLOYED_FLOP = 8_485_693_440
"""The network of `optimize.py`, likewise."""


def flop_per_image(row: Row, weights: Weights) -> int | None:
    """Return what a backend computes for one image, or None for a user's own model, which nobody counted."""
    if weights.source == "model":
        return None
    return DEPLOYED_FLOP if row.reads_onnx else PLAIN_FLOP
