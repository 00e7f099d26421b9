"""Any text as Markdown that shows it as it is."""

from __future__ import annotations

import re

from midas_bench.results.json_fields import visible
from midas_bench.results.units import NOTHING

SPECIAL = re.compile(r"([\\`*_\[\]<>|~#$&])")


def escape(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no link, no mention of a user."""
    text = SPECIAL.sub(r"\\\1", visible(text))
    return text.replace("://", ":\\//").replace("@", "@<!-- -->").replace("www.", "www\\.")


def code(text: str) -> str:
    """Return a code span that holds any text and may stand in a table."""
    text = visible(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") or (text[:1] == text[-1:] == " ") else ""
    # in a table a backslash before a pipe is taken away before the code span is read
    return f"{fence}{space}{text.replace('|', chr(92) + '|')}{space}{fence}" if text.strip() else NOTHING
