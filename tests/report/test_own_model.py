"""The report of a model of one's own: what is about MiDaS_small alone says so, and sizes are the model's."""

import pytest

from midas_bench.report.claims import NOT_FOR_MODEL
from midas_bench.report.photo_strip import Album
from midas_bench.report.sections import document
from midas_bench.report.select_runs import choose
from midas_bench.results.units import NOTHING


@pytest.fixture
def reported(synthetic, tmp_path):
    """Report a run of some weights: of a model of one's own only what can run it."""

    def report(weights):
        maker = synthetic.Maker(scenes=("street", "pet"))
        cells = maker.everything(depth_maps=False)
        for cell in cells:
            cell["extra_info"]["weights"] = weights
        if weights["source"] == "model":
            cells = [cell for cell in cells if runs_it(cell["extra_info"])]
        path = synthetic.save(tmp_path / "run.json", synthetic.content(cells), depth_maps=False)
        return document(choose([path], [], Album()))

    return report


def runs_it(info):
    of_others = any(word in str(info.get("ratio", "")) for word in ("eager", "article"))
    return info.get("recipe") != "article" and info.get("backend", "onnx") == "onnx" and not of_others


def tables_of(page):
    return {table.id: table for section in page.sections for table in section.tables}


def test_claims_and_rows_of_the_articles_network_are_not_for_a_model_of_ones_own(reported, synthetic):
    page = reported(synthetic.STUDENT)
    assert page.title == "Depth estimation by student.onnx on CPU"
    found = tables_of(page)
    verdicts = {row[0].text: [cell.text for cell in row[2:4]] for row in found["claims"].rows}
    without = [text for text, shown in verdicts.items() if shown == [NOTHING, NOT_FOR_MODEL]]
    assert len(without) == 8
    # what any network can be asked
    assert verdicts["Larger batches, up to four photos, raise the throughput."][1] == "holds"
    article, recipe, *own = [[cell.text for cell in row] for row in found["article"].rows]
    assert article[0] == "the article"
    assert recipe == ["article's recipe", *[NOTHING] * 4, NOT_FOR_MODEL]
    assert {row[0] for row in own} == {"onnx"}


def test_sizes_are_those_of_the_model(reported, synthetic):
    page = reported(synthetic.STUDENT)
    assert "One image of 252x336 per call" in tables_of(page)["peers"].note
    [chart] = [chart for section in page.sections for chart in section.charts if chart.id == "scenes"]
    assert "sees 252x336 pixels" in chart.note
    text = " ".join(sentence for section in page.sections for sentence in section.text)
    assert "Weights: student.onnx (5d5d5d5d), 252x336, meaning depth." in text


def test_a_report_on_midas_small_says_nothing_of_models(reported, synthetic):
    page = reported(synthetic.WEIGHTS)
    assert page.title == "MiDaS_small depth estimation on CPU"
    found = tables_of(page)
    assert NOT_FOR_MODEL not in {cell.text for row in found["claims"].rows for cell in row}
    assert NOT_FOR_MODEL not in {cell.text for row in found["article"].rows for cell in row}
    assert "One image of 256x256 per call" in found["peers"].note
