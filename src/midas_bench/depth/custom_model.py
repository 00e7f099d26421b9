"""A user's own exported network: an ONNX file, found and checked, without a runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import onnx

from midas_bench.depth.backends.validation import ADVICE
from midas_bench.depth.preprocess import INPUT_SIZE
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError
from midas_bench.files import expanded


def own_model(name: str) -> Weights:
    """Return what stands for the model among weights: its path and its hash.

    Raises:
        UserError: there is no such file, it is no ONNX model in one file, or its input or output has another shape.
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
    # the hash is of this file alone, so all that is run must be in it
    if any(tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)):
        advice = "export it to a single one, or save it as one: onnx.save(onnx.load(FILE), 'single.onnx')"
        raise UserError(name, "keeps its weights in another file", advice)
    graph = model.graph
    # older exporters list the weights among the inputs too
    weights = {tensor.name for tensor in graph.initializer}
    image = (3, INPUT_SIZE, INPUT_SIZE)
    _check(name, "input", [value for value in graph.input if value.name not in weights], image)
    _check(name, "output", list(graph.output), image[1:])
    return Weights("model", hashlib.sha256(data).hexdigest(), str(path.resolve()))


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Yield every tensor in a message, wherever the format has room for one: attributes, branches, functions, ..."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(part)


def _check(name: str, what: str, values: list[onnx.ValueInfoProto], expected: tuple[int, ...]) -> None:
    if len(values) != 1:
        raise UserError(name, f"has {len(values)} {what}s where one is expected", ADVICE)
    tensor = values[0].type.tensor_type
    shape = [size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim]
    # a free size (None) may take what it must; a batch is free or 1
    fits = len(shape) == 1 + len(expected) and shape[0] in (None, 1)
    fits = fits and all(size in (None, right) for size, right in zip(shape[1:], expected, strict=True))
    if not fits or tensor.elem_type != onnx.TensorProto.FLOAT:
        sizes = ", ".join("N" if size is None else str(size) for size in shape)
        kinds = onnx.TensorProto.DataType
        kind = kinds.Name(tensor.elem_type).lower() if tensor.elem_type in kinds.values() else "an unknown type"
        raise UserError(name, f"has an {what} of {kind} ({sizes})", ADVICE)
