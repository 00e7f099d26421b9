"""Write the parts of the documentation that follow from the code: `python tools/reference.py`.

Such a part stands between `<!-- tools/reference.py: NAME -->` and `<!-- end -->`, and is replaced in place. A test
fails where a page differs from what this script writes.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT / "src"))

from midas_bench.gate.self_test_text import markdown  # noqa: E402 - this tree's package, not an installed one
from midas_bench.results.record import DERIVED, CellInfo  # noqa: E402

BAR = r"\|"
"""A bar inside of a table's cell."""
JSON_TYPES = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
    "Sequence": "list",
    "Mapping": "object",
}
"""By the name of an annotation's type, what its JSON form is called."""


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    columns = list(headings)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', BAR) for cell in line)} |" for line in lines)


def attributes(record: type) -> dict[str, str]:
    """Return the entries of the section Attributes in a class's docstring, by name."""
    section = (inspect.getdoc(record) or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", section, flags=re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in entries}


def json_type(annotation: str) -> str:
    """Return what the JSON form of an annotated field is called."""
    return JSON_TYPES[re.split(r"[\[ ]", annotation, maxsplit=1)[0]]


def extra_info() -> str:
    """Return the table of the keys of `extra_info`."""
    types = {name: json_type(str(annotation)) for name, annotation in CellInfo.__annotations__.items()}
    types |= {name: "number" if name == "share_of_peak" else "object" for name in DERIVED}
    meanings = attributes(CellInfo) | DERIVED
    return table(["key", "type", "meaning"], ([f"`{name}`", types[name], meanings[name]] for name in sorted(meanings)))


def claims() -> str:
    """Return the table of the article's claims."""
    path = PROJECT / "src/midas_bench/report/claims.toml"
    rows: list[Mapping[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
    return table(["claim", "how it is judged"], [[row["text"], row.get("note", "")] for row in rows])


def gate_self_test() -> str:
    """Return the tables of the gate's recorded self-test."""
    return markdown(json.loads((PROJECT / "docs/gate-self-test.json").read_text(encoding="utf-8"))).strip()


PARTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "extra_info": ("docs/report-and-json.md", extra_info),
    "claims": ("docs/article.md", claims),
    "gate-self-test": ("docs/gate-measurements.md", gate_self_test),
}
"""By name, the page that a part stands in and what writes it."""


def replaced(text: str, name: str, part: str) -> str:
    """Return a page with a part of it replaced.

    Raises:
        ValueError: the page has no such part.
    """
    marks = re.compile(rf"(<!-- tools/reference.py: {re.escape(name)} -->\n).*?(\n<!-- end -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"there is no part {name}")
    return marks.sub(lambda found: f"{found[1]}\n{part}\n{found[2]}", text)


def main() -> None:
    """Write each part into its page."""
    for name, (page, write) in PARTS.items():
        path = PROJECT / page
        path.write_text(replaced(path.read_text(encoding="utf-8"), name, write()), encoding="utf-8")
        print(f"{page}: {name}")


if __name__ == "__main__":
    main()
