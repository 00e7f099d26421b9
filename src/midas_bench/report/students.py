"""Students beside their teacher -> a table, and a report of one section."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from midas_bench.render.document import Document, Section, Table, TableCell, code, number, present, table
from midas_bench.report.charts.students import speed_against_fidelity
from midas_bench.results import units
from midas_bench.results.recommendations import DISTURBED
from midas_bench.results.student_results import Student, TeacherComparison
from midas_bench.results.tuning_results import Trial

TITLE = "Students beside their teacher"
CANNOT_JUDGE = (
    "Seeded (random) weights are among them: these figures tell how closely depth is repeated, and not how good any "
    "depth is."
)
Cell = Callable[[Student], TableCell]


def students_table(compared: TeacherComparison) -> Table:
    """Show each student's fidelity beside what it costs; columns that no row has a figure for are left out."""
    columns: list[tuple[str, bool, Cell]] = [
        ("model", True, lambda s: code(s.name)),
        ("backend", True, lambda s: code(s.backend)),
        ("rank corr.#", True, lambda s: number(f"{s.rank_correlation:.4f}", s.rank_correlation)),
        ("error#", True, lambda s: number(units.percent(s.aligned_error), s.aligned_error)),
        ("pairs kept#", True, lambda s: number(units.percent(s.ordered_pairs_kept), s.ordered_pairs_kept)),
        ("AbsRel#", compared.true_depth > 0, lambda s: _digits(s.abs_rel)),
        ("d<1.25#", compared.true_depth > 0, lambda s: number(units.percent(s.delta_125), s.delta_125)),
        ("time per photo#", _any(compared, lambda s: s.photo_s), _time),
        ("memory#", _any(compared, lambda s: s.peak_bytes), lambda s: number(units.mib(s.peak_bytes), s.peak_bytes)),
        ("file#", True, lambda s: number(units.mib(s.file_bytes), s.file_bytes)),
        ("parameters#", True, lambda s: number(_millions(s.parameters), s.parameters)),
    ]  # fmt: skip
    shown = [(head, cell) for head, has_figures, cell in columns if has_figures]
    rows = [[cell(student) for _, cell in shown] for student in compared.students]
    students = table("students", TITLE, [head for head, _ in shown], rows, note=" ".join(notes(compared)))
    assert students is not None
    return students


def _any(compared: TeacherComparison, figure: Callable[[Student], object]) -> bool:
    return any(figure(student) is not None for student in compared.students)


def _digits(value: float | None) -> TableCell:
    return number(units.NOTHING if value is None else f"{value:.3f}", value)


def _time(student: Student) -> TableCell:
    time = student.photo_s
    return number(units.seconds_span(time), time.estimate) if time else number(units.NOTHING, None)


def _millions(count: int | None) -> str:
    return units.NOTHING if count is None else f"{units.digits(count / 1e6)} M"


def notes(compared: TeacherComparison) -> Iterable[str]:
    """Yield sentences on what the figures are."""
    yield f"Means over {units.counted(compared.photos, 'photo')}, against the depth of {compared.teacher}."
    yield (
        "Error: mean difference as a share of the teacher's range, after scale and shift are fitted. "
        "Pairs kept: pixel pairs in the teacher's order."
    )
    if compared.true_depth:
        photos = units.counted(compared.true_depth, "photo")
        yield f"AbsRel and d<1.25: against the true depth of {photos}."
    trials = _trials(compared)
    if trials:
        passes = sorted({len(trial.visits) for trial in trials})
        yield (
            f"Time: one photo on {units.counted(compared.threads, 'thread')}, the median over "
            f"{' to '.join(map(str, dict.fromkeys((passes[0], passes[-1]))))} passes in which all take turns; from two "
            "on with a 95 % interval. Memory: the peak of a process."
        )


def warnings(compared: TeacherComparison) -> Iterable[str]:
    """Yield sentences that must not be overlooked."""
    if not compared.judged:
        yield CANNOT_JUDGE
    trials = _trials(compared)
    visits, disturbed = sum(len(trial.visits) for trial in trials), sum(trial.disturbed for trial in trials)
    if trials and disturbed >= DISTURBED * visits:
        yield (
            f"The machine was disturbed in {disturbed} of {visits} visits: times may be chance. Run again when it is "
            "idle; midas-bench doctor names what is busy."
        )


def _trials(compared: TeacherComparison) -> list[Trial]:
    return [student.trial for student in compared.students if student.trial]


def students_document(compared: TeacherComparison) -> Document:
    """Build the report of one section."""
    text = tuple(f"Left out: {name}: {why}." for name, why in compared.left_out.items())
    charts = present(speed_against_fidelity(compared.students))
    section = Section(
        "students",
        TITLE,
        warnings=tuple(warnings(compared)),
        text=text,
        tables=(students_table(compared),),
        charts=charts,
    )
    return Document(TITLE, f"Teacher: {compared.teacher}; {compared.cpu}", (section,))
