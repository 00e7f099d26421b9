"""A document -> Markdown as GitHub shows it, to be pasted into a pull request."""

from __future__ import annotations

from collections.abc import Iterable

from midas_bench.render.document import Card, Document, Section, Table, TableCell
from midas_bench.render.markdown_escape import code, escape
from midas_bench.results.json_fields import visible

CHARTS = "charts"


def markdown(document: Document) -> str:
    """Render the document; its charts are linked as files beside it, at the end."""
    lines = [f"# {escape(document.title)}", "", escape(document.subtitle), ""]
    for section in document.sections:
        lines.extend(_section(section))
    if document.charts:
        lines += ["## Charts", ""]
        for chart in document.charts:
            lines += [f"![{escape(chart.title)}: {escape(chart.alt)}]({CHARTS}/{chart.id}.svg)", ""]
            lines += [escape(chart.note), ""] if chart.note else []
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section) -> Iterable[str]:
    shown = section.warnings or section.cards or section.text or section.tables
    # only the page shows pictures
    if section.galleries or not shown:
        return
    yield from (f"## {escape(section.title)}", "")
    for warning in section.warnings:
        yield from (f"> **Warning:** {escape(warning)}", "")
    for card in section.cards:
        yield _card(card)
    if section.cards:
        yield ""
    for paragraph in section.text:
        yield from (escape(paragraph), "")
    for table in section.tables:
        yield from _table(table)


def _card(card: Card) -> str:
    caution = f" {escape(card.caution)}" if card.caution else ""
    answer = (
        f"- **{escape(card.title)}: {escape(card.winner)}, {escape(card.figure)}** ({escape(card.basis)}).{caution}"
    )
    lines = ["", "```python", *card.python, "```", ""] if card.python else []
    # indented, so that the lines stay within the list's item
    return "\n".join([answer, *(f"  {line}".rstrip() for line in lines)])


def _table(table: Table) -> Iterable[str]:
    if table.long:
        # GitHub reads the table only after a blank line
        count = f"{len(table.rows)} rows"
        yield from ("<details>", f"<summary>{html(table.title)}: {count}</summary>", "")
    else:
        yield from (f"### {escape(table.title)}", "")
    yield from table_lines(table)
    yield ""
    if table.note:
        yield from (escape(table.note), "")
    if table.long:
        yield from ("</details>", "")


def table_lines(table: Table) -> Iterable[str]:
    """Yield the lines of a table alone, without its title and its note."""
    yield _row(escape(column.title) for column in table.columns)
    yield _row("---:" if column.numeric else "---" for column in table.columns)
    for row in table.rows:
        yield _row(map(_cell, row))


def _cell(cell: TableCell) -> str:
    return code(cell.text) if cell.code else escape(cell.text)


def _row(fields: Iterable[str]) -> str:
    return f"| {' | '.join(field or ' ' for field in fields)} |"


def html(text: str) -> str:
    """Return text for the one HTML element that Markdown needs here."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@<!-- -->")
