"""The runs of a fleet on disk: one folder each, and a file that says how each ended, so that a later call goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from midas_bench.errors import UserError
from midas_bench.files import cut_torn_line, read_json_lines, write_whole
from midas_bench.fleet.node_run import LOG, Piece
from midas_bench.measure.plugin.run_journal import finished_cells, read_rows
from midas_bench.results.run_files import STORAGE

STATE = "fleet.jsonl"
"""In the fleet's folder: one line per run. No `.json`, for reports take those for results."""

WAITING, RUNNING, LOST, ENDED, LEFT = "waiting", "running", "lost", "ended", "left"
"""Not begun; on a node; its node died; its process ended by itself; nobody is left to go on with it."""


@dataclass(frozen=True)
class FleetRun:
    """One run of the suite, on one kind of machine.

    Attributes:
        name: of its folder.
        fingerprint: of the machine that it was begun on; it goes on only on such a machine.
        cpu: of that machine, as its system names it.
        hosts: where it was, the last one last.
        state: one of the above.
        why: it is in that state, where that is a problem; or nothing.
    """

    name: str
    fingerprint: str
    cpu: str
    hosts: tuple[str, ...] = ()
    state: str = WAITING
    why: str = ""


@dataclass(frozen=True)
class Cells:
    """What became of a run's cells.

    Attributes:
        planned: ids; None where the run was lost before it said so.
        missing: those without a result.
        failed: why, by id.
    """

    planned: tuple[str, ...] | None
    missing: tuple[str, ...]
    failed: Mapping[str, str]

    @property
    def whole(self) -> bool:
        """Whether every planned cell has a result or a reason why it has none."""
        return self.planned is not None and not self.missing


class FleetFolder:
    """Where a fleet's files are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> list[FleetRun]:
        """Return the runs of an earlier call, none where there was none.

        Raises:
            UserError: the file is damaged.
        """
        state = self.path / STATE
        if not state.exists():
            return []
        try:
            return [FleetRun(**row | {"hosts": tuple(row["hosts"])}) for row in read_json_lines(state)]
        except (TypeError, KeyError) as error:
            raise UserError(state, "is not the state of a fleet's runs", "choose another folder") from error

    def save(self, runs: Sequence[FleetRun]) -> None:
        """Write how each run is.

        Raises:
            UserError: it cannot be written.
        """
        lines = [json.dumps(asdict(run)) + "\n" for run in runs]
        write_whole(self.path / STATE, "".join(lines).encode())

    def add(self, run: FleetRun, pieces: Sequence[Piece]) -> None:
        """Write parts of a run's files; each ends with its part."""
        for piece in pieces:
            path = self.path / run.name / piece.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("r+b" if piece.offset else "wb") as file:
                file.seek(piece.offset)
                file.write(piece.content)
                file.truncate()

    def keep_only(self, run: FleetRun, names: Sequence[str]) -> None:
        """Remove what the run removed at its end: its journal, once all of it is in its results."""
        folder = self.path / run.name
        for path in [path for path in (folder / STORAGE).rglob("*") if path.is_file()]:
            if path.relative_to(folder).as_posix() not in names:
                path.unlink()

    def to_go_on_with(self, run: FleetRun) -> dict[str, bytes]:
        """Return what another machine needs to go on with a run: its journal, and the depth maps beside it."""
        folder = self.path / run.name
        journals = self.journals(run)
        for journal in journals:
            # the next machine cuts it off too, and sends what it appends then
            cut_torn_line(journal)
        kept = [path for journal in journals for path in (journal, *journal.with_suffix("").glob("*"))]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept}

    def journals(self, run: FleetRun) -> list[Path]:
        """Return the run's journals, oldest first; usually one, and none once its results are whole."""
        return sorted((self.path / run.name / STORAGE).rglob("journal-*.jsonl"))

    def results(self, run: FleetRun) -> list[Path]:
        """Return the run's saved files, oldest first."""
        return sorted((self.path / run.name / STORAGE).rglob("*.json"))

    def last_line(self, run: FleetRun) -> str:
        """Return the last thing that the run printed."""
        try:
            text = (self.path / run.name / LOG).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "it printed nothing"
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it printed nothing")

    def cells(self, run: FleetRun) -> Cells:
        """Return what became of the run's cells: by its results, or by its journal where there are none yet."""
        for path in reversed(self.results(run)):
            status = json.loads(path.read_text(encoding="utf-8")).get("midas_bench")
            if status is not None:
                return _cells_of(status)
        for path in reversed(self.journals(run)):
            rows = read_rows(path)
            if rows:
                return _cells_begun(rows)
        return Cells(None, (), {})


def _cells_of(status: Mapping[str, Any]) -> Cells:
    failed = {row["cell"]: row["reason"] for row in status["failed"]}
    done = {*status["finished"], *failed, *(row["cell"] for row in status["skipped"])}
    return Cells(tuple(status["planned"]), tuple(cell for cell in status["planned"] if cell not in done), failed)


def _cells_begun(rows: Sequence[Mapping[str, Any]]) -> Cells:
    """Return the cells of a journal: those of passes are finished once all passes are made, which none here are."""
    planned = tuple(rows[0]["identity"]["cells"])
    failed = {row["failed"]: row["reason"] for row in rows if "failed" in row}
    skipped = {row["skipped"] for row in rows if "skipped" in row}
    done = {*finished_cells(list(map(dict, rows))), *failed, *skipped}
    return Cells(planned, tuple(cell for cell in planned if cell not in done), failed)


def problems(run: FleetRun, cells: Cells) -> Iterator[str]:
    """Yield what a run lacks, in words; nothing where it is whole and no cell failed."""
    where = f"{run.name} ({run.cpu}, kind {run.fingerprint}, on {', then on '.join(run.hosts) or 'no machine'})"
    if cells.planned is None:
        yield f"{where}: all of its cells are missing: {run.why or 'it was not begun'}"
    elif cells.missing:
        counted = f"{len(cells.missing)} of {len(cells.planned)} cells are missing"
        yield f"{where}: {counted}{f': {run.why}' * bool(run.why)}"
        yield from (f"  missing: {cell}" for cell in cells.missing)
    yield from (f"  failed: {cell}: {reason}" for cell, reason in cells.failed.items())
