"""What a report is made from, and what several of its parts need of it, computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from midas_bench.report.claims import ClaimFinding, findings
from midas_bench.report.photo_strip import Album
from midas_bench.results import recommendations
from midas_bench.results.compare import ComparedRuns, Comparison, compare
from midas_bench.results.frame import frame
from midas_bench.results.runs import Run

Progress = Callable[[str], None]
"""Called with the name of what is being worked on."""


@dataclass(frozen=True)
class ReportData:
    """All that a report is made from.

    Attributes:
        run: what the report is about.
        label: what to call it.
        history: saved runs of the same machine kind, oldest first, the run itself included.
        sides: two or more to compare, the baseline first; empty where there is nothing to compare.
        album: photos and true depth.
        remarks: sentences on the choice of files, such as those that could not be read.
        notice: why the report is not about the newest complete run; empty where it is.
    """

    run: Run
    label: str
    history: tuple[Run, ...]
    sides: tuple[ComparedRuns, ...]
    album: Album
    remarks: tuple[str, ...] = ()
    notice: str = ""

    @property
    def answer_lines(self) -> list[str]:
        """Lines for the terminal: the answers, or what the run lacks for them, and why it is this run."""
        missing = recommendations.unanswered_text(self.run.file, self.run.records)
        return [*recommendations.three_lines(self.run.records), *filter(None, [missing, self.notice])]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The run's cells as one tidy table."""
        return frame([self.run], self.label)

    @cached_property
    def findings(self) -> list[ClaimFinding]:
        """The claims, judged by the run."""
        return findings(self.run.records)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every other side against the first."""
        return [compare(self.sides[0], other) for other in self.sides[1:]]
