"""The finished blocks of a gate, kept on disk until its result is written, so that `--resume` can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from midas_bench.errors import UserError
from midas_bench.files import append_json_line, cut_torn_line, read_json_lines

Row = dict[str, Any]


@dataclass(frozen=True)
class BlockJournal:
    """Rows of one gate, or of one part of a self-test.

    Attributes:
        path: of the file, which holds all parts.
        part: whose rows these are.
    """

    path: Path
    part: str = ""

    @classmethod
    def of(cls, folder: Path, identity: Mapping[str, Any]) -> BlockJournal:
        """Name a journal by all that must be the same for an interrupted gate to go on."""
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        return cls(folder / f"journal-{digest}.jsonl")

    def begin(self, resume: bool) -> None:
        """Go on with what is there, or begin afresh.

        Raises:
            UserError: there is nothing to go on with.
        """
        if not resume:
            self.end()
        elif not self.path.is_file():
            raise UserError(
                "--resume", "finds no interrupted gate of these revisions and settings on this machine", "leave it out"
            )
        else:
            cut_torn_line(self.path)

    def of_part(self, name: str) -> BlockJournal:
        """Return the same file's part of this name."""
        return replace(self, part=name)

    def rows(self) -> list[Row]:
        """Return what was appended to this part."""
        lines = read_json_lines(self.path) if self.path.is_file() else []
        return [line["row"] for line in lines if line["part"] == self.part]

    def append(self, row: Row) -> None:
        """Add a row, and return once it is on disk."""
        append_json_line(self.path, {"part": self.part, "row": row})

    def end(self) -> None:
        """Remove the file with all its parts."""
        self.path.unlink(missing_ok=True)
