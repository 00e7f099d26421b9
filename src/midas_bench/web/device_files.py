"""What a browser needs to compute depth itself: scripts of this package, runtime and decoder of npm's, and graphs.

A server hands them out in one folder, which the scripts know by its address alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from midas_bench.depth.heatmap import COLOURED_SIDE, INFERNO_RGB
from midas_bench.depth.interface import NetworkInterface
from midas_bench.depth.preprocess import least_side
from midas_bench.files import sha256_of, write_whole
from midas_bench.web.assets import LICENCES, VERSION
from midas_bench.web.npm_packages import FILES, JPEG_TURBO, ONNX_RUNTIME

STATIC = Path(__file__).with_name("static")
SCRIPTS = ("depth-worker.js", "failure.js", "heatmap.js", "network.js", "photo.js", "resize.js")
SETTINGS = "settings.json"
RUNTIME_FILES = {
    "wasm": ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}
"""By the provider that computes: the module to import, and what it loads itself."""
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers without which a browser gives a page no shared memory, and so no threads."""
MAX_PIXELS = 64_000_000
"""Of a photo, unless somebody says otherwise: the page holds it and its heat map in memory, four bytes a pixel."""
DTYPES = ("float32", "uint8")
"""Inputs that the scripts can make; browsers have no arrays of float16 yet."""

MEDIA_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".onnx": "application/octet-stream",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}


@dataclass(frozen=True)
class DeviceFile:
    """One file to hand out.

    Attributes:
        content: its bytes, or where they are.
        media_type: as HTTP calls it.
        immutable: whether its name changes with its content, so that it may be kept for ever.
    """

    content: bytes | Path
    media_type: str
    immutable: bool


@dataclass(frozen=True)
class DeviceFiles:
    """All that a browser asks for below one folder.

    Attributes:
        graphs: by the name that users choose by, such as `fp32`, an ONNX file.
        interface: of all of them.
        assets: the folder that `assets.require` gives.
        max_pixels: of a photo.
    """

    graphs: Mapping[str, Path]
    interface: NetworkInterface
    assets: Path
    max_pixels: int

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the scripts go by: the network's interface, the pipeline's constants, and the files with their sizes."""
        size_bytes = {file.name: file.size_bytes for file in FILES}
        runtime = {
            provider: [{"name": name, "bytes": size_bytes[name]} for name in names]
            for provider, names in RUNTIME_FILES.items()
        }
        [decoder] = JPEG_TURBO.files
        return {
            "version": version("midas-bench"),
            "interface": asdict(self.interface),
            "least_side": least_side(self.interface),
            "coloured_side": COLOURED_SIDE,
            "max_pixels": self.max_pixels,
            "palette": INFERNO_RGB.ravel().tolist(),
            "models": [
                {"name": name, "file": file, "bytes": path.stat().st_size}
                for name, (file, path) in self._models.items()
            ],
            "runtime": {
                "name": ONNX_RUNTIME.name,
                "version": ONNX_RUNTIME.version,
                "folder": VERSION,
                "files": runtime,
            },
            "decoder": {"file": f"{VERSION}/{decoder.name}", "bytes": decoder.size_bytes},
        }

    @cached_property
    def _models(self) -> dict[str, tuple[str, Path]]:
        return {name: (f"{name}-{sha256_of(path)[:16]}.onnx", path) for name, path in self.graphs.items()}

    @cached_property
    def _contents(self) -> dict[str, bytes | Path]:
        """By name, all there is; one that is not listed here reaches no folder."""
        return {
            SETTINGS: json.dumps(self.settings).encode(),
            **{name: STATIC / name for name in SCRIPTS},
            **{f"{VERSION}/{file.name}": self.assets / file.name for file in FILES},
            f"{VERSION}/{LICENCES}": self.assets / LICENCES,
            **dict(self._models.values()),
        }

    def find(self, name: str) -> DeviceFile | None:
        """Return the file of a name, or None."""
        content = self._contents.get(name)
        if content is None:
            return None
        return DeviceFile(content, MEDIA_TYPES[Path(name).suffix], immutable=name not in (SETTINGS, *SCRIPTS))

    def export(self, folder: Path) -> int:
        """Write all files to a folder, for a site of one's own, and return their bytes; what else is in it stays.

        Raises:
            UserError: it cannot be written.
        """
        written_bytes = 0
        for name, content in self._contents.items():
            data = content if isinstance(content, bytes) else content.read_bytes()
            write_whole(folder / name, data)
            written_bytes += len(data)
        return written_bytes
