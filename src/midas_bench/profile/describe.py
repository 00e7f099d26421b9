"""What each operator of a worker's rows is: its tensor, shapes, operations and precision, as each runtime tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from midas_bench.depth.model_flop import flop
from midas_bench.profile.flop import WEIGHTS_AT, openvino_flop, precision, torch_flop
from midas_bench.profile.onnx_names import OnnxNames, read_names
from midas_bench.profile.operators import Shape

Facts = Mapping[str, Any]


def describe(rows: Facts) -> Iterator[dict[str, Any]]:
    """Yield for each operator of a worker's rows the fields of `Operator`, without those that were measured."""
    graphs = [read_names(Path(graph["source"]), Path(graph["optimized"])) for graph in rows.get("graphs", ())]
    sources = rows.get("sources", {})
    seen: Counter[str] = Counter()
    readers: dict[str, Callable[[Facts], dict[str, Any]]] = {
        "onnxruntime": lambda facts: _of_onnx_runtime(facts, graphs[facts["graph"]]),
        "openvino": lambda facts: _of_openvino(facts, sources),
        "torch": lambda facts: _of_torch(facts, seen),
    }
    for facts in rows["operators"]:
        common = {
            "kind": facts["kind"],
            "inputs": _shapes(facts["inputs"]),
            "outputs": _shapes(facts["outputs"]),
            "precision": precision(facts["types"]),
        }
        yield {**common, **readers[facts["runtime"]](facts)}


def _of_onnx_runtime(facts: Facts, names: OnnxNames) -> dict[str, Any]:
    name, kind, inputs, outputs = (facts[key] for key in ("name", "kind", "inputs", "outputs"))
    place = WEIGHTS_AT.get(kind, 1)
    weights = names.weights.get(name) or (inputs[place] if len(inputs) > place else ())
    output = list(outputs[0]) if outputs else []
    if name in names.blocked and weights and len(output) == len(weights):
        # channels that only fill up a block are no work of the model
        output[1] = min(output[1], weights[0])
    told: dict[str, Any] = {"name": name, "output": names.outputs.get(name, "")}
    told["flop"] = flop(kind, inputs[0] if inputs else (), weights, output)
    if inputs and name in names.weights:
        told["inputs"] = _shapes([inputs[0], weights])
    return told


def _of_openvino(facts: Facts, sources: Mapping[str, Facts]) -> dict[str, Any]:
    return {
        "name": facts["name"],
        # the sum with the bias is fused, and the name says that it is elsewhere
        "output": facts["name"].removesuffix("/WithoutBiases"),
        "flop": openvino_flop(facts["made_of"] or [facts["name"]], sources, facts["batch"]),
    }


def _of_torch(facts: Facts, seen: Counter[str]) -> dict[str, Any]:
    seen[facts["name"]] += 1
    return {
        "name": f"{facts['name']} {seen[facts['name']]}",
        "flop": torch_flop(facts["kind"], facts["inputs"], facts["concrete"]),
    }


def _shapes(shapes: Sequence[Sequence[int]]) -> tuple[Shape, ...]:
    return tuple(tuple(shape) for shape in shapes)
