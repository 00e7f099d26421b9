"""A user's own exported network: an ONNX file, found and checked, without a runtime."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from midas_bench.depth.graph_paths import is_readable
from midas_bench.depth.interface import MIDAS, NetworkInterface
from midas_bench.depth.model_settings import FLAGS, PRESETS, find_settings
from midas_bench.depth.weights import Weights, sha256_with
from midas_bench.errors import UserError
from midas_bench.files import expanded

FLOAT, FLOAT16, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8
INPUT_TYPES: dict[int, str] = {FLOAT: "float32", FLOAT16: "float16", UINT8: "uint8"}
OUTPUT_TYPES = (FLOAT, FLOAT16, onnx.TensorProto.DOUBLE)

BRING = (
    "keep the model and its weights in one folder, or save it as one file: onnx.save(onnx.load(FILE), 'single.onnx')"
)
ASSUMED = "assumed"
"""The origin of what neither the graph nor the user said."""

EXPORT_INPUT = "export it from float32, float16 or uint8 of (N or 1, 3, H, W) or (N or 1, H, W, 3)"
EXPORT_OUTPUT = "export it to depth of (N, H, W), (N, 1, H, W) or (N, H, W, 1)"


@dataclass(frozen=True)
class OwnModel:
    """A user's model, and how its interface was found.

    Attributes:
        weights: what stands for it among weights.
        model: the graph.
        input: of the graph; weights that older exporters list beside it are left out.
        output: the one that holds depth.
        origins: by setting, where its value is from.
    """

    weights: Weights
    model: onnx.ModelProto
    input: onnx.ValueInfoProto
    output: onnx.ValueInfoProto
    origins: Mapping[str, str]

    def settings(self) -> dict[str, str]:
        """Return the settings that hold, as flags and TOML files have them."""
        interface = self.weights.interface
        return {
            "size": interface.size,
            "mean": ",".join(f"{number:g}" for number in interface.mean),
            "std": ",".join(f"{number:g}" for number in interface.std),
            "scale": f"{interface.scale:g}",
            "meaning": interface.meaning,
        }


def own_model(name: str, settings: Iterable[tuple[str, str]] = ()) -> Weights:
    """Return what stands for the model among weights: its path, its hash and its interface.

    Raises:
        UserError: as `read_model`.
    """
    return read_model(name, settings).weights


def read_model(name: str, settings: Iterable[tuple[str, str]] = ()) -> OwnModel:
    """Read a model and find its interface; `settings` are those of flags, and win over those of the model.

    Raises:
        UserError: there is no such file, it is no ONNX model, its weights are not in its folder, its input or output is
            not one that is taken, or a setting contradicts it.
    """
    path = expanded(name)
    try:
        # a pipe could be read only once, and the model is read again by each runtime
        if path.exists() and not path.is_file():
            raise OSError(None, "it is no file of its own")
        data = path.read_bytes()
        # not onnx.load, which takes a file for text where its name ends like one
        model = onnx.load_model_from_string(data)
    except OSError as error:
        raise UserError(name, f"cannot be read ({error.strerror})", "give the path of an ONNX file") from error
    # protobuf's reader raises whatever it stumbles over
    except Exception as error:
        raise UserError(name, "is damaged or not an ONNX model", "copy or export it again") from error
    if not model.ir_version:
        raise UserError(name, "is empty or not an ONNX model", "copy or export it again")
    external = _external(name, path, model)
    values, origins = find_settings(path, ((entry.key, entry.value) for entry in model.metadata_props), settings)
    given, returned = _input(name, model.graph), _output(name, model.graph, values.get("output"))
    interface = _interface(name, given, values, origins)
    if len(model.graph.output) > 1:
        interface = replace(interface, output=returned.name)
    try:
        sha256 = sha256_with(path, external)
    except OSError as error:
        raise UserError(name, f"keeps weights in a file that cannot be read ({error.strerror})", BRING) from error
    # it keeps its name, which may be a link: runtimes look for weights in its folder
    weights = Weights("model", sha256, str(path.absolute()), interface, external)
    return OwnModel(weights, model, given, returned, origins)


def _external(name: str, path: Path, model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the names of the further files that hold the model's weights, as the model has them.

    The hash covers these files as a whole, so that all that is run is in it.

    Raises:
        UserError: one is not in the model's folder, where alone runtimes read, or the model's own name keeps a runtime
            from opening it by its path.
    """
    outside = [t for t in tensors(model) if t.external_data or t.data_location == onnx.TensorProto.EXTERNAL]
    locations = {next((e.value for e in t.external_data if e.key == "location"), "") for t in outside}
    # links are followed, as ONNX Runtime does: from the model's folder, or from where the model itself is linked to
    folders = {path.parent.resolve(), path.resolve().parent}
    for location in sorted(locations):
        target = (path.parent / location).resolve()
        if not location or Path(location).is_absolute() or not any(map(target.is_relative_to, folders)):
            raise UserError(name, f"keeps weights outside of its folder ({location or 'no file is named'})", BRING)
        if not target.is_file():
            raise UserError(name, f"keeps weights in {location}, and its folder has no such file", BRING)
    if locations and not is_readable(path.absolute(), ".onnx"):
        reason = "keeps weights in another file, which runtimes find only beside a plain name that ends in .onnx"
        raise UserError(name, reason, "rename it, and its folders where they are no UTF-8")
    return tuple(sorted(locations))


def tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Yield every tensor in a message, wherever the format has room for one: attributes, branches, functions, ..."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from tensors(part)


def _input(name: str, graph: Any) -> Any:
    """Return the graph's input of one picture.

    Raises:
        UserError: it has several, or one of another shape or type.
    """
    # older exporters list the weights among the inputs too
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise UserError(name, f"has {len(inputs)} inputs where one is expected", EXPORT_INPUT)
    sizes = shape_of(inputs[0])
    fits = len(sizes) == 4 and sizes[0] in (None, 1)
    # a free number of channels may be three
    if not fits or not {3, None} & {sizes[1], sizes[3]} or inputs[0].type.tensor_type.elem_type not in INPUT_TYPES:
        raise UserError(name, f"has an input of {described(inputs[0])}", EXPORT_INPUT)
    return inputs[0]


def _output(name: str, graph: Any, wanted: str | None) -> Any:
    """Return the graph's output of that name, or its only one.

    Raises:
        UserError: there is none of that name, or several without one, or it is no map.
    """
    listed = ", ".join(f"{value.name} of {described(value)}" for value in graph.output)
    if wanted is not None and wanted not in [value.name for value in graph.output]:
        raise UserError(name, f"has no output {wanted}", f"choose {FLAGS['output']} from {listed}")
    if wanted is None and len(graph.output) != 1:
        advice = f"name that of depth by {FLAGS['output']}" if graph.output else EXPORT_OUTPUT
        raise UserError(name, f"has {len(graph.output)} outputs{f': {listed}' if listed else ''}", advice)
    [output] = [value for value in graph.output if wanted in (None, value.name)]
    sizes = shape_of(output)
    fits = len(sizes) in (3, 4) and sizes[0] in (None, 1)
    if fits and len(sizes) == 4:
        fits = bool({1, None} & {sizes[1], sizes[3]})
    if not fits or output.type.tensor_type.elem_type not in OUTPUT_TYPES:
        advice = f"{EXPORT_OUTPUT}, or choose {FLAGS['output']}" if len(graph.output) > 1 else EXPORT_OUTPUT
        raise UserError(name, f"has an output of {described(output)}", advice)
    return output


def _interface(
    name: str, given: onnx.ValueInfoProto, values: Mapping[str, Any], origins: dict[str, str]
) -> NetworkInterface:
    """Put together what the graph says and what the settings say; `origins` hears of what nobody said.

    Raises:
        UserError: they contradict each other.
    """
    sizes = shape_of(given)
    layout = "NHWC" if sizes[3] == 3 and sizes[1] != 3 else "NCHW"
    sides = sizes[2:] if layout == "NCHW" else sizes[1:3]
    asked = values.get("size", (MIDAS.height, MIDAS.width))
    height, width = (fixed or free for fixed, free in zip(sides, asked, strict=True))
    if "size" in values and (height, width) != asked:
        reason = f"has an input of {described(given)}, and {origins['size']} says {asked[0]}x{asked[1]}"
        raise UserError(name, reason, "leave the size out, or export it with free sizes")
    if None not in sides:
        origins["size"] = "the graph"
    dtype = INPUT_TYPES[given.type.tensor_type.elem_type]
    usual = PRESETS["raw" if dtype == "uint8" else "midas"]
    chosen = {key: values.get(key, usual[key]) for key in ("mean", "std", "scale")}
    if dtype == "uint8" and chosen != {key: usual[key] for key in chosen}:
        wrong = next(origins[key] for key in ("preset", *chosen) if key in origins)
        raise UserError(name, f"takes uint8, which is not normalised, and {wrong} says otherwise", "leave it out")
    if dtype == "uint8":
        origins |= dict.fromkeys(chosen, "the graph")
    for key in ("size", *chosen, "meaning"):
        origins.setdefault(key, ASSUMED)
    return NetworkInterface(
        height=height,
        width=width,
        layout=layout,
        dtype=dtype,
        meaning=values.get("meaning", MIDAS.meaning),
        **chosen,
    )


def shape_of(value: onnx.ValueInfoProto) -> list[int | None]:
    """Return the sizes that a graph declares, None for each that is free; none at all where it declares no rank."""
    # some exporters write -1 for what is free
    return [size.dim_value if size.dim_value > 0 else None for size in value.type.tensor_type.shape.dim]


def described(value: onnx.ValueInfoProto) -> str:
    """Return type and shape of an input or output, as `float (N, 3, 256, 256)`."""
    kinds = onnx.TensorProto.DataType
    kind = value.type.tensor_type.elem_type
    named = kinds.Name(kind).lower() if kind in kinds.values() else "an unknown type"
    if not value.type.tensor_type.HasField("shape"):
        return f"{named} of any rank"
    return f"{named} ({_named(shape_of(value))})"


def _named(sizes: Sequence[int | None]) -> str:
    return ", ".join(("N" if place == 0 else "free") if size is None else str(size) for place, size in enumerate(sizes))
