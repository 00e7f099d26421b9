"""Values out of parsed JSON, each of the type it must have, or an error that names it."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from midas_bench.errors import UserError

NEXT_STEP = "leave the file out or write it anew"
LONGEST_TEXT = 300
LARGEST_WHOLE = 2**53


def visible(text: str) -> str:
    """Replace control characters and line ends, which no table, chart or page can hold.

    For showing only: other texts may look the same afterwards.
    """
    if text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c)[0] == "C" else c for c in text)


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a visible text, the middle cut out of what is endless. For showing only, as `visible`."""
    half = (longest - 1) // 2
    text = visible(text)
    return text if len(text) <= longest else f"{text[: longest - 1 - half]}…{text[-half:]}"


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        # an integer beyond the largest float
        return False


class Fields:
    """One JSON object of a file; whatever is absent or null reads as None."""

    def __init__(self, path: Path, where: str, value: object) -> None:
        self._path = path
        self._where = where
        if not isinstance(value, Mapping):
            raise self.wrong("", value, "an object")
        self._value: Mapping[str, Any] = value

    def __contains__(self, name: str) -> bool:
        return self._value.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def wrong(self, name: str, value: object, expected: str) -> UserError:
        """Return the error that names the value, where it stands and what it should be."""
        place = " of ".join(part for part in (name, self._where) if part)
        return UserError(self._path, f"{clean(place)} is {clean(repr(value))[:60]} and not {expected}", NEXT_STEP)

    def number(self, name: str, unit: str = "", signed: bool = False) -> float | None:
        """Return a finite number, of at least zero unless it is a signed one."""
        value = self._value.get(name)
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)
        if not number or (value < 0 and not signed):
            raise self.wrong(name, value, f"a number{f' of {unit}' if unit else ''}")
        return float(value)

    def required(self, name: str, unit: str) -> float:
        """Return a number that must be there."""
        value = self.number(name, unit)
        if value is None:
            raise self.wrong(name, None, f"a number of {unit}")
        return value

    def whole(self, name: str) -> int | None:
        """Return a whole number of at least zero that a float holds exactly."""
        value = self.number(name)
        if value is not None and not (value.is_integer() and value <= LARGEST_WHOLE):
            raise self.wrong(name, value, f"a whole number of at most {LARGEST_WHOLE}")
        return None if value is None else int(value)

    def text(self, name: str) -> str | None:
        """Return a string as the file has it, for it may identify a cell, a machine or a scene."""
        value = self._value.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.wrong(name, value, "a string")
        return value

    def flag(self, name: str) -> bool | None:
        """Return a boolean."""
        value = self._value.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, value, "true or false")
        return value

    def numbers(self, name: str, signed: bool = False) -> list[float]:
        """Return a list of finite numbers, empty where it is absent."""
        values = self._list(name)
        for value in values:
            # a single type check per value: the raw rounds of a long history are millions
            if type(value) not in (float, int) or not _finite(value) or (value < 0 and not signed):
                raise self.wrong(name, value, "a list of numbers")
        return values

    def texts(self, name: str) -> tuple[str, ...]:
        """Return strings, none where they are absent."""
        values = self._list(name)
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(name, values, "a list of strings")
        return tuple(values)

    def section(self, name: str) -> Fields | None:
        """Return an object within this one."""
        value = self._value.get(name)
        return None if value is None else Fields(self._path, f"{name} of {self._where}", value)

    def sections(self, name: str) -> list[Fields]:
        """Return a list of objects, empty where it is absent."""
        return [Fields(self._path, f"{name}[{i}] of {self._where}", value) for i, value in enumerate(self._list(name))]

    def plain(self, name: str) -> object:
        """Return a value as it stands, for showing only."""
        return self._value.get(name)

    def _list(self, name: str) -> list[Any]:
        value = self._value.get(name)
        if value is not None and not isinstance(value, list):
            raise self.wrong(name, value, "a list")
        return value or []
