"""What a report is made from, and what several of its parts need of it, computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from midas_bench.report.claims import ClaimFinding, findings
from midas_bench.report.photo_strip import Album
from midas_bench.results import recommendations, units
from midas_bench.results.compare import ComparedRuns, Comparison, compare
from midas_bench.results.frame import frame
from midas_bench.results.price import per_million_photos
from midas_bench.results.ranking import best_throughput
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
        price_per_hour: of the machine that the report is about; None where none was given.
    """

    run: Run
    label: str
    history: tuple[Run, ...]
    sides: tuple[ComparedRuns, ...]
    album: Album
    remarks: tuple[str, ...] = ()
    notice: str = ""
    price_per_hour: float | None = None

    @property
    def answer_lines(self) -> list[str]:
        """Lines for the terminal: the answers, or what the run lacks for them, and why it is this run."""
        missing = recommendations.unanswered_text(self.run.file, self.run.records)
        lines = [*recommendations.three_lines(self.run.records), *filter(None, [missing, self.notice])]
        return lines if self.price_per_hour is None else [*lines, self._price_line(self.price_per_hour)]

    def _price_line(self, price_per_hour: float) -> str:
        best = best_throughput(self.run.records)
        if best is None:
            return "Price per million photos: unknown, because the run has no throughput."
        price = units.price_span(per_million_photos(best.figure, price_per_hour))
        return f"Price per million photos: {price}, with {recommendations.setup_text(best, best.winner)}, always busy."

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
