"""A report's files: the page, the Markdown, the tables as CSV, the charts as SVG and PNG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from midas_bench.errors import UserError
from midas_bench.files import check_writable, write_whole
from midas_bench.render.document import Document
from midas_bench.render.markdown import CHARTS, markdown
from midas_bench.report.html_page import page
from midas_bench.report.report_data import Progress, ReportData
from midas_bench.report.sections import document
from midas_bench.report.spreadsheets import NAMES, spreadsheets


def write(data: ReportData, folder: Path, progress: Progress = lambda _: None) -> Path:
    """Write the report into a folder, each file whole or not at all, and return the page's path.

    Charts and tables of an earlier report there that are not in this one are removed; nothing else is touched.

    Raises:
        UserError: the folder cannot be written.
    """
    check_folder(folder)
    rendered = document(data, progress)
    progress("tables as CSV")
    return write_files(rendered, spreadsheets(data), folder, progress)


def check_folder(folder: Path) -> None:
    """Find out whether a report can be written into a folder, before it is made.

    Raises:
        UserError: it cannot.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(folder, "is a file and not a folder", "choose another one with -o")
    check_writable(folder / "report.html", "-o")


def write_files(
    rendered: Document, tables: Mapping[str, str], folder: Path, progress: Progress = lambda _: None
) -> Path:
    """Write a document and its CSV tables, by name, into a folder as `write` does; return the page's path.

    Raises:
        UserError: the folder cannot be written.
    """
    outputs: dict[Path, bytes] = {
        # names keep their control characters there; half a surrogate pair cannot be written
        folder / f"{name}.csv": text.encode(errors="backslashreplace")
        for name, text in tables.items()
    }
    for chart in rendered.charts:
        outputs[folder / CHARTS / f"{chart.id}.svg"] = chart.svg.encode()
        outputs[folder / CHARTS / f"{chart.id}.png"] = chart.png
    progress("the page")
    outputs[folder / "report.md"] = markdown(rendered).encode()
    outputs[folder / "report.html"] = page(rendered).encode()
    progress("writing")
    for path, content in outputs.items():
        write_whole(path, content)
    for path in _earlier(folder):
        if path not in outputs:
            path.unlink()
    return folder / "report.html"


def _earlier(folder: Path) -> Iterable[Path]:
    yield from (path for name in NAMES if (path := folder / f"{name}.csv").is_file())
    for svg in (folder / CHARTS).glob("*.svg"):
        png = svg.with_suffix(".png")
        if png.is_file():
            yield from (svg, png)
