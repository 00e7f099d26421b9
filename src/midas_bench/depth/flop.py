"""Floating-point operations of one image, by the graph that really runs; a product and its sum are two."""

from __future__ import annotations

from functools import cache

from midas_bench.depth.backends.registry import Row
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.weights import Weights

PLAIN_FLOP = 9_190_336_512
"""The network as it was trained, for 256x256 pixels, by torch's FLOP counter; tests hold both networks to these."""
DEPLOYED_FLOP = 8_485_693_440
"""The network of `optimize.py`, likewise."""


def flop_per_image(row: Row, weights: Weights) -> int | None:
    """Return what a backend computes for one image; None for a user's own model that cannot be counted."""
    if weights.source == "model":
        return _of_model(weights)
    flop = DEPLOYED_FLOP if row.deployed else PLAIN_FLOP
    # convolutions alone, each with a fixed share of the input's pixels
    return flop * weights.interface.height * weights.interface.width // (MIDAS.height * MIDAS.width)


@cache
def _of_model(weights: Weights) -> int | None:
    # only for a user's own model, so that nothing else imports onnx
    from midas_bench.depth.model_flop import model_flop

    try:
        flop, unknown = model_flop(weights)
    # a model that another runtime runs
    except Exception:
        return None
    return None if unknown else flop
