"""Colours, markers and scenes: what must hold across charts."""

from dataclasses import replace

from msgspec import structs

from midas_bench.depth.backends.registry import REGISTRY
from midas_bench.report.charts.style import FIXED, look
from midas_bench.report.charts.throughput import STAGES, speedup, stages
from midas_bench.report.charts.timing import latency, one_photo
from midas_bench.results.ranking import ARTICLE
from midas_bench.results.units import TIMES, seconds


def test_each_backend_looks_the_same_in_every_chart_and_like_no_other():
    assert set(FIXED) == {*REGISTRY, "article's recipe"}
    assert len(set(FIXED.values())) == len(FIXED)
    assert look(["onnx"])["onnx"] == look(["mine", "eager", "onnx"])["onnx"]
    several = look([*FIXED, *(f"mine-{n}" for n in range(20))])
    assert len(set(several.values())) == len(several)


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
