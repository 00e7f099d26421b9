"""An ONNX graph -> its int8 form, calibrated on photos: for ONNX Runtime, or for OpenVINO by NNCF.

Run as a process of its own (`python -m midas_bench.depth.quantize`): calibrating takes memory, and NNCF may import
torch. `artifacts.py` is its only caller.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midas_bench import cpu
from midas_bench.depth.graph_paths import readable
from midas_bench.depth.interface import MIDAS, Batch, NetworkInterface
from midas_bench.depth.recipe import find_recipe
from midas_bench.errors import UserError
from midas_bench.processes import Reply, answer

# the openvino backend imports this module, and needs neither onnx nor ONNX Runtime
if TYPE_CHECKING:
    import onnx

X86 = platform.machine() in ("x86_64", "AMD64")
IR_XML, IR_BIN = "model.xml", "model.bin"
"""The two files of OpenVINO's own format, kept in one."""

LEAST_OPSET = 13
"""ONNX has per-channel scales since this opset: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html."""

FLOAT16_ERROR = 1e-2
"""Of the output's range: how far float32 may be from float16, which keeps 11 bits of each number."""

OPSET_OF_RESIZE = 11
FORMER_RESIZE = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
"""What Resize did before opset 11, by the attributes that it has since; the converter leaves out to say so."""


def inputs(photos: Sequence[str], interface: NetworkInterface = MIDAS) -> Iterator[Batch]:
    """Yield the network's input for each photo by itself, as the fast recipe makes it."""
    recipe = find_recipe("fast", interface)
    for path in photos:
        yield recipe.preprocess([recipe.picture(path)])


def _saturates() -> bool:
    """Tell whether sums of 8-bit products saturate here, unless the weights keep to 7 bits.

    x86 multiplies unsigned by signed numbers, and adds two such products in 16 bits where it has no VNNI.
    """
    return X86 and not cpu.flags() & cpu.VNNI


def for_onnx_runtime(source: Path, target: Path, photos: Sequence[str], interface: NetworkInterface = MIDAS) -> None:
    """Quantise statically: QDQ form, per-channel scales, 8-bit activations.

    Raises:
        UserError: the graph is of an opset that cannot be quantised, and cannot be converted.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    first = next(inputs(photos, interface))
    model = _quantisable(source, first)
    name = _session(model).get_inputs()[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = inputs(photos, interface)

        def get_next(self) -> dict[str, Batch] | None:
            batch = next(self._left, None)
            return None if batch is None else {name: batch}

    quantize_static(
        # not the file's name, beside which a file of its own would be written
        model,
        str(target),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8 if X86 else QuantType.QInt8,
        weight_type=QuantType.QInt8,
        reduce_range=_saturates(),
    )
    require_finite(*_outputs(onnx.load_model_from_string(target.read_bytes()), first))


def _quantisable(source: Path, batch: Batch) -> onnx.ModelProto:
    """Return the graph in float32, converted to `LEAST_OPSET` where it is of an older one.

    Raises:
        UserError: it cannot be converted, or conversion makes something else of it.
    """
    import onnx.version_converter

    model = _in_float32(source, batch)
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), LEAST_OPSET)
    if opset >= LEAST_OPSET:
        return model
    before = _outputs(model, batch)
    try:
        converted = onnx.version_converter.convert_version(model, LEAST_OPSET)
        if opset < OPSET_OF_RESIZE:
            for node in converted.graph.node:
                if node.op_type == "Resize" and not {one.name for one in node.attribute} & FORMER_RESIZE.keys():
                    node.attribute.extend(onnx.helper.make_attribute(*pair) for pair in FORMER_RESIZE.items())
        same = all(
            np.allclose(old, new, rtol=0, atol=1e-4 * np.ptp(old), equal_nan=True)
            for old, new in zip(before, _outputs(converted, batch), strict=True)
        )
    # the converter and the runtime raise types of their own
    except Exception:
        same = False
    if not same:
        reason = f"has opset {opset}, cannot be quantised below {LEAST_OPSET}, and cannot be converted"
        raise UserError(source, reason, f"export it with opset {LEAST_OPSET} or later")
    return converted


def read_graph(source: Path) -> onnx.ModelProto:
    """Return a graph with its weights inside; onnx.load would choose the format by the file's ending."""
    import onnx

    model = onnx.load_model_from_string(source.read_bytes())
    onnx.external_data_helper.load_external_data_for_model(model, str(source.parent))
    return model


def _in_float32(source: Path, batch: Batch) -> onnx.ModelProto:
    """Return the graph with float32 in place of float16, which the quantiser does not know; its input stays as it is.

    Raises:
        UserError: its output is another one then.
    """
    import onnx

    model = read_graph(source)
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    if not widened(converted):
        return model
    [given] = [value for value in model.graph.input if value.name == _session(model).get_inputs()[0].name]
    if batch.dtype == np.float16:
        [half] = [value for value in converted.graph.input if value.name == given.name]
        half.CopyFrom(given)
        half.name = f"{given.name} in float16"
        cast = onnx.helper.make_node("Cast", [half.name], [given.name], to=onnx.TensorProto.FLOAT)
        converted.graph.node.insert(0, cast)
    outputs = zip(_outputs(model, batch), _outputs(converted, batch), strict=True)
    if not all(np.abs(old - new).max() <= FLOAT16_ERROR * np.ptp(old) for old, new in outputs):
        reason = "has float16, which cannot be quantised, and its depth is another one in float32"
        raise UserError(source, reason, "export it in float32")
    return converted


def widened(message: Any) -> int:
    """Turn float16 into float32 in all tensors, types and casts of a message; return how many there were."""
    import onnx

    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    if isinstance(message, onnx.TensorProto):
        if message.data_type != half:
            return 0
        values = onnx.numpy_helper.to_array(message).astype(np.float32)
        message.CopyFrom(onnx.numpy_helper.from_array(values, message.name))
        return 1
    count = 0
    if isinstance(message, onnx.TypeProto.Tensor) and message.elem_type == half:
        message.elem_type, count = single, 1
    # of casts, and of operators that make numbers
    if isinstance(message, onnx.AttributeProto) and message.name in ("to", "dtype") and message.i == half:
        message.i, count = single, 1
    for field, value in message.ListFields():
        if field.message_type is not None:
            count += sum(widened(part) for part in ([value] if hasattr(value, "ListFields") else value))
    return count


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _outputs(model: onnx.ModelProto, batch: Batch) -> list[NDArray[Any]]:
    session = _session(model)
    outputs: list[NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: batch})
    return outputs


def require_finite(*outputs: NDArray[Any]) -> None:
    """Refuse what must not enter the cache: a graph whose depth is no number."""
    if not all(np.isfinite(output).all() for output in outputs):
        raise ValueError("the quantised graph gives NaN or infinity")


def fix_sizes(model: Any, interface: NetworkInterface) -> None:
    """Give an OpenVINO model the interface's sizes where its input leaves them free; the batch stays free."""
    batch, *sizes = model.input().partial_shape
    if any(size.is_dynamic for size in sizes):
        model.reshape([batch, *interface.shape(1)[1:]])


def for_openvino(source: Path, target: Path, photos: Sequence[str], interface: NetworkInterface = MIDAS) -> None:
    """Quantise with NNCF and keep OpenVINO's two files in one archive."""
    import nncf
    import openvino
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    core = openvino.Core()
    with readable(source, ".onnx") as name:
        model = core.read_model(name)
    fix_sizes(model, interface)
    dataset: Any = nncf.Dataset(list(inputs(photos, interface)))
    # NNCF's default keeps the first layer alone from saturating
    overflow_fix = OverflowFix.ENABLE if _saturates() else OverflowFix.FIRST_LAYER
    parameters = AdvancedQuantizationParameters(overflow_fix=overflow_fix)
    quantised = nncf.quantize(model, dataset, subset_size=len(photos), advanced_parameters=parameters)
    with tempfile.TemporaryDirectory(prefix="midas-bench-") as folder:
        xml = Path(folder) / IR_XML
        openvino.save_model(quantised, xml, compress_to_fp16=False)
        require_finite(*core.compile_model(xml, "CPU")(next(inputs(photos, interface))).values())
        with zipfile.ZipFile(target, "w") as archive:
            for part in (IR_XML, IR_BIN):
                archive.write(Path(folder) / part, part)


MAKERS = {"onnx-int8": for_onnx_runtime, "openvino-int8": for_openvino}


def build(request: Reply) -> Reply:
    """Make one artifact: `kind`, the ONNX graph `source`, `photos` to calibrate on, `interface`, `path` to write."""
    interface = NetworkInterface(**request["interface"])
    MAKERS[request["kind"]](Path(request["source"]), Path(request["path"]), request["photos"], interface)
    return {}


if __name__ == "__main__":
    sys.exit(answer(build))
