"""A run's cells on disk while it is under way: one JSON line each, in the form of pytest-benchmark's JSON."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from midas_bench.errors import UserError
from midas_bench.files import append_json_line, cannot_write, read_json_lines

SCHEMA = 1

Row = dict[str, Any]


class RunJournal:
    """One run's cells on disk; locked while the run lives, so that another does not take it for abandoned.

    Raises:
        Timeout: a living run holds it.
        UserError: the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path.with_suffix(".lock"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:  # an OSError too
            raise
        except OSError as error:
            raise cannot_write(path, error) from error

    @property
    def depth_maps_folder(self) -> Path:
        """The folder for this run's depth maps."""
        return self.path.with_suffix("")

    def append(self, row: Row) -> None:
        """Put a row on disk.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        append_json_line(self.path, row)

    def release(self) -> None:
        """Leave the journal for a later `--resume`."""
        # before the release: after it the file may be the lock of another run
        with suppress(OSError):
            self.path.with_suffix(".lock").unlink(missing_ok=True)
        self._lock.release()

    def remove(self) -> None:
        """Remove the journal: all of it is saved elsewhere."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        shutil.rmtree(self.depth_maps_folder, ignore_errors=True)
        self.release()


@dataclass(frozen=True)
class JournalledVisit:
    """A visit of a cell as the journal holds it.

    Attributes:
        visit: its row.
        elapsed_s: what all cells took until it was over, interrupted runs included.
        took_s: its share of what the cells took that were visited beside it.
    """

    visit: Row
    elapsed_s: float
    took_s: float


def new_journal(folder: Path) -> RunJournal:
    """Name a journal by time and process, so that two runs at once do not mix."""
    return RunJournal(folder / f"journal-{datetime.now():%Y%m%d_%H%M%S}-{os.getpid()}.jsonl")


def take_abandoned_journal(folder: Path) -> RunJournal | None:
    """Return the newest journal that no living run holds, now held by this one."""
    for path in _newest_first(folder):
        with suppress(Timeout, UserError):
            journal = RunJournal(path)
            if path.exists():
                return journal
            # the journal's run finished after the folder was read
            journal.release()
    return None


def newest_identity(folder: Path) -> Row:
    """Return what identifies the newest run whose journal is there, without taking it; empty where there is none."""
    rows = next((read_rows(path) for path in _newest_first(folder)), [])
    return dict(rows[0].get("identity") or {}) if rows else {}


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("journal-*.jsonl"), key=_changed_s, reverse=True)


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a journal; a torn last line is passed over, and with it all of a journal that has no other.

    Raises:
        UserError: it is not a journal of this schema, or torn elsewhere than at its end.
    """
    rows = read_json_lines(path)
    if rows and rows[0].get("journal") != SCHEMA:
        raise UserError(path, "is not a journal that this version can read", "remove it and run again")
    return rows


def finished_cells(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the rows of finished cells, without cells that failed afterwards."""
    finished = {}
    for row in rows:
        if "cell" in row:
            finished[row["cell"]["fullname"]] = row["cell"]
        finished.pop(row.get("failed", ""), None)
    return finished


def visits_of_cells(rows: Sequence[Row]) -> dict[str, list[JournalledVisit]]:
    """Return each cell's visits, in the order of the passes, without cells that failed afterwards."""
    visits: dict[str, list[JournalledVisit]] = {}
    for row in rows:
        if "visit" in row:
            visits.setdefault(row["visit"]["fullname"], []).append(JournalledVisit(**row))
        visits.pop(row.get("failed", ""), None)
    return visits
