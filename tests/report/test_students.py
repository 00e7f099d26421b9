from dataclasses import replace

import pytest

from midas_bench.render.markdown import markdown
from midas_bench.report.charts.students import speed_against_fidelity
from midas_bench.report.students import notes, students_document, students_table, warnings
from midas_bench.results.ranking import Setup
from midas_bench.results.student_results import Student, TeacherComparison, ranked
from midas_bench.results.tuning_results import Trial, Visit
from midas_bench.results.units import NOTHING

MIB = 1 << 20


def trial(backend, *seconds, disturbed=0):
    reasons = [("busy",)] * disturbed + [()] * (len(seconds) - disturbed)
    visits = tuple(Visit(n, (s,), why) for n, (s, why) in enumerate(zip(seconds, reasons, strict=True), start=1))
    return Trial(Setup(backend, 1, 2), True, visits, 100 * MIB)


TEACHER = Student(
    "big.onnx", "onnx", 1.0, 0.0, 1.0, 0.1, 0.9, 0.95, 80 * MIB, 21_000_000, trial("onnx", *[0.06] * 6), True
)
SMALL = Student(
    "small.onnx", "onnx", 0.93, 0.052, 0.88, 0.2, 0.7, 0.9, 10 * MIB, 2_500_000, trial("onnx", *(0.02, 0.021) * 3)
)
INT8 = Student("small.onnx", "onnx-int8", 0.92, 0.06, 0.87, 0.21, 0.69, 0.88, 3 * MIB, 2_500_000)


def compared(*students, **how):
    values = {"true_depth": 7, "judged": True, "left_out": {}, **how}
    return TeacherComparison("big.onnx", 18, threads=2, cpu="a CPU", students=ranked(students), **values)


def columns(table):
    return [column.title for column in table.columns]


def test_the_fastest_comes_first_and_what_was_not_timed_last():
    assert ranked([TEACHER, INT8, SMALL]) == (SMALL, TEACHER, INT8)
    table = students_table(compared(TEACHER, INT8, SMALL))
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["small.onnx", "onnx", "0.9300", "5.20 %", "88.0 %", "0.200", "70.0 %", "20.5 ms (20.0 to 21.0)", "100 MiB",
         "10.0 MiB", "2.50 M"],
        ["big.onnx (teacher)", "onnx", "1.0000", "0 %", "100 %", "0.100", "90.0 %", "60.0 ms", "100 MiB", "80.0 MiB",
         "21.0 M"],
        ["small.onnx", "onnx-int8", "0.9200", "6.00 %", "87.0 %", "0.210", "69.0 %", NOTHING, NOTHING, "3.00 MiB",
         "2.50 M"],
    ]  # fmt: skip


def test_columns_without_a_figure_are_left_out():
    bare = Student("small.onnx", "onnx", 0.9, 0.1, 0.8)
    found = compared(bare, true_depth=0)
    expected = ["model", "backend", "rank corr.", "error", "pairs kept", "file", "parameters"]
    assert columns(students_table(found)) == expected
    assert not any("AbsRel" in note or "Time" in note for note in notes(found))


def test_random_weights_and_a_disturbed_machine_are_warned_of():
    assert list(warnings(compared(SMALL))) == []
    noisy = Student("small.onnx", "onnx", 0.9, 0.1, 0.8, trial=trial("onnx", *[0.02] * 6, disturbed=3))
    random, disturbed = warnings(compared(noisy, judged=False))
    assert random.startswith("Seeded (random) weights are among them")
    assert disturbed.startswith("The machine was disturbed in 3 of 6 visits")


def test_the_report_has_table_chart_and_what_was_left_out():
    document = students_document(
        compared(TEACHER, SMALL, left_out={"sky.jpg": "the teacher's depth is constant there"})
    )
    text = markdown(document)
    assert "Left out: sky.jpg: the teacher's depth is constant there." in text
    assert "| `small.onnx` | `onnx` | 0.9300 |" in text
    assert "charts/speed-against-fidelity.svg" in text


def test_the_chart_says_its_figures_in_words_and_marks_the_teacher():
    chart = speed_against_fidelity([SMALL, TEACHER, INT8])
    assert chart.alt.endswith("small.onnx on onnx: 20.5 ms, 0.930; big.onnx (teacher) on onnx: 60.0 ms, 1.000")
    assert ">big.onnx (teacher)<" in chart.svg
    assert ">small.onnx<" in chart.svg
    assert "onnx-int8" not in chart.svg
    assert chart.png.startswith(b"\x89PNG")


def test_a_student_of_the_teachers_name_is_not_taken_for_it():
    chart = speed_against_fidelity([replace(SMALL, model="big.onnx"), TEACHER])
    assert ">big.onnx<" in chart.svg
    assert ">big.onnx (teacher)<" in chart.svg


def test_a_chart_needs_two_times():
    assert speed_against_fidelity([SMALL, INT8]) is None


@pytest.mark.parametrize("figures", [(-1.0, -0.4), (0.9999, 0.9999)])
def test_any_correlations_give_a_chart(figures):
    students = [
        Student(f"{n}.onnx", "onnx", value, 0.1, 0.5, trial=trial("onnx", 0.02)) for n, value in enumerate(figures)
    ]
    assert speed_against_fidelity(students) is not None


def test_json_has_every_figure_in_si_units():
    found = SMALL.to_json()
    assert found["photo_s"] == pytest.approx(0.0205)
    assert found["photo_ci_s"] == {"low": pytest.approx(0.02), "high": pytest.approx(0.021)}
    assert (found["peak_rss_bytes"], found["file_bytes"], found["passes"]) == (100 * MIB, 10 * MIB, 6)
    assert (INT8.to_json()["photo_s"], INT8.to_json()["photo_ci_s"]) == (None, None)
