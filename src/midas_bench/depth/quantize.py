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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midas_bench import cpu
from midas_bench.depth.stations import stations
from midas_bench.processes import Reply, answer

IR_XML, IR_BIN = "model.xml", "model.bin"
"""The two files of OpenVINO's own format, kept in one."""


def inputs(photos: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    """Yield the network's input for each photo, float32 (1, 3, 256, 256), as the fast recipe makes it."""
    at = stations("fast")
    for path in photos:
        yield at.preprocess([at.picture(path)])


def for_onnx_runtime(source: Path, target: Path, photos: Sequence[str]) -> None:
    """Quantise statically: QDQ form, a scale for each output channel, 8-bit activations."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    del session

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = inputs(photos)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self._left, None)
            return None if batch is None else {given.name: batch}

    x86 = platform.machine() in ("x86_64", "AMD64")
    quantize_static(
        str(source),
        str(target),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        # x86 multiplies unsigned by signed; without VNNI such sums saturate unless the weights keep to 7 bits
        activation_type=QuantType.QUInt8 if x86 else QuantType.QInt8,
        weight_type=QuantType.QInt8,
        reduce_range=x86 and not cpu.flags() & cpu.VNNI,
    )


def for_openvino(source: Path, target: Path, photos: Sequence[str]) -> None:
    """Quantise with NNCF and keep OpenVINO's two files in one archive."""
    import nncf
    import openvino

    model = openvino.Core().read_model(source)
    dataset: Any = nncf.Dataset(list(inputs(photos)))
    quantised = nncf.quantize(model, dataset, subset_size=len(photos))
    with tempfile.TemporaryDirectory(prefix="midas-bench-") as folder:
        xml = Path(folder) / IR_XML
        openvino.save_model(quantised, xml, compress_to_fp16=False)
        with zipfile.ZipFile(target, "w") as archive:
            for name in (IR_XML, IR_BIN):
                archive.write(Path(folder) / name, name)


MAKERS = {"onnx-int8": for_onnx_runtime, "openvino-int8": for_openvino}


def build(request: Reply) -> Reply:
    """Make one artifact: `kind`, the ONNX graph `source`, `photos` to calibrate on, and the `path` to write."""
    MAKERS[request["kind"]](Path(request["source"]), Path(request["path"]), request["photos"])
    return {}


if __name__ == "__main__":
    sys.exit(answer(build))
