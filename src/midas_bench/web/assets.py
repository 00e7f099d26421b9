"""Fetch what runs in a browser from npm, check it, and keep it in the cache.

npm itself downloads: its configuration names registry, proxy and certificates. What it brings is used only if its
hash is the pinned one.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from midas_bench.errors import UserError
from midas_bench.files import locked, sha256_of, write_whole
from midas_bench.web.npm_packages import FILES, PACKAGES, NpmPackage, PackageFile, licences

FOLDER = "web-assets"
LICENCES = "licences.txt"
VERSION = "_".join(f"{PurePosixPath(package.name).name}-{package.version}" for package in PACKAGES)
"""Names the folder of these versions: another release of this package may take others."""

TARBALL = "*.tgz"
NPM_TIMEOUT_S = 900.0
NPM_FLAGS = (
    "--json", "--loglevel=error", "--no-update-notifier", "--pack-destination=.",
    # by default npm waits 70 s for a host that refuses connections
    "--fetch-retries=1", "--fetch-retry-mintimeout=1000",
)  # fmt: skip
COMMAND = "midas-bench web-assets"
GET_NPM = "apt install npm, or pip install 'midas-bench[browser]', or give the tarballs with --from"

Progress = Callable[[str], object]


def folder(cache_dir: Path) -> Path:
    """Return where the files are kept, be they there or not."""
    return cache_dir / FOLDER / VERSION


def require(cache_dir: Path) -> Path:
    """Return the folder of the files, all of them checked.

    Raises:
        UserError: one is missing, damaged or cannot be read.
    """
    path = folder(cache_dir)
    if not path.is_dir():
        raise UserError("the files that run in a browser", "are not there yet", f"fetch them once: {COMMAND}")
    for file in FILES:
        reason = _fault(path, file)
        if reason:
            raise UserError(path / file.name, reason, f"fetch it again: {COMMAND}")
    return path


def are_there(cache_dir: Path) -> bool:
    """Tell whether `require` would find the files."""
    return all(_fault(folder(cache_dir), file) is None for file in FILES)


def _fault(path: Path, file: PackageFile) -> str | None:
    try:
        if sha256_of(path / file.name) == file.sha256:
            return None
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "is damaged: it has another hash than the pinned one"


def fetch(cache_dir: Path, progress: Progress = lambda _: None) -> Path:
    """Return the folder of the files, fetched by npm unless they are there.

    Raises:
        UserError: there is no npm, it fails, what it brings has another hash, or the cache cannot be written.
    """
    return _kept(cache_dir, lambda: _packed_by_npm(progress), progress)


def take(cache_dir: Path, places: Sequence[Path], progress: Progress = lambda _: None) -> Path:
    """Return the folder of the files, taken out of tarballs that were downloaded elsewhere unless they are there.

    Args:
        cache_dir: where they are kept.
        places: the tarballs, and folders that hold them; what tells one from another is its hash.
        progress: hears of what is done.

    Raises:
        UserError: one cannot be read, a package is missing among them, or the cache cannot be written.
    """
    return _kept(cache_dir, lambda: _given(places), progress)


def _kept(cache_dir: Path, tarballs: Callable[[], dict[NpmPackage, bytes]], progress: Progress) -> Path:
    path = folder(cache_dir)
    if are_there(cache_dir):
        progress("nothing to fetch: all files are there, and sound")
        return path
    with locked(path.with_name(f"{VERSION}.lock"), waiting=lambda: progress("waiting for another process")):
        # another process may have fetched them meanwhile
        if are_there(cache_dir):
            return path
        # all are checked before any is written
        packed = tarballs()
        _discard(path)
        try:
            for package, data in packed.items():
                for file, content in _contents(package, data):
                    write_whole(path / file.name, content)
            write_whole(path / LICENCES, licences().encode())
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
    return path


def _discard(path: Path) -> None:
    """Remove what is incomplete or damaged."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        reason = f"is incomplete, and cannot be removed ({error.strerror})"
        raise UserError(path, reason, "remove it and run again") from error


def _contents(package: NpmPackage, tarball: bytes) -> Iterator[tuple[PackageFile, bytes]]:
    wanted = {file.member: file for file in package.files}
    # a tarball can be read forwards only without unpacking it once for each file
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r|gz") as archive:
        for member in archive:
            if member.name in wanted and (reader := archive.extractfile(member)) is not None:
                yield wanted[member.name], reader.read()


def integrity_of(tarball: bytes) -> str:
    """Return what npm calls the integrity of a tarball: `sha512-` and the hash in base64."""
    return f"sha512-{base64.b64encode(hashlib.sha512(tarball).digest()).decode()}"


def find_npm() -> str | None:
    """Return the path of npm: beside this Python, where the extra puts it, or on the PATH."""
    return shutil.which("npm", path=_search_path())


def _search_path() -> str:
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


def _packed_by_npm(progress: Progress) -> dict[NpmPackage, bytes]:
    npm = find_npm()
    if npm is None:
        raise UserError("npm", "is not installed", GET_NPM)
    packed = {}
    for package in PACKAGES:
        progress(f"fetching {package.wanted} by npm: {package.size_bytes / 1e6:.2f} MB")
        packed[package] = _packed(npm, package)
        integrity = integrity_of(packed[package])
        if integrity != package.integrity:
            reason = f"has the hash {integrity[:16]}... where {package.integrity[:16]}... is pinned, and was not kept"
            raise UserError(package.wanted, reason, "ask whoever runs the registry that npm is configured for")
    return packed


def _packed(npm: str, package: NpmPackage) -> bytes:
    """Have npm download a package, and return its tarball."""
    # npm starts node, which may stand beside it
    environment = os.environ | {"PATH": _search_path()}
    with tempfile.TemporaryDirectory(prefix="midas-bench-npm-") as temporary:
        flags = list(NPM_FLAGS)
        # for a user without a home
        if environment.get("HOME") == os.devnull:
            flags.append(f"--cache={temporary}/cache")
        command = [npm, "pack", package.wanted, *flags]
        try:
            ended = subprocess.run(
                command, cwd=temporary, env=environment, capture_output=True, timeout=NPM_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            reason = f"npm did not finish in {NPM_TIMEOUT_S:.0f} s"
            raise UserError(package.wanted, reason, "check the network and npm's configuration") from error
        except OSError as error:
            raise UserError(npm, f"cannot be run ({error.strerror})", GET_NPM) from error
        # npm for other packages' names replaces / and @ in the file's name, in ways that differ by its version
        tarballs = list(Path(temporary).glob(TARBALL))
        if ended.returncode or len(tarballs) != 1:
            reason = f"npm cannot fetch it ({_complaint(ended.stdout, ended.stderr)})"
            next_step = "check the network and npm's configuration, or give tarballs from elsewhere with --from"
            raise UserError(package.wanted, reason, next_step)
        return _read(tarballs[0])


def _complaint(stdout: bytes, stderr: bytes) -> str:
    """Return in one line what npm says of its failure."""
    try:
        return str(json.loads(stdout)["error"]["summary"])
    except (ValueError, KeyError, TypeError):
        lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
        return lines[0] if lines else "it says nothing"


def _given(places: Sequence[Path]) -> dict[NpmPackage, bytes]:
    by_integrity = {package.integrity: package for package in PACKAGES}
    packed: dict[NpmPackage, bytes] = {}
    for place in places:
        for path in sorted(place.glob(TARBALL)) if place.is_dir() else [place]:
            tarball = _read(path)
            package = by_integrity.get(integrity_of(tarball))
            if package is not None:
                packed[package] = tarball
            # a folder may hold others
            elif path == place:
                names = " nor ".join(package.wanted for package in PACKAGES)
                raise UserError(path, f"is neither {names}, by its hash", "download it again with npm pack")
    for package in PACKAGES:
        if package not in packed:
            next_step = f"download it with npm pack {package.wanted}, and name all tarballs behind --from"
            raise UserError(package.wanted, "is not among the tarballs of --from", next_step)
    return packed


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check its name and permissions") from error
