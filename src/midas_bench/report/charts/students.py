"""The chart of students beside their teacher: speed against fidelity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import FigureBase

from midas_bench.render.document import Chart
from midas_bench.report.charts import style
from midas_bench.results import units
from midas_bench.results.student_results import Student

MARGIN = 0.12
"""Of the height of the points, left free above and below."""
ENDS = 0.04
"""Of it, the height of an interval's ends."""
LEAST_HEIGHT = 0.02
"""Of the axis: rank correlations that differ by less are shown side by side, not blown up."""

LONGEST_NAME = 32
"""Letters of a model's name in the legend, which has room for three in a row."""


def speed_against_fidelity(students: Sequence[Student]) -> Chart | None:
    """Show each student's time for one photo against its rank correlation with the teacher; None for fewer than two.

    A model has a colour and a backend a marker. The teacher's is empty, and lines through it part what is faster.
    """
    timed = [(student, time) for student in students if (time := student.photo_s)]
    if len(timed) < 2:
        return None
    colours = {name: colour for name, (colour, _) in style.look([s.name for s, _ in timed]).items()}
    markers = {name: marker for name, (_, marker) in style.look([s.backend for s, _ in timed]).items()}
    names = style.labels(colours, LONGEST_NAME)
    teachers = {student.name for student, _ in timed if student.is_teacher}
    places = [student.rank_correlation for student, _ in timed]
    height = max(max(places) - min(places), LEAST_HEIGHT)
    margin, end_height = MARGIN * height, ENDS * height

    def draw(figure: FigureBase) -> None:
        axes = figure.add_subplot()
        for student, time in timed:
            colour, marker, place = colours[student.name], markers[student.backend], student.rank_correlation
            time_ms, hollow = time.mapped(1e3), {}
            if student.is_teacher:
                hollow = {"markerfacecolor": style.PAPER, "markeredgecolor": colour, "markeredgewidth": 1.4}
                axes.axvline(time_ms.estimate, color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
                axes.axhline(place, color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            style.whiskers(axes, time_ms, place, colour, marker, end_height, markersize=7, **hollow)
        for name, colour in colours.items():
            face: dict[str, Any] = {"markerfacecolor": style.PAPER} if name in teachers else {}
            axes.plot([], [], "o", color=colour, markersize=7, markeredgewidth=1.4, label=names[name], **face)
        for backend, marker in markers.items():
            axes.plot([], [], marker, color=style.MUTED, markersize=6 * style.LARGER.get(marker, 1), label=backend)
        axes.set_xlim(0, 1.08 * max(time.high for _, time in timed) * 1e3)
        axes.set_ylim(min(places) - margin, max(places) + margin)
        axes.grid(visible=True, axis="both")
        axes.set_xlabel("time for one photo, ms (median over passes; bars: 95 % interval)")
        axes.set_ylabel("rank correlation with the teacher")
        style.legend(figure, axes, columns=4)

    alt = "Time for one photo and rank correlation with the teacher. " + "; ".join(
        f"{student.name} on {student.backend}: {units.seconds(time.estimate)}, {student.rank_correlation:.3f}"
        for student, time in timed
    )
    note = "Further left is faster, higher is closer to the teacher. A colour is a model, a marker is a backend."
    if teachers:
        note += " The empty marker is the teacher; what is left of its line is faster."
    return style.chart("speed-against-fidelity", "Speed against fidelity", alt, note, draw, 3.4)
