"""What graph.py makes, kept in the user's cache: keyed, locked, atomic, and checked when it is taken out."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError
from midas_bench.files import locked, sha256_of, written_atomically
from midas_bench.processes import ProcessDiedError, ask

SUFFIXES = {"jit": ".pt", "onnx": ".onnx"}
GRAPH_SOURCES = ("graph.py", "network.py", "preprocess.py", "vision.py")
"""The modules whose text decides what the graph computes."""
GRAPH_LIBRARIES = ("torch", "timm", "onnx", "onnxscript", "onnxruntime")

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


def source_digest(*names: str) -> str:
    """Return a SHA-256 over the text of modules of this package, so that an edit makes a new key."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode() + b"\0" + (folder / name).read_bytes())
    return digest.hexdigest()


@cache
def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return installed versions, without importing the libraries; what is not installed is left out."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def key(kind: str, weights: Weights) -> str:
    """Identify an artifact by everything that decides its content: 16 hexadecimal digits."""
    parts = {
        "kind": kind,
        "weights": weights.sha256,
        "libraries": library_versions(GRAPH_LIBRARIES),
        # the export options stand in graph.py, whose text is part of the digest
        "sources": source_digest(*GRAPH_SOURCES),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def is_cached(kind: str, weights: Weights, cache_dir: Path) -> bool:
    """Tell whether `artifact` would find it, damage aside."""
    return _path(kind, weights, cache_dir).with_suffix(".json").is_file()


def artifact(kind: str, weights: Weights, cache_dir: Path) -> Artifact:
    """Return the artifact from the cache, made first if it is missing or damaged.

    Safe against processes that ask for the same one at once: the first makes it, the others wait.

    Raises:
        UserError: the cache cannot be written, the weights do not fit, or making it failed.
    """
    path = _path(kind, weights, cache_dir)
    found = _sound(path)
    if found:
        return found
    with locked(path.with_suffix(".lock")):
        return _sound(path) or _build(kind, weights, path)


def _path(kind: str, weights: Weights, cache_dir: Path) -> Path:
    return cache_dir / "artifacts" / f"midas_small-{kind}-{key(kind, weights)}{SUFFIXES[kind]}"


def _sound(path: Path) -> Artifact | None:
    """Return the artifact if its bytes are those that were written."""
    try:
        note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if sha256_of(path) == note["sha256"]:
            return Artifact(path, note["sha256"], float(note["build_s"]), built_now=False)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _build(kind: str, weights: Weights, path: Path) -> Artifact:
    """Make the artifact; the caller holds its lock."""
    for left_behind in path.parent.glob(f".{path.name}.*.tmp"):  # by a build that was killed
        left_behind.unlink(missing_ok=True)
    with written_atomically(path) as temporary:
        start_s = time.perf_counter()
        _run_graph(kind, weights, temporary)
        build_s = time.perf_counter() - start_s
        made = Artifact(path, sha256_of(temporary), build_s, built_now=True)
    with written_atomically(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"sha256": made.sha256, "build_s": build_s}), encoding="utf-8")
    return made


def _run_graph(kind: str, weights: Weights, path: Path) -> None:
    request = {"kind": kind, "weights": weights.to_json(), "path": str(path)}
    try:
        ask("midas_bench.depth.graph", request, BUILD_TIMEOUT_S)
    except ProcessDiedError as error:
        # the exporters wrap what the system said, so the free space is asked for
        if shutil.disk_usage(path.parent).free < NEEDED_BYTES:
            raise UserError(
                path.parent, "has no space left for the graph", "free some space or move the cache"
            ) from error
        raise UserError(
            f"the {kind} graph", f"could not be made ({error})", "check the versions of torch, timm and onnx"
        ) from error
