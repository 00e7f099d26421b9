"""Which sizes a model runs with whose graph leaves them free, found by trying, for the error about one it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from midas_bench.depth.graph_paths import readable
from midas_bench.depth.model_settings import FLAGS
from midas_bench.depth.weights import Weights

MULTIPLES = (2, 4, 8, 14, 16, 28, 32, 64)
"""What networks want sides to be multiples of: powers of two, and patches of 14 pixels."""


def advice_on_size(weights: Weights) -> str | None:
    """Return the flag with the nearest size that ONNX Runtime runs the model with.

    None where the graph fixes its size, the one asked for is no fault, or none of those that are tried runs.
    """
    # where OpenVINO runs, nothing else imports it
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        with readable(Path(weights.path or ""), ".onnx") as name:
            session = onnxruntime.InferenceSession(name, options, providers=["CPUExecutionProvider"])
    # its errors have no common type
    except Exception:
        return None
    interface = weights.interface
    [given] = session.get_inputs()
    free = [not isinstance(side, int) for side in (given.shape[2:] if interface.layout == "NCHW" else given.shape[1:3])]
    asked = (interface.height, interface.width)

    def runs(height: int, width: int) -> bool:
        fed = np.zeros(replace(interface, height=height, width=width).shape(1), interface.dtype)
        try:
            session.run(None, {given.name: fed})
        except Exception:
            return False
        return True

    if not any(free) or runs(*asked):
        return None
    for multiple in MULTIPLES:
        # an even one would be a multiple of twice that too
        odd, nearest = (
            [of(side, multiple) if is_free else side for side, is_free in zip(asked, free, strict=True)]
            for of in (_odd_multiple, _multiple)
        )
        if runs(*odd) and runs(*nearest):
            return f"give {FLAGS['size']} {nearest[0]}x{nearest[1]}, for it runs with multiples of {multiple}"
    return None


def _multiple(side: int, of: int) -> int:
    return max(1, round(side / of)) * of


def _odd_multiple(side: int, of: int) -> int:
    return (2 * max(0, round((side / of - 1) / 2)) + 1) * of
