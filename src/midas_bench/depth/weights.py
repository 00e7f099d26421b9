"""Find and check the network's weights, without importing torch.

`auto` takes the official checkpoint, from the cache or from its release, and otherwise seeded weights, which are fit
for timing and for nothing else. `network.load_network` loads the file.
"""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from urllib.response import addinfourl

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from midas_bench.depth.interface import MIDAS, NetworkInterface
from midas_bench.depth.torch_extra import require_torch
from midas_bench.errors import UserError, printable
from midas_bench.files import expanded, locked, remove_left_behind, sha256_of, written_atomically

SEED = 20230617
"""Any fixed number: it names the seeded weights."""

OFFICIAL_URL = "https://github.com/isl-org/MiDaS/releases/download/v2_1/model-small-70d6b9c8.pt"
OFFICIAL_SHA256 = "70d6b9c8"
"""The first digits: the release names its file by them, as torch.hub's convention has it."""

URL_VARIABLE = "MIDAS_BENCH_WEIGHTS_URL"
SHA256_VARIABLE = "MIDAS_BENCH_WEIGHTS_SHA256"

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 15.0
CHUNK_BYTES = 1 << 18

Response = HTTPResponse | addinfourl

TIMING_ONLY = "weights: seeded (random): timing only, the depth maps mean nothing"


@dataclass(frozen=True)
class Weights:
    """Resolved weights, as children receive them.

    Attributes:
        source: where they come from; `seeded` weights are random; `model` is a user's own ONNX file, graph and all.
        sha256: of the file's bytes, or for seeded weights of what identifies them; 64 hexadecimal digits.
        path: the checkpoint or the model, or None for seeded weights.
        interface: of the network that has them.
        external: names of further files in the model's folder that hold its weights.
    """

    source: Literal["official", "seeded", "file", "model"]
    sha256: str
    path: str | None = None
    interface: NetworkInterface = MIDAS
    external: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Take the fields as the JSON that they become on their way to another process."""
        object.__setattr__(self, "external", tuple(self.external))
        if isinstance(self.interface, dict):
            object.__setattr__(self, "interface", NetworkInterface(**self.interface))

    @property
    def fingerprint(self) -> str:
        """What identifies the depth that they give: the bytes, and how the network is fed and read."""
        if self.interface == MIDAS:
            return self.sha256
        return hashlib.sha256(json.dumps([self.sha256, asdict(self.interface)]).encode()).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        """What tells one network from another: where it is from, which bytes, and how they are fed and read."""
        fed = self.source == "model" or self.interface != MIDAS
        interface = {"interface": asdict(self.interface)} if fed else {}
        return {"source": self.source, "sha256": self.sha256, **interface}

    @property
    def described(self) -> dict[str, Any]:
        """What results say of them: what identifies them, and the name of a user's own model; not its folder."""
        file = {"file": printable(Path(self.path).name)} if self.source == "model" and self.path else {}
        return {**self.identity, **file}

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `Weights(**object)` reads; an older revision may lack the fields left out."""
        values = asdict(self)
        for name, default in (("interface", MIDAS), ("external", ())):
            if getattr(self, name) == default:
                del values[name]
        return values


def sha256_with(path: Path, external: Sequence[str]) -> str:
    """Return the SHA-256 of a model, or of it and of the further files that hold its weights.

    Raises:
        OSError: one of them cannot be read.
    """
    sha256 = sha256_of(path)
    if not external:
        return sha256
    hashes = [sha256, *([name, sha256_of(path.parent / name)] for name in sorted(external))]
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


@dataclass(frozen=True)
class Release:
    """Where the official checkpoint is to be had, and the digits its SHA-256 begins with."""

    url: str = OFFICIAL_URL
    sha256: str = OFFICIAL_SHA256

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Release:
        """Let a mirror override address and hash.

        Raises:
            UserError: the hash is not 8 to 64 hexadecimal digits.
        """
        sha256 = environment.get(SHA256_VARIABLE, cls.sha256).strip().lower()
        if not 8 <= len(sha256) <= 64 or set(sha256) - set("0123456789abcdef"):
            raise UserError(f"{SHA256_VARIABLE}={sha256}", "is not 8 to 64 hexadecimal digits", "correct or unset it")
        return cls(environment.get(URL_VARIABLE, cls.url), sha256)

    def cached(self, cache_dir: Path) -> Path:
        """Name the checkpoint's file in the cache."""
        return cache_dir / "weights" / f"midas_v21_small-{self.sha256[:8]}.pt"


class UnreachableError(Exception):
    """Nothing answered at the release's address."""


def seeded() -> Weights:
    """Identify the seeded weights by seed and by the versions that draw them.

    Raises:
        UserError: PyTorch is not installed.
    """
    require_torch("seeded weights")
    identity = f"seed {SEED}, torch {version('torch').split('+')[0]}, timm {version('timm')}"
    return Weights("seeded", hashlib.sha256(identity.encode()).hexdigest())


def resolve(name: str, cache_dir: Path, release: Release | None = None) -> Weights:
    """Find the weights called `auto`, `official`, `seeded` or a path.

    Call it once a run and hand the result on: `auto` may ask the network, for at most `CONNECT_TIMEOUT_S` seconds if
    nothing answers.

    Raises:
        UserError: the file does not exist, has the wrong hash, or (`official`) cannot be had.
    """
    release = release or Release()
    if name == "seeded":
        return seeded()
    if name in ("auto", "official"):
        try:
            return official(cache_dir, release)
        except UnreachableError as error:
            if name == "auto":
                return seeded()
            raise UserError(
                release.url,
                f"the official weights cannot be fetched ({error})",
                f"check the network, set {URL_VARIABLE} to a mirror, or use --weights seeded for timing only",
            ) from error
    path = expanded(name)
    try:
        if not path.is_file():
            raise UserError(name, "no such weights file", "give auto, official, seeded or the path of a checkpoint")
        sha256 = sha256_of(path)
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    return Weights("official" if sha256.startswith(OFFICIAL_SHA256) else "file", sha256, str(path.resolve()))


def official(cache_dir: Path, release: Release) -> Weights:
    """Return the official checkpoint, downloaded into the cache if it is not there.

    Raises:
        UserError: what was cached or fetched has another hash, a cached file being set aside first; or the cache
            cannot be read or written.
        UnreachableError: the release cannot be reached.
    """
    path = release.cached(cache_dir)
    cached_weights = _cached(path, release)
    if cached_weights:
        return cached_weights
    with _connect(release.url) as response, locked(path.with_suffix(".lock")):
        # another process may have fetched it meanwhile
        cached_weights = _cached(path, release)
        if cached_weights:
            return cached_weights
        remove_left_behind(path)
        with written_atomically(path) as temporary:
            sha256 = _download(response, temporary, release)
    return Weights("official", sha256, str(path))


def _cached(path: Path, release: Release) -> Weights | None:
    if not path.is_file():
        return None
    try:
        sha256 = sha256_of(path)
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    if sha256.startswith(release.sha256):
        return Weights("official", sha256, str(path))
    aside = path.with_suffix(".damaged")
    wrong = f"has SHA-256 {sha256[:8]}... where {release.sha256[:8]}... is expected"
    try:
        path.replace(aside)
    except OSError as error:
        raise UserError(path, f"{wrong}, and cannot be moved aside ({error.strerror})", "remove it") from error
    raise UserError(
        path, f"{wrong}, and was moved to {aside.name}", "run again to download it afresh, or put the right file there"
    )


def _connect(url: str) -> Response:
    """Send the request, and give up after `CONNECT_TIMEOUT_S`, a name server that never answers included."""
    outcome: list[Response | Exception] = []

    def connect() -> None:
        try:
            outcome.append(urllib.request.urlopen(url, timeout=READ_TIMEOUT_S))
        # handed to the waiting thread below
        except Exception as error:
            outcome.append(error)

    # urlopen's time-out does not cover looking up the name, so a thread is left behind instead of waited for
    thread = threading.Thread(target=connect, daemon=True, name="midas-bench-connect")
    thread.start()
    thread.join(CONNECT_TIMEOUT_S)
    if not outcome:
        raise UnreachableError(f"no answer in {CONNECT_TIMEOUT_S:.0f} s")
    result = outcome[0]
    if not isinstance(result, Exception):
        return result
    if isinstance(result, urllib.error.HTTPError):
        result.close()
        raise UnreachableError(f"the server answered {result.code} {result.reason}") from result
    if isinstance(result, urllib.error.URLError):
        raise UnreachableError(str(result.reason)) from result
    if isinstance(result, (OSError, HTTPException)):
        raise UnreachableError(str(result)) from result
    if isinstance(result, ValueError):
        raise UserError(url, "is not an address that can be fetched", f"correct {URL_VARIABLE}") from result
    raise result


def _download(response: Response, path: Path, release: Release) -> str:
    """Write the body to `path`, check length and hash, and return the SHA-256."""
    length = response.headers.get("Content-Length") or ""
    expected_bytes = int(length) if length.isdecimal() else 0
    digest = hashlib.sha256()
    received_bytes = 0
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)  # results go to stdout
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        path.open("wb") as file,
    ):
        task = progress.add_task("MiDaS_small weights", total=expected_bytes or None)
        while True:
            try:
                chunk = response.read(CHUNK_BYTES)
            except (OSError, HTTPException) as error:
                raise UserError(
                    release.url, f"the download stopped after {received_bytes} bytes ({error})", "try again"
                ) from error
            if not chunk:
                break
            digest.update(chunk)
            file.write(chunk)
            received_bytes += len(chunk)
            progress.update(task, completed=received_bytes)
    if received_bytes < expected_bytes:
        raise UserError(release.url, f"sent {received_bytes} of {expected_bytes} bytes", "try again; nothing was kept")
    if not digest.hexdigest().startswith(release.sha256):
        raise UserError(
            release.url,
            f"sent a file with SHA-256 {digest.hexdigest()[:8]}... where {release.sha256[:8]}... is expected",
            f"nothing was kept; for a mirror with another file set {SHA256_VARIABLE}",
        )
    return digest.hexdigest()
