"""Write the parts of the documentation that follow from the code: `python tools/reference.py`.

Such a part stands between `<!-- tools/reference.py: NAME -->` and `<!-- end -->`, and is replaced in place. A test
fails where a page differs from what this script writes.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from msgspec import inspect

PROJECT = Path(__file__).parent.parent
sys.path[:0] = [str(PROJECT / "src"), str(PROJECT / "tools")]

import scale  # noqa: E402 - beside this script

from midas_bench.depth.preprocess import INPUT_SIZE, size_of_original  # noqa: E402
from midas_bench.gate.self_test_text import markdown  # noqa: E402 - this tree's package, not an installed one
from midas_bench.measure import answers_self_test_text  # noqa: E402
from midas_bench.results.kinds import KINDS  # noqa: E402
from midas_bench.results.struct_reader import keys_of  # noqa: E402

BAR = r"\|"
"""A bar inside of a table's cell."""
JSON_TYPES: Mapping[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.BoolType: "true or false",
    inspect.VarTupleType: "list",
    inspect.StructType: "object",
    inspect.DictType: "object",
}
"""What the JSON form of a field's type is called."""


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    columns = list(headings)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', BAR) for cell in line)} |" for line in lines)


def json_type(kind: inspect.Type) -> str:
    """Return what the JSON form of a field is called."""
    if isinstance(kind, inspect.Metadata):
        return json_type(kind.type)
    return json_type(kind.types[0]) if isinstance(kind, inspect.UnionType) else JSON_TYPES[type(kind)]


def extra_info() -> str:
    """Return the table of the keys of `extra_info`."""
    rows = {"kind": ["`kind`", "text", f"{', '.join([*KINDS][:-1])} or {[*KINDS][-1]}."]}
    kinds: dict[str, list[str]] = {"kind": [*KINDS]}
    for name, kind in KINDS.items():
        meanings = get_type_hints(kind, include_extras=True)
        for key in keys_of(kind):
            [meaning] = (text for text in meanings[key.name].__metadata__ if isinstance(text, str))
            row = [f"`{key.encode_name}`", json_type(key.type), meaning]
            assert rows.setdefault(key.encode_name, row) == row, f"{key.encode_name} has two meanings"
            kinds.setdefault(key.encode_name, []).append(name)
    of_kinds = {key: "all" if len(names) == len(KINDS) else ", ".join(names) for key, names in kinds.items()}
    lines = ([*rows[key][:2], of_kinds[key], rows[key][2]] for key in sorted(rows))
    return table(["key", "type", "kinds", "meaning"], lines)


def claims() -> str:
    """Return the table of the article's claims."""
    path = PROJECT / "src/midas_bench/report/claims.toml"
    rows: list[Mapping[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
    return table(["claim", "how it is judged"], [[row["text"], row.get("note", "")] for row in rows])


def sizes() -> str:
    """Return the table of the sizes that the original MiDaS_small takes."""
    photos = {"4:3": (4000, 3000), "3:2": (6000, 4000), "16:9": (1920, 1080), "3:4, portrait": (3000, 4000),
              "2:3, portrait": (4000, 6000), "9:16, portrait": (1080, 1920)}  # fmt: skip
    rows = []
    for ratio, (width, height) in photos.items():
        input_height, input_width = size_of_original(width, height)
        share = f"{input_height * input_width / INPUT_SIZE**2:.1%}".replace("%", " %")
        rows.append([ratio, f"{width}x{height}", f"`--size {input_height}x{input_width}`", share])
    return table(["aspect ratio", "photo", "flag", "operations, relative to 256x256"], rows)


def answers_self_test() -> str:
    """Return the table of the recorded self-test of answers."""
    recorded = json.loads((PROJECT / "docs/answers-self-test.json").read_text(encoding="utf-8"))
    return answers_self_test_text.markdown(recorded).strip()


def gate_self_test() -> str:
    """Return the tables of the gate's recorded self-test."""
    return markdown(json.loads((PROJECT / "docs/gate-self-test.json").read_text(encoding="utf-8"))).strip()


PARTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "extra_info": ("docs/report-and-json.md", extra_info),
    "claims": ("docs/article.md", claims),
    "sizes": ("docs/running.md", sizes),
    "gate-self-test": ("docs/gate-measurements.md", gate_self_test),
    "answers-self-test": ("docs/answers-self-test.md", answers_self_test),
    "scale-needs": ("docs/scale.md", scale.needs),
    "scale-assumptions": ("docs/scale.md", scale.assumptions),
    "scale-fleet": ("docs/scale.md", scale.fleet),
    "scale-prices": ("docs/scale.md", scale.prices),
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
