"""Write files so that a reader sees all of one or nothing of it."""

from __future__ import annotations

import codecs
import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from midas_bench.errors import UserError

CACHE_VARIABLE = "MIDAS_BENCH_CACHE"

TEMPORARY = ".tmp"
LONGEST_PREFIX = 60
"""Letters of a file's name in that of its temporary one: four bytes each at most, and a name may have 255."""


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` if the block succeeds.

    Raises:
        UserError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # root could put a file in the place of /dev/null
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(None, "it is a device or a pipe")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=TEMPORARY)
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


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises:
        UserError: as `written_atomically`.
    """
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)


def check_writable(path: Path, flag: str | None = None) -> None:
    """Find out whether a file can be written, without touching it.

    Args:
        path: of the file.
        flag: by which the user can name another place; None where there is none.

    Raises:
        UserError: it cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        unwritable = cannot_write(path, error)
        if flag is None:
            raise unwritable from error
        next_step = f"free some space, or name another place with {flag}"
        raise UserError(path, unwritable.reason, next_step) from error


def remove_left_behind(path: Path) -> None:
    """Remove what killed writers of `path` left; the caller holds a lock, so that no other is at work.

    Raises:
        OSError: one cannot be removed.
    """
    for left_behind in path.parent.glob(f"{glob.escape(_prefix(path))}*{TEMPORARY}"):
        left_behind.unlink(missing_ok=True)


def remove_all_left_behind(folder: Path, names: Collection[str]) -> None:
    """Remove what killed writers of these files in a folder left, where nobody writes them any more.

    One look at the folder serves all names: it may hold millions.
    """
    prefixes = {_prefix(Path(name)) for name in names}
    try:
        entries = [entry.name for entry in os.scandir(folder) if entry.name.endswith(TEMPORARY)]
    except OSError:
        return
    for name in entries:
        if f"{name.removesuffix(TEMPORARY).rpartition('.')[0]}." in prefixes:
            with suppress(OSError):
                (folder / name).unlink()


def _prefix(path: Path) -> str:
    return f".{path.name[:LONGEST_PREFIX]}."


def cannot_write(path: Path, error: OSError) -> UserError:
    """Name the path, what the system said, and where a cache can be moved to."""
    return UserError(
        path,
        f"cannot be written ({error.strerror or error})",
        f"free some space, choose another folder, or set {CACHE_VARIABLE} for the cache",
    )


@contextmanager
def locked(path: Path, timeout_s: float = 600.0, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold an inter-process lock in the file `path` (created if need be); `waiting` is called if it is not free.

    Raises:
        UserError: the lock's folder cannot be written, or it was not free in time.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire(timeout=timeout_s)
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


def sources_sha256(*folders: Path) -> str:
    """Return one SHA-256 over the names and texts of all Python files in these folders, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(os.fsencode(path.relative_to(folder).as_posix()) + b"\0" + path.read_bytes())
    return digest.hexdigest()


def as_utf8(data: bytes) -> bytes:
    """Return text as UTF-8 without a byte-order mark: Windows PowerShell writes UTF-16 or a mark.

    RFC 4627, section 3: the zero bytes among the first four tell UTF-16 and UTF-32, in any text that begins with ASCII.

    Raises:
        UnicodeDecodeError: it is UTF-16 or UTF-32 and damaged. Damaged UTF-8 is left to whoever reads it.
    """
    encoding = json.detect_encoding(data)
    if encoding.startswith("utf-8"):
        return data.removeprefix(codecs.BOM_UTF8)
    return data.decode(encoding).encode()


def append_json_line(path: Path, row: object) -> None:
    """Append one row of JSON and return once it is on disk.

    Raises:
        UserError: it could not be written; a torn last line may remain, which readers pass over.
    """
    # escapes keep what UTF-8 cannot hold, such as a file's name that is not UTF-8
    line = json.dumps(row, separators=(",", ":")) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows that `append_json_line` wrote; a torn last line is passed over.

    Raises:
        UserError: it cannot be read, or is torn elsewhere than at its end.
    """
    rows: list[dict[str, Any]] = []
    *lines, _torn = _lines_text(path).split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            raise UserError(path, f"is damaged in line {number}", "remove it and run again") from None
    return rows


def cut_torn_line(path: Path) -> None:
    """Cut off a torn last line: it must not swallow the next row, nor stand in the middle later.

    A file in another encoding than that of the rows to come is written anew.

    Raises:
        UserError: it cannot be read or written, or is damaged.
    """
    text = _lines_text(path)
    whole_bytes = text.rfind(b"\n") + 1
    if path.read_bytes() == text:
        os.truncate(path, whole_bytes)
    else:
        write_whole(path, text[:whole_bytes])


def _lines_text(path: Path) -> bytes:
    try:
        return as_utf8(path.read_bytes())
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    except UnicodeDecodeError as error:
        raise UserError(path, f"is damaged ({error.reason})", "remove it and run again") from error
