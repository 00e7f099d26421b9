"""What a report is made of, before it is a page or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from midas_bench.results.json_fields import clean
from midas_bench.results.units import NOTHING

T = TypeVar("T")

LONGEST_NAME, LONGEST_CELL = 300, 1000
"""Letters of an id, and of another text in a table."""

LONG = 30
"""Rows from which on a table is folded where it stands among others."""


@dataclass(frozen=True)
class TableCell:
    """One field of a table.

    Attributes:
        text: what people read.
        key: what the column is sorted by; the text where it is None.
        code: whether it is an id or another name out of a file.
        status: good, bad or unsure: colours it; the text says the same in words.
    """

    text: str
    key: float | None = None
    code: bool = False
    status: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean(self.text, LONGEST_NAME if self.code else LONGEST_CELL))


@dataclass(frozen=True)
class Column:
    """A table's column; numeric ones stand to the right."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    note: str = ""

    @property
    def long(self) -> bool:
        """Whether it is better folded."""
        return len(self.rows) > LONG


@dataclass(frozen=True)
class Chart:
    """A chart, drawn.

    Attributes:
        id: its file's name.
        title: what it shows.
        alt: the same for those who cannot see it, with the main figures.
        note: how to read it.
        svg: the file's text.
        png: the file's bytes.
    """

    id: str
    title: str
    alt: str
    note: str
    svg: str
    png: bytes


@dataclass(frozen=True)
class Picture:
    """A small picture as a data: URL, with its size in pixels, what stands under it and what it shows."""

    url: str
    width: int
    height: int
    caption: str
    alt: str


@dataclass(frozen=True)
class Gallery:
    """The pictures of one scene, in rows."""

    title: str
    rows: tuple[tuple[Picture, ...], ...]


@dataclass(frozen=True)
class Card:
    """An answer to be seen first.

    Attributes:
        python: lines that do what the winner does.
    """

    title: str
    winner: str
    figure: str
    basis: str
    runner_up: str = ""
    caution: str = ""
    python: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of the report with its own heading.

    Attributes:
        warnings: sentences that must not be overlooked.
        text: paragraphs.
    """

    id: str
    title: str
    warnings: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    cards: tuple[Card, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    galleries: tuple[Gallery, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.warnings or self.text or self.cards or self.tables or self.charts or self.galleries)


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]

    @property
    def charts(self) -> tuple[Chart, ...]:
        """All charts, in order."""
        return tuple(chart for section in self.sections for chart in section.charts)


def number(text: str, key: float | None) -> TableCell:
    """Return a numeric field; a missing one sorts last."""
    return TableCell(text, float("inf") if key is None else key)


def count(value: int | None) -> TableCell:
    """Return a whole number, or a dash where it is not known."""
    return number(NOTHING if value is None else str(value), value)


def code(text: str) -> TableCell:
    """Return a name that stands in the file."""
    return TableCell(text, code=True)


def columns(*heads: str | Column) -> tuple[Column, ...]:
    """Make columns; a title that ends in `#` makes its column numeric."""
    return tuple(
        head if isinstance(head, Column) else Column(head.removesuffix("#"), head.endswith("#")) for head in heads
    )


def table(
    id: str, title: str, heads: Sequence[str | Column], rows: Sequence[Sequence[TableCell]], note: str = ""
) -> Table | None:
    """Make a table unless it has no rows; columns are as the function `columns` takes them."""
    return Table(id, title, columns(*heads), tuple(tuple(row) for row in rows), note) if rows else None


def present(*things: T | None) -> tuple[T, ...]:
    """Leave out what there is not."""
    return tuple(thing for thing in things if thing is not None)
