"""OpenMetrics exports, as the parser of Prometheus' own Python library takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra [web]")
pytestmark = pytest.mark.slow

from hypothesis import given, settings, strategies  # noqa: E402
from prometheus_client.openmetrics.parser import text_string_to_metric_families  # noqa: E402

from midas_bench.errors import printable  # noqa: E402
from midas_bench.report.exports import openmetrics  # noqa: E402
from midas_bench.results.figures import figures  # noqa: E402
from midas_bench.results.run_files import read, run_from  # noqa: E402

FILES = [Path(__file__).parent / f"data/{name}.json" for name in ("every-kind", "earlier", "plain")]
SMALL = Path(__file__).parents[1] / "results/data/small.json"
FAMILIES = {
    "midas_bench_latency_seconds": "median time",
    "midas_bench_throughput_photos_per_second": "throughput",
    "midas_bench_peak_memory_bytes": "peak memory",
    "midas_bench_startup_seconds": "start-up",
}
NAMES = strategies.text(strategies.characters(), min_size=1, max_size=80)


def families(runs):
    return {family.name: family for family in text_string_to_metric_families(openmetrics(runs))}


@pytest.mark.parametrize("path", [*FILES, SMALL], ids=lambda path: path.stem)
def test_prometheus_reads_every_figure_with_its_unit(path):
    run = read(path)
    read_back = families([run])
    for name, figure_name in FAMILIES.items():
        expected = {
            printable(record.fullname): figure.value
            for record in run.records
            for figure in figures(record)
            if figure.name == figure_name
        }
        samples = read_back[name].samples if name in read_back else []
        assert {sample.labels["cell"]: sample.value for sample in samples} == expected
        assert len(samples) == len(expected)
    assert all(family.type == "gauge" for family in read_back.values())
    assert all(name.endswith(family.unit) for name, family in read_back.items())


def test_prometheus_reads_a_history_as_points_of_one_series(tmp_path):
    content = json.loads(SMALL.read_text())
    runs = [run_from(content | {"datetime": f"2026-02-0{day}"}, tmp_path / f"{day}.json") for day in (3, 1, 2)]
    samples = families(runs)["midas_bench_latency_seconds"].samples
    times = [float(sample.timestamp) for sample in samples if "onnx-b1" in sample.labels["cell"]]
    assert times == sorted(times)
    assert len(times) == 3


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(name=NAMES, scene=NAMES, machine=NAMES)
def test_prometheus_reads_any_name_as_it_is_shown(name, scene, machine):
    content = json.loads(SMALL.read_text())
    content["benchmarks"] = content["benchmarks"][:1]
    content["benchmarks"][0]["fullname"] = name
    content["benchmarks"][0]["extra_info"]["scene"] = scene
    content["machine_info"]["midas_bench"]["fingerprint"] = machine
    run = run_from(content, Path("any.json"))
    text = openmetrics([run]).encode().decode()
    [family, *_] = text_string_to_metric_families(text)
    labels = family.samples[0].labels
    assert (labels["cell"], labels["scene"]) == (printable(name), printable(scene))
    assert labels.get("machine") in (None, printable(machine))
