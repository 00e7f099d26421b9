"""Which backends there are, and how one is opened."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from midas_bench import cpu
from midas_bench.depth.artifacts import KINDS, Artifact, artifact, is_cached
from midas_bench.depth.backends.base import Backend, Build
from midas_bench.depth.backends.validation import load_validated
from midas_bench.depth.torch_extra import EXTRA
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError, missing_libraries


@dataclass(frozen=True)
class Row:
    """One backend.

    Attributes:
        name: how users call it.
        module: dotted name; it has a function `load(build) -> Backend`.
        variant: what `module` shall load.
        libraries: import names of what it needs, looked up without importing them.
        exact: whether its depth must agree with eager's within rounding (`MAX_RELATIVE_ERROR`); if not, its precision
            is reduced, and its fidelity is measured and, with official weights, judged (`MIN_RANK_CORRELATION`).
        artifact: the kind of graph it loads, or None where it builds the network itself.
        extra: of this distribution, that installs the libraries; empty where they always are.
        cpu_flags: any one of them makes it worth running; empty where every CPU does.
        compiles: whether it needs a C++ compiler and Python's headers.
        wheels: the machines, as Python names them, that Linux wheels of its libraries are for; empty where all are.
    """

    name: str
    module: str
    variant: str
    libraries: tuple[str, ...]
    exact: bool = True
    artifact: str | None = None
    extra: str = ""
    cpu_flags: frozenset[str] = frozenset()
    compiles: bool = False
    wheels: frozenset[str] = frozenset()

    @property
    def precision(self) -> str:
        """What most of its products are computed in, which its name says: f32, bf16, fp16 or int8."""
        return next((precision for precision in ("bf16", "fp16", "int8") if self.name.endswith(f"-{precision}")), "f32")

    @property
    def calibrated(self) -> bool:
        """Whether its graph is fitted on photos."""
        return self.artifact is not None and KINDS[self.artifact].calibrated

    @property
    def deployed(self) -> bool:
        """Whether it runs a graph of the network as `optimize.deployed` gives it, in another runtime than PyTorch."""
        return self.artifact not in (None, "jit")

    @property
    def reads_onnx(self) -> bool:
        """Whether it runs a user's own ONNX model, as it is, quantised or converted."""
        return self.artifact is not None and "onnx" in (self.artifact, KINDS[self.artifact].base)


MODULES = "midas_bench.depth.backends."
EAGER, SCRIPT, COMPILE = MODULES + "torch_eager", MODULES + "torchscript", MODULES + "torch_compile"
ORT, OPENVINO = MODULES + "onnx_runtime", MODULES + "openvino"
OPENCV, NCNN, MNN = MODULES + "opencv_dnn", MODULES + "ncnn_net", MODULES + "mnn_session"
LITERT = MODULES + "litert_interpreter"
TORCH, OV, PNNX, TFLITE = ("torch", "timm"), ("openvino",), ("ncnn", "pnnx"), ("ai_edge_litert", "litert_torch")
X86 = frozenset({"x86_64"})

ROWS = (
    Row("eager", EAGER, "fp32", TORCH, extra=EXTRA),
    Row("jit", SCRIPT, "trace", TORCH, artifact="jit", extra=EXTRA),
    Row("onnx", ORT, "onnx", ("onnxruntime",), artifact="onnx"),
    Row("jit-frozen", SCRIPT, "frozen", TORCH, artifact="jit", extra=EXTRA),
    Row("compile", COMPILE, "inductor", TORCH, compiles=True, extra=EXTRA),
    Row("eager-bf16", EAGER, "bf16", TORCH, exact=False, cpu_flags=cpu.BF16, extra=EXTRA),
    Row("onnx-int8", ORT, "onnx-int8", ("onnxruntime",), exact=False, artifact="onnx-int8"),
    Row("openvino", OPENVINO, "f32", OV, artifact="onnx", extra="openvino"),
    Row("openvino-bf16", OPENVINO, "bf16", OV, exact=False, artifact="onnx", extra="openvino", cpu_flags=cpu.BF16),
    Row("openvino-int8", OPENVINO, "int8", (*OV, "nncf"), exact=False, artifact="openvino-int8", extra="int8"),
    Row("opencv", OPENCV, "f32", ("cv2",), artifact="opencv"),
    Row("ncnn", NCNN, "f32", PNNX, artifact="ncnn", extra="ncnn"),
    Row("ncnn-bf16", NCNN, "bf16", PNNX, exact=False, artifact="ncnn", extra="ncnn", cpu_flags=cpu.BF16),
    Row("ncnn-fp16", NCNN, "fp16", PNNX, exact=False, artifact="ncnn", extra="ncnn", cpu_flags=cpu.FP16),
    Row("mnn", MNN, "f32", ("MNN",), artifact="mnn", extra="mnn"),
    Row("mnn-fp16", MNN, "fp16", ("MNN",), exact=False, artifact="mnn", extra="mnn", cpu_flags=cpu.FP16),
    Row("litert", LITERT, "litert", TFLITE, artifact="litert", extra="litert", wheels=X86),
    Row("litert-int8", LITERT, "litert-int8", TFLITE, exact=False, artifact="litert-int8", extra="litert", wheels=X86),
)
REGISTRY = {row.name: row for row in ROWS}
DEFAULT = ("eager", "jit", "onnx")
"""What is measured where nobody chooses: each is exact, and needs nothing but PyTorch and the dependencies."""

MAX_RELATIVE_ERROR = 1e-3
"""Of the depth range: far above what reordering fp32 sums does (1e-5 seen), far below what shows in a heat map."""

MIN_RANK_CORRELATION = 0.99
"""Spearman's, of a photo's depth with eager's: what reduced precision must keep on official weights."""


def select(names: Iterable[str], own_model: bool = False) -> tuple[str, ...]:
    """Check names of backends and keep each once, in the order given.

    `all` takes every one present, and for a user's own model those that can run it.

    Raises:
        UserError: a name is unknown, or the backend cannot run here.
    """
    chosen: dict[str, None] = {}
    for name in names:
        if name == "all":
            able = [row for row in ROWS if row.reads_onnx or not own_model]
            chosen |= dict.fromkeys(row.name for row in able if missing(row) is None)
            continue
        reason = missing(find(name))
        if reason:
            raise reason
        chosen[name] = None
    return tuple(chosen)


def find(name: str) -> Row:
    """Return a backend's row.

    Raises:
        UserError: there is none of that name.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise UserError(f"backend {name!r}", "is unknown", f"choose from {', '.join(REGISTRY)}") from None


def missing(row: Row) -> UserError | None:
    """Return why a backend cannot run here and what to do about it, or None."""
    thing = f"backend {row.name}"
    if not suits_cpu(row):
        return UserError(thing, f"needs a CPU with {' or '.join(sorted(row.cpu_flags))}", "leave the backend out")
    next_step = f"pip install 'midas-bench[{row.extra}]'" if row.extra else "install it"
    # the extra leaves them out there
    if row.wheels and sys.platform == "linux" and platform.machine() not in row.wheels:
        next_step = f"leave the backend out, for they have no wheel for {platform.machine()}"
    absent = missing_libraries(thing, row.libraries, next_step)
    if absent:
        return absent
    if row.compiles and not _compiler():
        return UserError(thing, "needs a C++ compiler, and none is found", "install g++, or name yours in CXX")
    if row.compiles and not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        return UserError(thing, "needs Python's headers, and Python.h is not found", "install python3-dev")
    return None


def suits_cpu(row: Row) -> bool:
    """Tell whether this CPU has what the backend is for."""
    return not row.cpu_flags or bool(row.cpu_flags & cpu.flags())


def _compiler() -> str | None:
    """Find the compiler that inductor would take: CXX, else g++."""
    return shutil.which(os.environ.get("CXX") or "g++")


def check_runs(name: str, weights: Weights) -> None:
    """Refuse a user's own ONNX model to a backend that builds the network itself.

    Raises:
        UserError: that is so.
    """
    if weights.source == "model" and not find(name).reads_onnx:
        able = ", ".join(row.name for row in REGISTRY.values() if row.reads_onnx)
        raise UserError(f"backend {name}", "cannot run an ONNX model", f"choose from {able} for --model")


def is_prepared(name: str, weights: Weights, cache_dir: Path, calibration: Sequence[str] = ()) -> bool:
    """Tell whether `prepare` has nothing to make."""
    kind = find(name).artifact
    return kind is None or is_cached(kind, weights, cache_dir, calibration)


def prepare(name: str, weights: Weights, cache_dir: Path, calibration: Sequence[str] = ()) -> Artifact | None:
    """Make the backend's graph unless the cache has it: done once, and apart from loading it.

    Raises:
        UserError: the cache cannot be written, the weights do not fit, there are no photos to calibrate on, or making
            it failed.
    """
    check_runs(name, weights)
    kind = find(name).artifact
    return artifact(kind, weights, cache_dir, calibration) if kind else None


def load(name: str, weights: Weights, threads: int, cache_dir: Path, calibration: Sequence[str] = ()) -> Backend:
    """Import the backend's module and load the network into it.

    Raises:
        UserError: the backend is unknown or missing, its artifact cannot be made, or a user's own model does not do
            what it declares.
    """
    row = find(select([name])[0])
    check_runs(name, weights)
    build = Build(row.variant, weights, threads, cache_dir, tuple(calibration))
    opened: Callable[[], Backend] = partial(runtime(name).load, build)
    return load_validated(opened, weights) if weights.source == "model" else opened()


def runtime(name: str) -> Any:
    """Import the backend's module, and its runtime with it, without loading a network.

    Raises:
        UserError: the backend is unknown.
    """
    return importlib.import_module(find(name).module)
