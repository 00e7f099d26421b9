"""Files that were saved once go on reading to the same figures.

After a deliberate change: `SAVE_FIGURES=1 pytest tests/report/test_saved_figures.py`, and review the difference.
"""

from __future__ import annotations

import os
import re
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from midas_bench.report.photo_strip import Album
from midas_bench.report.select_runs import choose
from midas_bench.report.spreadsheets import spreadsheets
from midas_bench.results.compare import ComparedRuns, compare

DATA = Path(__file__).parent / "data"
FILES = ("every-kind", "earlier", "plain")
"""A file with cells of every kind; one as the first versions saved it, or with little in it; one of other projects."""

FLOAT = re.compile(r"-?\d+\.\d+(?:e[-+]\d+)?")


def figures(path: Path) -> str:
    """Return the answers, the tables and what is compared between files, without digits that rounding decides."""
    data = choose([path], [], Album())
    tables = {name: without_empty_columns(text) for name, text in spreadsheets(data).items()}
    parts = {"answers": "\n".join([*data.answer_lines, *data.run.lacking]), **tables}
    same = compare(ComparedRuns("before", (data.run,)), ComparedRuns("after", (data.run,)))
    parts["compared"] = "\n".join(f"{change.fullname}: {change.figure}, {change.before}" for change in same.changes)
    text = "\n".join(f"===== {name}\n{part.rstrip()}" for name, part in parts.items()) + "\n"
    return FLOAT.sub(lambda found: f"{float(found[0]):.8g}", text)


def without_empty_columns(text: str) -> str:
    """Return a table without the columns of figures that no cell of the file has, such as those of later versions."""
    table = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
    return table.loc[:, (table != "").any()].to_csv(index=False)


@pytest.mark.parametrize("name", FILES)
def test_saved_file_reads_to_the_figures_that_it_read_to_before(name):
    text = figures(DATA / f"{name}.json")
    snapshot = DATA / f"{name}.figures.txt"
    if os.environ.get("SAVE_FIGURES"):
        snapshot.write_text(text, encoding="utf-8")
    assert text == snapshot.read_text(encoding="utf-8")
