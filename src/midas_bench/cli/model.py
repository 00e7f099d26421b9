"""`midas-bench model FILE`: what a model takes and gives, what of it is assumed, and the flags that correct it."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from midas_bench.depth.config import PipelineConfig
from midas_bench.depth.custom_model import ASSUMED, OwnModel, described, read_model, tensors
from midas_bench.depth.model_flop import model_flop, parameters
from midas_bench.depth.model_settings import FLAGS
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.errors import printable
from midas_bench.options import MODEL_FLAGS, add_to_parser, model_settings

SHOWN = ("size", "mean", "std", "scale", "meaning")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="FILE", help="an ONNX file of your own")
    add_to_parser(parser, [flag for flag in MODEL_FLAGS if flag != "--model"])


def run(arguments: argparse.Namespace) -> int:
    """Read the model, run it once, and print what was found."""
    own = read_model(arguments.model, model_settings(arguments))
    interface = own.weights.interface
    with DepthPipeline.open("onnx", config=PipelineConfig("onnx", weights=own.weights)) as pipeline:
        height, width = pipeline.infer(np.zeros(interface.shape(1), interface.dtype)).shape[1:]
    print("\n".join(_lines(own, height, width)))
    return 0


def _lines(own: OwnModel, height: int, width: int) -> list[str]:
    weights, path = own.weights, Path(own.weights.path or "")
    files = [path, *(path.parent / name for name in weights.external)]
    size_mb = sum(file.stat().st_size for file in files) / 1e6
    count = parameters(list(tensors(own.model)))
    opset = next((one.version for one in own.model.opset_import if one.domain in ("", "ai.onnx")), "unknown")
    flop, unknown = model_flop(weights)
    values = own.settings()
    assumed = [name for name in SHOWN if own.origins[name] == ASSUMED]
    in_files = f" in {len(files)} files" if len(files) > 1 else ""
    lines = [
        f"{printable(path.name)}: opset {opset}, {size_mb:.3g} MB{in_files}, SHA-256 {weights.sha256[:8]}",
        f"  {'parameters':<12}{count:,}",
        f"  {'operations':<12}{flop / 1e9:.3g} GFLOP for one photo"
        + (f", without {unknown} operators of unknown shape" if unknown else ""),
        f"  {'input':<12}{printable(own.input.name)}: {described(own.input)}, {weights.interface.layout}",
        f"  {'output':<12}{printable(own.output.name)}: {described(own.output)}, a map of {height}x{width}",
        *(f"  {name:<12}{values[name]}  ({printable(own.origins[name])})" for name in SHOWN),
    ]
    if assumed:
        flags = " ".join(f"{FLAGS[name]} {values[name]}" for name in assumed)
        kept = "; ".join(f'{name} = "{values[name]}"' for name in assumed)
        lines += [
            f"assumed: {', '.join(assumed)}; correct this line where the model was made otherwise, and give it:",
            f"  {flags}",
            f"or keep it in {printable(path.with_suffix('.toml').name)}, a line for each: {kept}",
        ]
    return lines
