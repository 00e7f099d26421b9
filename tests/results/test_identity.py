"""What a thing is told by is the text of the file; what is shown of it may look like another's."""

import json
from itertools import product
from pathlib import Path

import pytest
from rich.console import Console

from midas_bench.errors import UserError
from midas_bench.gate import result_text
from midas_bench.gate.rule import IMPROVED, MISSING, PASSED, REGRESSED
from midas_bench.gate.saved_gate import SavedQuestion, gate_saved
from midas_bench.gate.thresholds import Thresholds
from midas_bench.report import tables
from midas_bench.report.charts import load as load_chart
from midas_bench.report.charts import resources, style, throughput, timing
from midas_bench.report.charts.trend import trends
from midas_bench.report.photo_strip import Album
from midas_bench.report.sections import machine_section
from midas_bench.report.select_runs import choose, default_labels
from midas_bench.results.ranking import fastest
from midas_bench.results.recommendations import three_lines
from midas_bench.results.run_files import read
from midas_bench.results.runs import of_one_kind

LONG = "x" * 299
ALIKE = {
    "after 299 letters": (f"{LONG}-one", f"{LONG}-two"),
    "before 299 letters": (f"one-{LONG}", f"two-{LONG}"),
    "amid 5000 letters": (f"{'x' * 2500}1{'x' * 2500}", f"{'x' * 2500}2{'x' * 2500}"),
    "length": (LONG + "x" * 20, LONG + "x" * 30),
    "control characters": ("a\x00b", "a\x01b"),
    "line ends": ("a\nb", "a\rb"),
    "directions": ("a\u202eb", "a\u202db"),
    "invisible": ("a\u200bb", "a\u200cb"),
    "half pairs": ("a\ud800b", "a\udfffb"),
    "as it is shown": ("a\x00b", "a\N{REPLACEMENT CHARACTER}b"),
    "composition": ("caf\u00e9", "cafe\u0301"),
    "spaces at the end": ("a", "a "),
}
"""Pairs of names that are, or were, shown alike."""


@pytest.fixture(params=ALIKE)
def pair(request):
    return ALIKE[request.param]


@pytest.fixture
def saved(synthetic, tmp_path):
    """Save a run of some cells, each a name, a typical time and its `extra_info`."""
    numbers = iter(range(100))

    def save(*cells, **more):
        number = next(numbers)
        maker = synthetic.Maker(seed=number, scenes=("street",))
        for fullname, typical_s, info in cells:
            maker.add(fullname, typical_s, **info)
        content = synthetic.content(maker.benchmarks)
        for name, change in more.items():
            content[name] |= change
        return synthetic.save(tmp_path / f"{number:04}.json", content, depth_maps=False)

    return save


def latency(**info):
    return {"scene": "street", "backend": "onnx", "recipe": "fast", "batch_size": 1, "threads": 2} | info


def gated(baseline, run):
    result = gate_saved(SavedQuestion(baseline, run, Thresholds(0.05, 0.05, 0.2), 0.01))
    return result, {judgement.figure.name: judgement for judgement in result.judgements}


def test_cells_that_look_alike_are_two_and_each_is_judged_by_its_own(saved, pair):
    one, two = (f"bench/test_pipeline.py::test_pipeline[{name}]" for name in pair)
    before = [saved((one, 0.1, latency()), (two, 0.1, latency())) for _ in range(4)]
    after = [saved((two, 0.2, latency()), (one, 0.05, latency())) for _ in range(4)]
    assert [record.fullname for record in read(before[0]).records] == [one, two]
    result, judged = gated(before, after)
    assert {name: judgement.verdict for name, judgement in judged.items()} == {one: IMPROVED, two: REGRESSED}
    assert result.regressed == [two]
    document = json.loads(json.dumps(result.to_json()))
    assert {row["figure"]["name"] for row in document["figures"]} == {one, two}
    rows = tables.comparison(choose([before[0], after[0]], [], Album()).comparisons[0], 1).rows
    assert len(rows) == 2
    # the other way round none of either passes for the other
    _, judged = gated(*([saved((name, 0.1, latency())) for _ in range(2)] for name in (one, two)))
    assert {judgement.verdict for judgement in judged.values()} == {MISSING}


def test_a_cell_that_stands_twice_is_refused_in_one_line(saved, pair):
    path = saved(*[(name, 0.1, latency()) for name in (pair[0], pair[1], pair[0])])
    with pytest.raises(UserError, match=r"holds the cell .* 2 times") as error:
        read(path)
    assert str(error.value).isprintable()


def test_what_a_terminal_and_a_pull_request_are_given_is_printable(saved, pair, capsys):
    before, after = ([saved(*[(name, s, latency()) for name in pair]) for _ in range(4)] for s in (0.1, 0.2))
    result, _ = gated(before, after)
    result_text.print_result(result, Console(width=1000, soft_wrap=True))
    for text in (capsys.readouterr().out, result_text.markdown(result)):
        assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("figure", ["peak memory", "start-up", "median time"])
def test_a_cell_that_is_called_like_anothers_figure_keeps_its_own(saved, figure):
    def with_all(name, typical_s):
        memory = {"kind": "memory", "peak_rss_bytes": 2**30, "backend": "onnx"}
        startup = {"kind": "startup", "startup_s": {"import": [7.0], "load": [7.0]}, "backend": "onnx"}
        more = {"peak memory": memory, "start-up": startup, "median time": latency()}[figure]
        return [(name, 0.1, more), (f"{name} {figure}", typical_s, latency())]

    before, after = ([saved(*with_all("cell", typical_s)) for _ in range(4)] for typical_s in (0.1, 0.2))
    result, judged = gated(before, after)
    assert len(judged) == len(result.judgements) == 2
    assert sorted(judgement.verdict for judgement in judged.values()) == sorted([REGRESSED, PASSED])
    [regressed] = result.regressed
    assert 0.09 < result.base_values[regressed] < 0.15
    assert set(result.base_values) == set(judged)


def test_backends_that_look_alike_are_two_in_answers_tables_and_charts(saved, pair):
    def cells(backend, typical_s):
        for size, threads in product((1, 2), (1, 2)):
            name = f"test_pipeline[{backend}-{size}-{threads}]"
            yield name, typical_s * size, latency(backend=backend, batch_size=size, threads=threads)
        for threads in (1, 2):
            yield f"test_threads[{backend}-{threads}]", typical_s, latency(backend=backend, threads=threads)
        for stage in throughput.STAGES:
            which = {"backend": backend} if stage == "inference" else {}
            info = {"kind": "stage", "stage": stage, "scene": "street", "recipe": "fast", "batch_size": 1, **which}
            yield f"test_{stage}[{backend}]", typical_s, info
        memory = {"kind": "memory", "rss_over_time": {"t_s": [0.0, 1.0], "rss_bytes": [2**28, 2**29]}}
        yield f"test_memory[{backend}]", 1.0, latency(backend=backend, peak_rss_bytes=2**29, **memory)
        point = {"achieved_per_second": 5.0, "p50_s": 0.1, "p90_s": 0.1, "p99_s": 0.1}
        points = [point | {"offered_per_second": rate} for rate in (1.0, 5.0)]
        yield f"test_load[{backend}]", 1.0, {
            "kind": "load", "scenario": "open-loop", "backend": backend, "load_points": points
        }  # fmt: skip

    both = [cell for backend, typical_s in zip(pair, (0.1, 0.2), strict=True) for cell in cells(backend, typical_s)]
    paths = [saved(*both) for _ in range(2)]
    runs = list(map(read, paths))
    records = runs[0].records
    answer = fastest(records)
    assert (answer.winner.backend, [a.setup.backend for a in answer.alternatives]) == (pair[0], [pair[1]])
    labels = style.labels(pair)
    assert len(set(labels.values())) == 2
    assert all(len(label) <= style.LONGEST_LABEL and label.isprintable() for label in labels.values())
    assert timing.rounds(records).svg
    charts = (timing.latency, timing.threads, throughput.throughput, throughput.stages,
              resources.memory, resources.memory_over_time, load_chart.load)  # fmt: skip
    for chart in charts:
        drawn = chart(records)
        assert all(drawn.alt.count(label) >= 1 for label in labels.values()), drawn.id
    assert [line.name for line in trends(runs)] == [pair[1], pair[0]]
    assert len(resources.memory_groups(records)) == 2
    assert all(line.isprintable() for line in three_lines(records))


@pytest.mark.parametrize("scenes", [*ALIKE.values(), (None, "None")])
def test_scenes_that_look_alike_are_two(saved, scenes):
    cells = [
        (f"test_pipeline[{backend}-{number}]", typical_s, latency(backend=backend, scene=scene))
        for number, scene in enumerate(scenes)
        for backend, typical_s in (("onnx", 0.1), ("jit", 0.2))
    ]
    paths = [saved(*cells) for _ in range(2)]
    records = read(paths[0]).records
    answer = fastest(records)
    assert len(answer.cells) == 2
    assert answer.scenes == tuple(sorted(scene for scene in scenes if scene is not None))
    shown = timing.scenes_of(records, records)
    assert list(shown) == list(scenes)
    assert len(set(shown.values())) == 2
    assert timing.rounds(records).svg
    [one, two] = [series for series in trends(list(map(read, paths))) if series.name in ("onnx", "jit")]
    assert one.medians[0].estimate / two.medians[0].estimate == pytest.approx(2, rel=0.2)


def test_machines_that_look_alike_are_two(saved, pair):
    kinds = [saved((LONG, 0.1, latency()), machine_info={"midas_bench": {"fingerprint": name, "cpu_model": "CPU X"}})
             for name in pair]  # fmt: skip
    names = [saved((LONG, 0.1, latency()), machine_info={"midas_bench": None, "cpu": {"brand_raw": f"CPU {name}"}})
             for name in pair]  # fmt: skip
    assert not of_one_kind(map(read, kinds))
    # spaces make no other CPU
    assert of_one_kind(map(read, names)) == (pair[0].split() == pair[1].split())
    assert [run.path for run in choose([kinds[0]], [], Album()).history] == [kinds[0]]


def test_loads_and_answers_that_look_alike_are_counted_apart(saved, pair):
    outcomes = {name: dict.fromkeys(pair, 1) for name in pair}
    soak = {"kind": "load", "scenario": "soak", "backend": "onnx", "outcomes": outcomes}
    path = saved(*[(f"{folder}::test_load[onnx]", 1.0, soak) for folder in "abc"])
    records = read(path).records
    assert [record.info.outcomes for record in records] == [outcomes] * 3
    assert len(load_chart.by_label(records)) == 3
    assert len(tables.soaks(records[:1]).rows) == 4


def test_weights_that_begin_alike_are_both_told(saved):
    weights = [{"source": "file", "sha256": "ab" * 31 + end} for end in ("01", "02")]
    path = saved(*[(f"cell {number}", 0.1, latency(weights=one)) for number, one in enumerate(weights)])
    [text, *_] = machine_section(choose([path], [], Album())).text
    assert text.count("file (abababab)") == 2


@pytest.mark.parametrize("names", [
    ("run.json", "other/run.json", "third/run.json.json"), ("a/x.json", "b/x.json", "x"),
    ("a/1.json", "a/1", "b/1.json"),
])  # fmt: skip
def test_places_whose_labels_look_alike_are_sides_of_their_own(saved, tmp_path, monkeypatch, names):
    monkeypatch.chdir(tmp_path)
    paths = list(map(Path, names))
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        saved((LONG, 0.1, latency())).rename(path)
    assert len(set(default_labels(paths))) == 3
    assert [len(side.runs) for side in choose(paths, [], Album()).sides] == [1, 1, 1]


def test_one_place_by_two_paths_is_one_side(saved, tmp_path):
    path = saved((LONG, 0.1, latency()))
    (tmp_path / "folder").mkdir()
    data = choose([path, tmp_path / "folder/.." / path.name], [], Album())
    assert data.sides == ()
    assert "Left out of" in data.remarks[0]


@pytest.mark.parametrize("label", ["ends in #", "#", "x##"])
def test_a_label_heads_its_column_as_it_is(saved, label):
    paths = [saved((LONG, 0.1, latency()), machine_info={"midas_bench": {"fingerprint": name, "cpu_model": "CPU X"}})
             for name in ("one", "two")]  # fmt: skip
    [compared] = choose(paths, ["base", label], Album()).comparisons
    assert tables.comparison(compared, 1).columns[6].title == label
    assert tables.machines_differ(compared, 1).columns[2].title == label
