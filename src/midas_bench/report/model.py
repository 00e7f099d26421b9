"""What a report is made of, before it is a page or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One field of a table.

    Attributes:
        text: what people read.
        key: what the column is sorted by; the text where it is None.
        code: whether it is an id or another name out of a file.
        mood: good, bad or unsure: colours it; the text says the same in words.
    """

    text: str
    key: float | None = None
    code: bool = False
    mood: str = ""


@dataclass(frozen=True)
class Column:
    """A table's column; numeric ones stand to the right."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table; `long` ones are folded in Markdown."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    long: bool = False


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
    """An answer to be seen first."""

    title: str
    winner: str
    figure: str
    basis: str
    runner_up: str = ""
    caution: str = ""


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


def table(id: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], **more: object) -> Table:
    """Make a table; a column's title that ends in `#` makes it numeric."""
    heads = tuple(Column(name.removesuffix("#"), name.endswith("#")) for name in columns)
    return Table(id, title, heads, tuple(tuple(row) for row in rows), **more)  # type: ignore[arg-type]
