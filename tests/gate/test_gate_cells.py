import pytest

from midas_bench.errors import UserError
from midas_bench.gate.gate_cells import FAMILY, GateCell, cells_named, full_matrix


def test_the_default_family_is_the_whole_way_and_each_of_its_stages():
    assert [cell.name for cell in FAMILY] == [
        "pipeline[onnx-b1-street]",
        "decode[onnx-b1-street]",
        "preprocess[onnx-b1-street]",
        "inference[onnx-b1-street]",
        "heatmap[onnx-b1-street]",
    ]


def test_the_full_matrix_holds_each_pipeline_cell_and_the_family_once():
    cells = full_matrix()
    assert len(cells) == len(set(cells)) == 48 + 4
    assert set(FAMILY) <= set(cells)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("eager", GateCell("pipeline", "eager")),
        ("decode", GateCell("decode")),
        ("pipeline", GateCell("pipeline")),
        ("pipeline[jit-b4-pet]", GateCell("pipeline", "jit", 4, "pet")),
        ("test_pipeline[jit-b4-pet]", GateCell("pipeline", "jit", 4, "pet")),
    ],
)
def test_a_cell_is_called_by_its_backend_its_stage_or_its_benchmark(name, wanted):
    assert cells_named([name, name]) == (wanted,)


@pytest.mark.parametrize("name", ["tpu", "pipeline[onnx-b9-street]", "pipeline[onnx-b1-moon]", "sing[onnx-b1-pet]", ""])
def test_an_unknown_name_is_one_line_with_the_choices(name):
    with pytest.raises(UserError, match=r"is unknown; choose from eager, jit, onnx.*pipeline\[onnx-b1-street\]"):
        cells_named([name])
