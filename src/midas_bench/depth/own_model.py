"""A user's own exported network: an ONNX file, found and checked, without a runtime."""

from __future__ import annotations

import onnx

from midas_bench.depth.backends.trial import ADVICE
from midas_bench.depth.preprocess import INPUT_SIZE
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError
from midas_bench.files import expanded, sha256_of


def own_model(name: str) -> Weights:
    """Return what stands for the model among weights: its path and its hash.

    Raises:
        UserError: there is no such file, it is no ONNX model in one file, or its input or output has another shape.
    """
    path = expanded(name)
    try:
        sha256 = sha256_of(path)
        graph = onnx.load(path, load_external_data=False).graph
    except OSError as error:
        raise UserError(name, f"cannot be read ({error.strerror})", "give the path of an ONNX file") from error
    except Exception as error:  # protobuf's reader raises whatever it stumbles over
        raise UserError(name, "is damaged or not an ONNX model", ADVICE) from error
    if any(tensor.external_data for tensor in graph.initializer):
        raise UserError(name, "keeps its weights in another file", "export it to a single one")
    weights = {tensor.name for tensor in graph.initializer}  # older exporters list them among the inputs too
    image = (3, INPUT_SIZE, INPUT_SIZE)
    _check(name, "input", [value for value in graph.input if value.name not in weights], image)
    _check(name, "output", list(graph.output), image[1:])
    return Weights("model", sha256, str(path.resolve()))


def _check(name: str, what: str, values: list[onnx.ValueInfoProto], expected: tuple[int, ...]) -> None:
    if len(values) != 1:
        raise UserError(name, f"has {len(values)} {what}s where one is expected", ADVICE)
    tensor = values[0].type.tensor_type
    shape = [size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim]
    # a free size (None) may take what it must; a batch is free or 1
    fits = len(shape) == 1 + len(expected) and shape[0] in (None, 1)
    fits = fits and all(size in (None, right) for size, right in zip(shape[1:], expected, strict=True))
    if not fits or tensor.elem_type != onnx.TensorProto.FLOAT:
        said = ", ".join("N" if size is None else str(size) for size in shape)
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise UserError(name, f"has an {what} of {kind} ({said})", ADVICE)
