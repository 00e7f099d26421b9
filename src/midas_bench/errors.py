"""An error a user can act on: the thing, the reason, the next step."""

import importlib.util
import unicodedata
from collections.abc import Sequence
from typing import Any

LINE_ENDS = ("Zl", "Zp")
"""Unicode's line and paragraph separators; its other line ends are control characters."""


def printable(text: object) -> str:
    r"""Return a name as one line that a terminal, a page, a chart and a UTF-8 file can hold.

    A file's name may hold line ends, terminal sequences, and bytes that are no UTF-8, which Python keeps as lone
    surrogates. They become escapes such as `\n` and `\udce9`.
    """
    return "".join(c.encode("unicode-escape").decode("ascii") if _is_hidden(c) else c for c in str(text))


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category.startswith("C") or category in LINE_ENDS


class UserError(Exception):
    """Say in one line what is wrong and what to do about it.

    Commands print it and exit with code 2; pytest shows it as a usage error.

    Attributes:
        why: reason and next step, for where the thing is named already.
    """

    def __init__(self, thing: object, reason: str, next_step: str) -> None:
        self.thing = str(thing)
        self.reason = reason
        self.next_step = next_step
        # what a library said may have several lines
        self.why = printable(" ".join(f"{reason}; {next_step}".split()))
        super().__init__(f"{printable(self.thing)}: {self.why}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Let pickle make it anew in another process, whatever its kind, by what it says."""
        return UserError, (self.thing, self.reason, self.next_step)


def missing_libraries(thing: object, libraries: Sequence[str], next_step: str) -> UserError | None:
    """Return the error for libraries that are not installed, or None; they are looked up without importing them."""
    absent = [name for name in libraries if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    verb = "is" if len(absent) == 1 else "are"
    return UserError(thing, f"needs {' and '.join(absent)}, which {verb} not installed", next_step)
