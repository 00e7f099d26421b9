"""Colours, markers and scenes: what must hold across charts."""

from dataclasses import replace

from matplotlib.figure import Figure
from msgspec import structs

from midas_bench.depth.backends.registry import REGISTRY
from midas_bench.report.charts.fidelity import agreement
from midas_bench.report.charts.style import FIXED, LONGEST_LABEL, labels, legend, look, own_ids
from midas_bench.report.charts.throughput import STAGES, speedup, stages
from midas_bench.report.charts.timing import latency, one_photo
from midas_bench.results.fidelity_results import points
from midas_bench.results.ranking import ARTICLE
from midas_bench.results.run_files import read
from midas_bench.results.units import TIMES, seconds


def test_each_backend_looks_the_same_in_every_chart_and_like_no_other():
    assert set(FIXED) == {*REGISTRY, "article's recipe"}
    assert len(set(FIXED.values())) == len(FIXED)
    assert look(["onnx"])["onnx"] == look(["mine", "eager", "onnx"])["onnx"]
    several = look([*FIXED, *(f"mine-{n}" for n in range(20))])
    assert len(set(several.values())) == len(several)


def test_models_keep_their_looks_whatever_their_order():
    names = ["student on onnx", "teacher on openvino", "teacher on onnx"]
    assert look(names) == look(names[::-1])
    assert len(set(look(names).values())) == 3


def test_a_models_name_is_cut_and_its_backend_is_not():
    long = "depth_anything_v2_small"
    cut = labels([f"{long} on onnx", f"{long} on openvino", f"{long}_518 on onnx"])
    assert len(set(cut.values())) == 3
    assert all(name.rpartition(" on ")[2] == text.rpartition(" on ")[2] for name, text in cut.items())
    assert all(len(text) <= LONGEST_LABEL for text in cut.values())


def test_a_legend_of_long_names_has_fewer_columns():
    def columns(names):
        figure = Figure(layout="constrained")
        axes = figure.add_subplot()
        for name in names:
            axes.plot([], [], label=name)
        legend(figure, axes)
        return figure.legends[0]._ncols

    assert columns(["eager", "jit", "onnx", "openvino"]) == 4
    assert columns([f"a model of {n} on openvino" for n in range(8)]) == 3


def test_models_have_no_speed_up_over_a_network_that_did_not_run(synthetic, tmp_path):
    cells = synthetic.Maker(scenes=("street",)).models({"large": 1.0, "small": 0.5}, depth_maps=False)
    records = read(synthetic.save(tmp_path / "models.json", synthetic.content(cells))).records
    assert speedup(records) is None
    svg = agreement(points(records)).svg
    assert all(f">{model} on {backend} " in svg for model in ("large", "small") for backend in ("onnx", "openvino"))
    assert "rank correlation with large" in svg


def test_scenes_that_only_the_articles_recipe_saw_take_no_room(small):
    article = next(r for r in small.records if r.info.recipe == ARTICLE and r.is_pipeline)
    attic = replace(article, info=structs.replace(article.info, scene="attic"))
    records = [*small.records, attic]
    assert "attic" not in {r.info.scene for r in one_photo(records)}
    assert ">attic<" not in latency(records).svg
    assert {r.info.scene for r in one_photo([attic])} == {"attic"}


def test_the_whole_pipelines_time_stands_beside_the_sum_of_its_stages(small):
    whole = next(r for r in small.records if r.info.backend == "onnx" and r.is_pipeline and r.info.batch_size == 1)
    parts = [replace(whole, kind="stage", info=structs.replace(whole.info, stage=stage)) for stage in STAGES]
    assert f"whole {seconds(whole.times.median_s)}" in stages([whole, *parts]).svg
    assert "whole" not in stages(parts).svg


def test_each_speed_up_has_its_own_figure_beside_it(small):
    svg = speedup(small.records).svg
    assert svg.count(f"{TIMES}<") == 2  # of blocks, and within the run


def test_ids_of_shapes_do_not_hang_on_the_last_digits_of_floats():
    drawn = '<clipPath id="{0}"/><path id="{1}"/><g id="title" clip-path="url(#{0})"/><use xlink:href="#{1}"/>'
    first, second = (
        own_ids("load", drawn.format(*ids)) for ids in (("p83afcdabbf", "m0123456789"), ("pf83bffcc8c", "mabcdef0123"))
    )
    assert first == second
    assert first == (
        '<clipPath id="load-shape1"/><path id="load-shape2"/>'
        '<g id="load-title" clip-path="url(#load-shape1)"/><use xlink:href="#load-shape2"/>'
    )
