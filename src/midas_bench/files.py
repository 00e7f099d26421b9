"""Write files so that a reader sees all of one or nothing of it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from midas_bench.errors import UserError

CACHE_VARIABLE = "MIDAS_BENCH_CACHE"


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` if the block succeeds.

    Raises:
        UserError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        # mkstemp makes files private to their owner; a finished one follows the user's umask
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> UserError:
    """Name the path, what the system said, and where a cache can be moved to."""
    return UserError(
        path,
        f"cannot be written ({error.strerror or error})",
        f"free some space, choose another folder, or set {CACHE_VARIABLE} for the cache",
    )


@contextmanager
def locked(path: Path, timeout_s: float = 600.0) -> Iterator[None]:
    """Hold an inter-process lock in the file `path` (created if need be).

    Raises:
        UserError: the lock's folder cannot be written, or it was not free in time.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=timeout_s)
        lock.acquire()
    except Timeout as error:
        raise UserError(
            path, f"still held by another process after {timeout_s:.0f} s", "wait for it, or end that process"
        ) from error
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()


def expanded(name: str) -> Path:
    """Return the path, with `~` expanded where that is possible."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:  # there is no such user
        return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def append_json_line(path: Path, row: object) -> None:
    """Append one row of JSON and return once it is on disk.

    Raises:
        UserError: it could not be written; a torn last line may remain, which readers pass over.
    """
    line = json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error
