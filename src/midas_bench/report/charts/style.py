"""One visual language: colours, markers, axes, and how a figure becomes SVG and PNG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import count, pairwise
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase

from midas_bench.render.document import Chart
from midas_bench.results.intervals import Interval
from midas_bench.results.json_fields import clean

INK, MUTED, RULE, PAPER = "#1f2328", "#59636e", "#d8dee4", "#fefefe"
"""Text, lesser text, grid, background: the page maps each to a variable, so that one SVG suits light and dark."""

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C7A00")
"""M. Okabe and K. Ito, Color Universal Design, 2008; its yellow darkened, to be seen on white."""

MARKERS = ("o", "s", "D", "X", "v", "^", "P")
LARGER = {"X": 1.3, "P": 1.3, "v": 1.2, "^": 1.2}
"""Markers that look smaller than they are."""

FIXED = {
    "eager": (0, 0), "jit": (1, 1), "onnx": (2, 2), "article's recipe": (3, 3), "openvino": (4, 4), "onnx-int8": (5, 5),
    "openvino-int8": (6, 6), "eager-bf16": (0, 5), "jit-frozen": (1, 4), "compile": (3, 0), "openvino-bf16": (4, 1),
    "opencv": (5, 0), "ncnn": (6, 1), "ncnn-bf16": (6, 2), "ncnn-fp16": (6, 3), "mnn": (2, 0), "mnn-fp16": (2, 3),
    "litert": (1, 0), "litert-int8": (1, 5),
}  # fmt: skip
"""A backend keeps its colour and marker, by number, in all charts; others take the next pair that is free."""

T = TypeVar("T")
Looks = dict[str, tuple[str, str]]
"""By name, a colour and a marker."""

WIDTH_IN = 6.6
LONGEST_LABEL = 24
LEAST_OF_MODEL = 8
LEGEND_LETTERS, KEY_LETTERS = 100, 8
"""What a row of a legend has room for, and what a key takes beside its name."""
DPI = 150

TITLE_IN = 0.3
"""Height of the title above each chart; the page cuts it off and has its own heading there."""

RC: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    # names out of files may hold dollar signs
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.markersize": 5,
    # text stays text, which can be searched and copied
    "svg.fonttype": "none",
    "figure.facecolor": PAPER,
}


def short(text: str, length: int = LONGEST_LABEL) -> str:
    """Cut the middle out of a name that would leave a chart no room; of a model in a backend, of the model alone."""
    model, on, backend = text.rpartition(" on ")
    left = length - len(on + backend)
    return f"{clean(model, left)}{on}{clean(backend)}" if on and left >= LEAST_OF_MODEL else clean(text, length)


def labels(names: Iterable[T], length: int = LONGEST_LABEL) -> dict[T, str]:
    """Return a short label for each name, no two alike: those that would be are numbered."""
    shown: dict[T, str] = {}
    for name in dict.fromkeys(names):
        text, number = short(str(name), length), 1
        while text in shown.values():
            number += 1
            text = f"{short(str(name), length - len(f' ({number})'))} ({number})"
        shown[name] = text
    return shown


def look(names: Sequence[str]) -> Looks:
    """Return colour and marker for each name, the same for the same names; colours come again with other markers."""
    colours = len(OKABE_ITO)
    taken = set(FIXED.values())
    free = (pair for shift in count() for i in range(colours) if (pair := (i, (i + 3 * shift) % colours)) not in taken)
    pairs = {name: FIXED.get(name) or next(free) for name in sorted(dict.fromkeys(names))}
    return {name: (OKABE_ITO[colour], MARKERS[marker]) for name, (colour, marker) in pairs.items()}


def whiskers(
    axes: Axes, x: Interval, y: float, colour: str, marker: str, end_height: float = 0.24, **properties: Any
) -> None:
    """Draw an estimate and its interval along x, with ends of a height in units of y."""
    if x.low < x.high:
        axes.plot([x.low, x.high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt", zorder=3)
        for end in (x.low, x.high):
            axes.plot([end, end], [y - end_height / 2, y + end_height / 2], color=colour, linewidth=1.2, zorder=3)
    edges: dict[str, Any] = {"markeredgecolor": PAPER, "markeredgewidth": 0.5, "markersize": 6, **properties}
    edges["markersize"] *= LARGER.get(marker, 1)
    axes.plot([x.estimate], [y], marker=marker, color=colour, linestyle="none", zorder=4, **edges)


def rising(axes: Axes, x: Sequence[float], y: Sequence[Interval], colour: str, marker: str, label: str) -> None:
    """Draw a line with intervals along y."""
    axes.plot(
        list(x), [v.estimate for v in y], color=colour, marker=marker, label=label, linewidth=1.4,
        markeredgecolor=PAPER, markeredgewidth=0.7, zorder=4,
    )  # fmt: skip
    for position, v in zip(x, y, strict=True):
        if v.low < v.high:
            middle, half = (v.low + v.high) / 2, (v.high - v.low) / 2
            axes.errorbar([position], [middle], half, color=colour, capsize=2.5, linewidth=1.2, zorder=3)


def legend(figure: FigureBase, axes: Axes, columns: int = 4) -> None:
    """Name the series above the axes, in as many columns as they have room for."""
    handles, labels = axes.get_legend_handles_labels()
    first = dict(zip(reversed(labels), reversed(handles), strict=True))
    if len(first) < 2:
        return
    ordered = list(dict.fromkeys(labels))
    columns = next(count for count in range(min(columns, len(ordered)), 0, -1) if count == 1 or _fit(ordered, count))
    figure.legend(
        [first[label] for label in ordered], ordered, loc="outside upper left", ncols=columns,
        handletextpad=0.4, columnspacing=1.4, borderaxespad=0.2,
    )  # fmt: skip


def _fit(names: Sequence[str], columns: int) -> bool:
    widths = [max(map(len, column)) + KEY_LETTERS for column in np.array_split(names, columns)]
    return sum(widths) <= LEGEND_LETTERS


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Move labels apart along y until each is `gap` from the next, keeping their order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    placed = [values[i] for i in order]
    for _ in range(50):
        for i, (low, high) in enumerate(pairwise(placed)):
            if high - low < gap:
                middle = (low + high) / 2
                placed[i], placed[i + 1] = middle - gap / 2, middle + gap / 2
    return [place for _, place in sorted(zip(order, placed, strict=True))]


def chart(
    id: str,
    title: str,
    alt: str,
    note: str,
    draw: Callable[[FigureBase], None],
    height_in: float,
    width_in: float = WIDTH_IN,
) -> Chart:
    """Draw a chart and keep it as SVG and PNG; no state of pyplot is touched."""
    with warnings.catch_warnings(), mpl.rc_context(RC | {"svg.hashsalt": id}):
        # names out of files may hold characters that the font has not
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        whole_in = height_in + TITLE_IN
        figure = Figure(figsize=(width_in, whole_in), layout="constrained")
        FigureCanvasAgg(figure)
        parts: Any = figure.subfigures(2, 1, height_ratios=[TITLE_IN, height_in], hspace=0)
        top, body = parts
        top.text(0.008, 0.85, title, va="top", fontsize=10.5, fontweight="bold", gid="title")
        draw(body)
        text, data = io.StringIO(), io.BytesIO()
        figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return Chart(id, title, alt, note, own_ids(id, slim(text.getvalue())), data.getvalue())


def slim(svg: str) -> str:
    """Drop what no viewer needs: comments, metadata, digits beyond a hundredth of a point."""
    svg = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"(\d+\.\d\d)\d+", r"\1", svg)


def own_ids(prefix: str, svg: str) -> str:
    """Replace ids that are hashes by numbers, and put a prefix before each, so that charts can stand in one page.

    Matplotlib hashes coordinates with all their digits. The last of them are chance: the layout's solver adds up in the
    order of its variables' addresses.
    """
    hashes = dict.fromkeys(re.findall(r'\bid="([a-z][0-9a-f]{10})"', svg))
    for number, hashed in enumerate(hashes, 1):
        svg = svg.replace(hashed, f"shape{number}")
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", svg)


def for_page(svg: str) -> str:
    """Return the SVG element without its title, its neutral colours as variables of the page, as wide as it may be."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<g id="[\w-]+-title">.*?</g>\s*', "", svg, count=1, flags=re.DOTALL)
    for colour, name in ((INK, "ink"), (MUTED, "muted"), (RULE, "rule"), (PAPER, "paper")):
        svg = svg.replace(colour, f"var(--{name})")
    width, height = (float(n) for n in re.findall(r'\b(?:width|height)="([\d.]+)pt"', svg)[:2])
    title = TITLE_IN * 72
    head, rest = svg.split(">", 1)
    namespace = re.search(r'xmlns:xlink="[^"]+"', head)
    names = 'xmlns="http://www.w3.org/2000/svg" ' + (namespace[0] if namespace else "")
    return f'<svg {names} viewBox="0 {title:g} {width:g} {height - title:g}" aria-hidden="true">{rest}'
