"""A profile and what moved, as people read them."""

from dataclasses import replace

from rich.console import Console

from midas_bench.profile.moved import moved
from midas_bench.profile.operators import Operator, Profile
from midas_bench.profile.text import costs, explained, markdown, moved_table, operator_table, share_of_peak
from midas_bench.render.terminal import print_table
from midas_bench.results import units

SHAPES = ((1, 32, 256, 256), (32, 32, 3, 3))
CONV = Operator("c_nchwc", "Conv", (0.004, 0.005, 0.006), "c", SHAPES, (), 1, 10**9, "f32")
RELU = Operator("aten::relu 3", "relu", (0.001, 0.001, 0.001), inputs=SHAPES[:1])
BASE = Profile((CONV, RELU), (0.009, 0.010, 0.011), (0.0089, 0.0090, 0.0091))


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_an_operator_without_a_tensor_is_told_by_its_shapes():
    assert texts(operator_table(BASE, {}))[1][0] == "relu 3, 1x32x256x256"


def test_the_share_of_the_peak_is_known_where_operations_time_and_peak_are():
    assert share_of_peak(CONV, {"f32": 400e9}) == 0.5
    assert share_of_peak(CONV, {"int8": 400e9}) is None
    assert share_of_peak(RELU, {"f32": 400e9}) is None
    assert share_of_peak(replace(CONV, rounds_s=(0.0,)), {"f32": 400e9}) is None


def test_what_is_outside_of_operators_is_left_out_where_they_ran_side_by_side():
    assert texts(operator_table(BASE, {}))[-1][0] == "outside of the operators"
    parallel = replace(BASE, calls_s=(0.004, 0.004, 0.004))
    assert [row[0] for row in texts(operator_table(parallel, {}))] == ["c", "relu 3, 1x32x256x256"]


def test_costs_tell_whether_they_are_more_than_the_rounds_vary():
    assert costs(BASE, "decoding") == (
        "A call takes 10.0 ms with the profiler and 9.00 ms without it (+11.1 %, within the spread of the rounds); "
        "the table leaves out decoding."
    )
    assert "(+11.1 %); the table" in costs(replace(BASE, calls_s=(0.0099, 0.010, 0.0101)), "decoding")
    assert costs(replace(BASE, plain_s=()), "decoding") == "The table leaves out decoding."


def changed():
    resize = Operator("r", "Resize", (0.002, 0.002, 0.002), "r")
    slower = replace(CONV, rounds_s=(0.005, 0.006, 0.007))
    return Profile((slower, resize), (0.012, 0.013, 0.014))


def test_moved_operators_are_told_with_both_sides_and_their_change():
    head = changed()
    assert texts(moved_table(moved(BASE, head))) == [
        ["r", "Resize", units.NOTHING, "2.00 ms", "+2.00 ms", "only in head"],
        ["relu 3, 1x32x256x256", "relu", "1.00 ms", units.NOTHING, "-1.00 ms", "only in base"],
        ["c", "Conv", "5.00 ms", "6.00 ms", "+1.00 ms", "within the spread of the rounds"],
    ]
    assert explained(moved(BASE, head), BASE, head, top=1) == (
        "A call changed by +3.00 ms; the operators of the table account for +2.00 ms, and what is outside of operators "
        "for +1.00 ms."
    )


def test_a_changed_kind_is_told():
    upsample, resize = (
        Operator("u", kind, (time_s,), "u") for kind, time_s in (("Upsample", 0.001), ("Resize", 0.003))
    )
    [row] = texts(moved_table(moved(Profile((upsample,), (0.1,)), Profile((resize,), (0.1,)))))
    assert row[:2] == ["u", "Upsample, now Resize"]


def test_markdown_and_terminal_show_names_as_they_are():
    odd = replace(CONV, output="a|b[red]*_`")
    table = operator_table(replace(BASE, operators=(odd,)), {})
    assert "| `` a\\|b[red]*_` `` |" in markdown(table, "One *sentence*.")
    assert markdown(table, "One *sentence*.").endswith("\n\nOne \\*sentence\\*.\n")
    console = Console(record=True, width=120, file=None)
    with console.capture() as capture:
        print_table(table, console)
    assert "a|b[red]*_`" in capture.get()
