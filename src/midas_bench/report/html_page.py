"""A document -> one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from midas_bench.render.document import Document
from midas_bench.report.charts.style import for_page
from midas_bench.results.json_fields import visible


def page(document: Document) -> str:
    """Render the page: texts are escaped, and a content policy forbids all but the page's own parts."""
    # autoescape stands for every template, whatever its name: texts come from files that anybody may have written
    environment = Environment(
        loader=PackageLoader("midas_bench.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_shown,
    )  # fmt: skip
    # the line ends are ours; within a line there are none
    environment.filters["lines"] = lambda lines: Markup("\n").join(map(visible, lines))
    style, script = (_own(name) for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template("page.html.j2").render(
        document=document,
        # style and script are our own files
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        # matplotlib has escaped the texts of a chart
        inline=lambda chart: Markup(for_page(chart.svg)),
    )


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _own(name: str) -> str:
    return files("midas_bench.report").joinpath("templates", name).read_text(encoding="utf-8").strip()
