"""LiteRT's graph -> its int8 form, calibrated on photos, by LiteRT's own quantiser.

Run as a process of its own (`python -m midas_bench.depth.quantize_litert`): calibrating keeps every tensor of the
network. `artifacts.py` is its only caller.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils.qsv_utils import min_max_update

from midas_bench.cpu import allowed_cores
from midas_bench.depth.backends.litert_interpreter import LiteRtBackend
from midas_bench.depth.interface import NetworkInterface
from midas_bench.depth.quantize import inputs, require_finite
from midas_bench.processes import Reply, answer


def quantise(source: Path, target: Path, photos: Sequence[str], interface: NetworkInterface) -> None:
    """Quantise statically: per-channel scales, 8-bit activations; input and output stay float32."""
    content = source.read_bytes()
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        recipe.add_quantization_config(".*", end, algorithm_key="no_quantize")
    [(name, sides)] = Interpreter(model_content=content).get_signature_list().items()
    [given] = sides["inputs"]
    # by default each further photo would count a twentieth, and the first one most
    ranges = calibrator.Calibrator(content, allowed_cores(), qsv_update_func=min_max_update)
    ranges.calibrate({name: [{given: batch} for batch in inputs(photos, interface)]}, recipe)
    ours = quantizer.Quantizer(content, recipe.get_quantization_recipe())
    target.write_bytes(ours.quantize(ranges.get_model_qsvs()).quantized_model)
    require_finite(LiteRtBackend(target, 1, interface)(next(inputs(photos, interface))))


def build(request: Reply) -> Reply:
    """Make one artifact: LiteRT's graph `source`, `photos` to calibrate on, `interface`, `path` to write."""
    interface = NetworkInterface(**request["interface"])
    quantise(Path(request["source"]), Path(request["path"]), request["photos"], interface)
    return {}


if __name__ == "__main__":
    sys.exit(answer(build))
