"""The npm packages that run in a browser: which versions, which of their files, and under which licences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

INSIDE = PurePosixPath("package")
"""Where npm puts a package's files in its tarball."""


@dataclass(frozen=True)
class PackageFile:
    """A file of a package.

    Attributes:
        path: in the package.
        size_bytes: of it.
        sha256: of its bytes, 64 hexadecimal digits.
    """

    path: str
    size_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """What it is called in the cache: all packages' files stand in one folder there."""
        return PurePosixPath(self.path).name

    @property
    def member(self) -> str:
        """What it is called in the tarball."""
        return str(INSIDE / self.path)


@dataclass(frozen=True)
class NpmPackage:
    """A package of npm, pinned.

    Attributes:
        name: on npm.
        version: of the package.
        integrity: of its tarball, as npm states it: `sha512-` and the hash in base64.
        size_bytes: of its tarball.
        files: those that are used.
        licence: of the package and what is compiled into it, as SPDX names it.
        notice: by whom it is, and what its licence wants said.
    """

    name: str
    version: str
    integrity: str
    size_bytes: int
    files: tuple[PackageFile, ...]
    licence: str
    notice: str

    @property
    def wanted(self) -> str:
        """Name and version, as npm takes them."""
        return f"{self.name}@{self.version}"


ONNX_RUNTIME = NpmPackage(
    "onnxruntime-web",
    "1.30.0",
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    33_106_585,
    (
        PackageFile(
            "dist/ort.wasm.min.mjs", 50_126, "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b"
        ),
        PackageFile(
            "dist/ort-wasm-simd-threaded.mjs", 24_381,
            "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
        ),
        PackageFile(
            "dist/ort-wasm-simd-threaded.wasm", 14_239_897,
            "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
        ),
        # the same runtime for WebGPU
        PackageFile(
            "dist/ort.webgpu.min.mjs", 66_349, "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0"
        ),
        PackageFile(
            "dist/ort-wasm-simd-threaded.asyncify.mjs", 53_057,
            "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
        ),
        PackageFile(
            "dist/ort-wasm-simd-threaded.asyncify.wasm", 26_781_914,
            "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
        ),
    ),
    "MIT",
    "Copyright (c) Microsoft Corporation. What is compiled into it, and its licences: "
    "https://github.com/microsoft/onnxruntime/blob/v1.30.0/ThirdPartyNotices.txt",
)  # fmt: skip
JPEG_TURBO = NpmPackage(
    "@cwasm/jpeg-turbo",
    "0.1.3",
    "sha512-FkZxwwC6r4zhzlqM0nYGaMj/MDSrZPxLOdPdM6ySlgsMfOpNAZcLQkpNF4jP+DmsuUvRoeUD0YSMBvg3jYfK6w==",
    54_580,
    (PackageFile("jpeg-turbo.wasm", 139_151, "80ed55eef2d0ff276f837ef521fad8181ccdfa6f298f652f6e45aed7fbbbc871"),),
    "MIT AND IJG AND BSD-3-Clause AND Zlib",
    "The package is by Linus Unnebäck (MIT). It holds libjpeg-turbo (IJG, BSD-3-Clause, Zlib): "
    "https://github.com/libjpeg-turbo/libjpeg-turbo/blob/main/LICENSE.md. "
    "This software is based in part on the work of the Independent JPEG Group.",
)

PACKAGES = (ONNX_RUNTIME, JPEG_TURBO)
FILES = tuple(file for package in PACKAGES for file in package.files)


def licences() -> str:
    """Return the text that stands beside the files: a paragraph for each package."""
    return "\n\n".join(f"{package.wanted}: {package.licence}\n{package.notice}" for package in PACKAGES) + "\n"
