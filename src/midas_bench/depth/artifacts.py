"""What graph.py, convert.py, quantize.py and quantize_litert.py make, in the user's cache.

It is keyed, locked, written atomically, and checked when it is taken out.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from midas_bench import cpu
from midas_bench.depth.fitting_size import advice_on_size
from midas_bench.depth.graph_paths import without_links
from midas_bench.depth.refusals import advice_on
from midas_bench.depth.torch_extra import require_torch
from midas_bench.depth.weights import Weights, sha256_with
from midas_bench.errors import UserError
from midas_bench.files import locked, remove_left_behind, sha256_of, sources_sha256, write_whole, written_atomically
from midas_bench.processes import ProcessDiedError, ask

LIBRARIES = (
    "torch", "torchvision", "timm", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf", "opencv-python-headless",
    "simplejpeg", "pillow", "pillow_heif", "numpy",
)  # fmt: skip
"""All whose version may decide what is computed, or what a graph holds."""


@dataclass(frozen=True)
class Kind:
    """One kind of artifact.

    Attributes:
        suffix: of its file.
        maker: the module that makes it, run as a process of its own.
        base: the kind that it is made from; None where it is made from the weights.
        calibrated: whether it is fitted on photos.
        libraries: distributions whose version decides what it holds, beside `LIBRARIES`.
    """

    suffix: str
    maker: str = "midas_bench.depth.graph"
    base: str | None = None
    calibrated: bool = False
    libraries: tuple[str, ...] = ()


QUANTIZE, CONVERT = "midas_bench.depth.quantize", "midas_bench.depth.convert"
LITERT = ("litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert")
"""The converter, its compiler, the quantiser, and the interpreter that the result is compared with."""

KINDS = {
    "checkpoint": Kind(".pt"),
    "jit": Kind(".pt"),
    "onnx": Kind(".onnx"),
    "onnx-plain": Kind(".onnx"),
    "onnx-int8": Kind(".onnx", QUANTIZE, "onnx", calibrated=True),
    "openvino-int8": Kind(".zip", QUANTIZE, "onnx", calibrated=True),
    "opencv": Kind(".onnx", CONVERT, "onnx"),
    "ncnn": Kind(".zip", CONVERT, "onnx", libraries=("ncnn", "pnnx")),
    "mnn": Kind(".mnn", CONVERT, "onnx", libraries=("mnn",)),
    "litert": Kind(".tflite", libraries=LITERT),
    "litert-int8": Kind(".tflite", "midas_bench.depth.quantize_litert", "litert", calibrated=True, libraries=LITERT),
}

BUILD_TIMEOUT_S = 600.0
NEEDED_BYTES = 100_000_000
"""The largest artifact, with some room."""


@dataclass(frozen=True)
class Artifact:
    """A graph on disk.

    Attributes:
        path: the file a runtime loads.
        sha256: of its bytes.
        build_s: how long the process that made it took.
        built_now: whether this call had to make it.
    """

    path: Path
    sha256: str
    build_s: float
    built_now: bool


def source_digest() -> str:
    """Return a SHA-256 over the text of everything in `depth`, so that any edit of it makes a new key.

    A list of the modules that matter would have to be kept by hand, and a module that it lacks gives stale results.
    """
    return sources_sha256(Path(__file__).parent)


@cache
def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return installed versions, without importing the libraries; what is not installed is left out."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def key(kind: str, weights: Weights, calibration: Sequence[str] = ()) -> str:
    """Identify an artifact by everything that decides its content: 16 hexadecimal digits.

    Raises:
        UserError: a photo to calibrate on cannot be read.
    """
    row = KINDS[kind]
    parts: dict[str, object] = {
        "kind": kind,
        "weights": weights.fingerprint,
        "libraries": library_versions(LIBRARIES + row.libraries),
        # the export options stand in the sources, whose text is part of the digest
        "sources": source_digest(),
    }
    if row.base:
        parts["base"] = key(row.base, weights)
    if row.calibrated:
        parts |= {
            "photos": sorted(map(_photo_sha256, calibration)),
            "vnni": bool(cpu.flags() & cpu.VNNI),
            # 8-bit activations are signed on ARM, and unsigned on x86
            "machine": platform.machine(),
        }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _photo_sha256(path: str) -> str:
    try:
        return sha256_of(Path(path))
    except OSError as error:
        raise UserError(path, f"cannot be read to calibrate on ({error.strerror})", "restore it") from error


def is_cached(kind: str, weights: Weights, cache_dir: Path, calibration: Sequence[str] = ()) -> bool:
    """Tell whether `artifact` would find it, damage aside."""
    if _is_users_own(kind, weights):
        return True
    return _path(kind, weights, cache_dir, calibration).with_suffix(".json").is_file()


def artifact(kind: str, weights: Weights, cache_dir: Path, calibration: Sequence[str] = ()) -> Artifact:
    """Return the artifact from the cache, made first if it is missing or damaged.

    Safe against processes that ask for the same one at once: the first makes it, the others wait.

    Args:
        kind: of `KINDS`.
        weights: resolved; the user's own model stands for its ONNX graph itself.
        cache_dir: where it is kept.
        calibration: paths of the photos that an int8 graph is calibrated on.

    Raises:
        UserError: the cache cannot be written, the weights do not fit, there are no photos to calibrate on, or making
            it failed.
    """
    if _is_users_own(kind, weights):
        return _users_own(weights)
    if KINDS[kind].calibrated and not calibration:
        raise UserError(
            f"the {kind} graph",
            "is calibrated on photos, and none are given",
            "name some as calibration=",
        )
    path = _path(kind, weights, cache_dir, calibration)
    cached = _sound(path)
    if cached:
        return cached
    base = artifact(KINDS[kind].base or "", weights, cache_dir) if KINDS[kind].base else None
    with locked(path.with_suffix(".lock")):
        return _sound(path) or _build(kind, weights, path, base, calibration)


def _is_users_own(kind: str, weights: Weights) -> bool:
    return kind == "onnx" and weights.source == "model"


def _users_own(weights: Weights) -> Artifact:
    path = Path(weights.path or "")
    try:
        same = path.is_file() and sha256_with(path, weights.external) == weights.sha256
    except OSError:
        same = False
    if not same:
        raise UserError(path, "has changed or gone since it was checked", "start again with one that stays")
    return Artifact(path, weights.sha256, 0.0, built_now=False)


def _path(kind: str, weights: Weights, cache_dir: Path, calibration: Sequence[str]) -> Path:
    name = f"midas_small-{kind}-{key(kind, weights, calibration)}{KINDS[kind].suffix}"
    return cache_dir / "artifacts" / name


def _sound(path: Path) -> Artifact | None:
    """Return the artifact if its bytes are those that were written."""
    try:
        note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if sha256_of(path) == note["sha256"]:
            return Artifact(path, note["sha256"], float(note["build_s"]), built_now=False)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _build(kind: str, weights: Weights, path: Path, base: Artifact | None, calibration: Sequence[str]) -> Artifact:
    """Make the artifact; the caller holds its lock."""
    remove_left_behind(path)
    with written_atomically(path) as temporary:
        start_s = time.perf_counter()
        if base is None:
            _run_graph(kind, weights, temporary)
        else:
            own = weights if weights.source == "model" else None
            request: dict[str, object] = {"interface": asdict(weights.interface)}
            if KINDS[kind].calibrated:
                request["photos"] = list(calibration)
            with without_links(base.path, weights.external) as source:
                _ask(kind, request | {"source": str(source)}, temporary, own)
        build_s = time.perf_counter() - start_s + (base.build_s if base else 0.0)
        artifact = Artifact(path, sha256_of(temporary), build_s, built_now=True)
    write_whole(path.with_suffix(".json"), json.dumps({"sha256": artifact.sha256, "build_s": build_s}).encode())
    return artifact


def _run_graph(kind: str, weights: Weights, path: Path) -> None:
    require_torch(f"the {kind} graph")
    _ask(kind, {"weights": weights.to_json()}, path)


def _ask(kind: str, request: dict[str, object], path: Path, own: Weights | None = None) -> None:
    """Have an artifact made; `own` is the user's own model that it is made from, if it is."""
    try:
        ask(KINDS[kind].maker, request | {"kind": kind, "path": str(path)}, BUILD_TIMEOUT_S)
    except ProcessDiedError as error:
        # the exporters wrap what the system said, so the free space is asked for
        if shutil.disk_usage(path.parent).free < NEEDED_BYTES:
            raise UserError(
                path.parent, "has no space left for the graph", "free some space or move the cache"
            ) from error
        if own:
            as_it_is = "choose a backend that runs it as it is, such as onnx"
            advice = error.next_step or advice_on(str(error)) or advice_on_size(own) or as_it_is
            raise UserError(own.path, f"cannot be made into {kind} ({error})", advice) from error
        advice = error.next_step or "compare the versions that `midas-bench doctor` lists with those of pyproject.toml"
        raise UserError(f"the {kind} graph", f"could not be made ({error})", advice) from error
