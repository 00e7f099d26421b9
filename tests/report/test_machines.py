"""The report over kinds of machine. They are altered copies of one made-up run: no such machine exists."""

import csv
import re
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from midas_bench.errors import UserError
from midas_bench.report.machines import write_machines
from midas_bench.report.photo_strip import Album
from midas_bench.report.select_runs import choose, with_price
from midas_bench.report.write import write
from midas_bench.results.price import Prices
from midas_bench.results.units import NOTHING

NAMES = ("A", "B", "C", "D")


@pytest.fixture(scope="module")
def four(synthetic, tmp_path_factory):
    """Save the runs of four kinds of machine that do not exist; D has other weights, C other versions."""
    folder = tmp_path_factory.mktemp("machines")
    paths = []
    for number, name in enumerate(NAMES):
        content = altered(synthetic, name, 1 + 0.5 * number)
        if name == "C":
            content["machine_info"]["midas_bench"]["versions"]["onnxruntime"] = "1.25.0"
        if name == "D":
            for benchmark in content["benchmarks"]:
                benchmark["extra_info"]["weights"] = {"source": "official", "sha256": "70" * 32}
        if name != "A":
            for benchmark in content["benchmarks"]:
                benchmark["extra_info"]["energy_by_pass_j"] = []
        else:
            for benchmark in content["benchmarks"]:
                benchmark["extra_info"]["energy_by_pass_j"] = [3.0, 3.1, 2.9]
        paths.append(synthetic.save(folder / f"{name}.json", content, depth_maps=False))
    return paths


def altered(synthetic, name, speed=1.0, when="2026-01-02T03:04:05+00:00", **ours):
    maker = synthetic.Maker(1, speed, scenes=("street", "pet"))
    content = synthetic.content(maker.everything(depth_maps=False), when, **ours)
    own = {"fingerprint": f"altered-{name}", "cpu_model": f"Altered(R) CPU {name}"}
    content["machine_info"]["midas_bench"] |= own
    return content


@pytest.fixture(scope="module")
def written(four, tmp_path_factory):
    """Write the report over the four: the data, the folder, page and Markdown."""
    folder = tmp_path_factory.mktemp("report")
    data, page = write_machines(four, folder, prices=Prices({"CPU B": 0.2}, 0.1))
    return data, folder, page.read_text(), (folder / "report.md").read_text()


def rows_of(text, title):
    lines = text.partition(f"### {title}\n")[2].strip().splitlines()
    table = lines[: next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    head, _, *rows = [[field.strip() for field in line.strip("|").split(" | ")] for line in table]
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_each_kind_of_machine_has_a_row_with_its_figures_and_intervals(written):
    _, _, page, text = written
    rows = rows_of(text, "Each kind of machine")
    assert [row["machine"] for row in rows] == [f"Altered CPU {name}, 2 cores" for name in NAMES]
    for row in rows:
        for column in ("lowest latency", "highest throughput", "share of peak", "price per million"):
            assert re.fullmatch(r".*\d.* \([\d.]+ to [\d.]+\)", row[column]), (column, row[column])
        assert row["least memory"].split()[1] == "MiB"
    # the highest throughput is that of a stream of 24 photos
    assert rows[0]["energy per photo"].startswith("0.125 J (")
    assert [row["energy per photo"] for row in rows[1:]] == ["not measured: no counter"] * 3
    assert [row["not alike in"] for row in rows] == [*[NOTHING] * 3, "weights"]
    assert page.count("Altered CPU D, 2 cores") > 1


def test_differences_are_named_and_not_hidden(written):
    _, _, page, text = written
    *_, of_c, of_d = rows_of(text, "How the runs differ")
    assert set(of_c) == {"machine", "weights", "onnxruntime"}
    assert of_c["onnxruntime"] == "1.25.0"
    assert of_d["weights"] == "official (70707070)"
    warning = "NOT COMPARABLE: Altered CPU D, 2 cores was measured with other or unknown weights."
    assert warning in text
    assert warning in page


def test_the_best_machine_of_those_that_compare_comes_first(written):
    _, _, _, text = written
    cards = [line for line in text.splitlines() if line.startswith("- **")]
    assert [card.partition(":")[0] for card in cards] == [
        "- **lowest latency", "- **highest throughput", "- **least memory", "- **lowest price per million photos"
    ]  # fmt: skip
    assert all("Altered CPU A, 2 cores" in card for card in cards[:2])
    assert not any("CPU D" in card for card in cards)
    # the processes' ranges of the altered copies are the same
    assert "Intervals overlap: these runs do not tell it from" in cards[2]


def test_charts_show_the_machines_and_what_a_million_photos_cost(written):
    _, folder, _, _ = written
    assert {path.stem for path in (folder / "charts").glob("*.svg")} == {"machines", "machine-prices"}
    for path in (folder / "charts").glob("*.svg"):
        svg = path.read_text()
        assert ET.fromstring(svg).tag.endswith("svg")
        assert svg.count(">Altered CPU A, 2 cores<") >= 1
        assert "hollow: not comparable" in svg
        with Image.open(path.with_suffix(".png")) as image:
            image.verify()


def test_csv_has_a_row_for_each_figure_in_si_units(written):
    data, folder, _, _ = written
    with (folder / "machines.csv").open() as file:
        rows = list(csv.DictReader(file))
    of_a = {row["figure"]: row for row in rows if row["fingerprint"] == "altered-A"}
    assert set(of_a) == {
        "time_per_photo_s", "images_per_second", "peak_rss_bytes", "share_of_peak", "price_per_million_photos",
        "energy_per_photo_j",
    }  # fmt: skip
    latency = data.machines.rows[0].answers["latency"].figure
    row = of_a["time_per_photo_s"]
    assert (float(row["estimate"]), float(row["low"]), float(row["high"])) == pytest.approx(
        (latency.estimate, latency.low, latency.high)
    )
    assert {row["unlike_in"] for row in rows if row["fingerprint"] == "altered-D"} == {"weights"}


def test_a_named_price_is_for_its_machine_alone(written):
    rows = written[0].machines.rows
    assert [row.price_per_hour for row in rows] == [0.1, 0.2, 0.1, 0.1]


def test_of_one_kind_the_newest_complete_run_with_a_pipeline_stands_for_it(synthetic, tmp_path):
    places = [
        synthetic.save(tmp_path / f"{name}.json", altered(synthetic, "A", 1.0, when, **ours), depth_maps=False)
        for name, when, ours in (
            ("old", "2026-01-01", {}),
            ("newest-complete", "2026-01-03", {}),
            ("newer-partial", "2026-01-04", {"status": "partial"}),
        )
    ]
    data, _ = write_machines(places, tmp_path / "out")
    [row] = data.machines.rows
    assert row.run.name == "newest-complete"
    remark = "newest-complete.json of 3 runs; not shown: old.json, newer-partial.json."
    assert remark in (tmp_path / "out/report.md").read_text().replace("\\", "")


def test_a_folder_stands_for_all_its_files_and_the_same_file_counts_once(four, tmp_path):
    (four[0].parent / "broken.json").write_text("{")
    try:
        data, _ = write_machines([four[0].parent, four[0]], tmp_path / "out")
    finally:
        (four[0].parent / "broken.json").unlink()
    assert len(data.machines.rows) == 4
    assert any(remark.startswith("Left out: broken.json") for remark in data.remarks)
    assert not any("not shown" in remark for remark in data.remarks)


@pytest.mark.parametrize("files", [("one.json", "two.json"), ("a/run.json", "b/run.json")])
def test_machines_without_a_name_are_rows_of_their_own(synthetic, tmp_path, files):
    places = []
    for file in files:
        content = altered(synthetic, "A")
        content["machine_info"] = {"machine": "arm64"}
        places.append(synthetic.save(tmp_path / file, content, depth_maps=False))
    data, _ = write_machines(places, tmp_path / "out")
    assert len({row.label for row in data.machines.rows}) == 2
    assert all(row.run.file in row.label for row in data.machines.rows)
    assert "UNKNOWN MACHINE" in (tmp_path / "out/report.md").read_text()


def test_kinds_that_would_share_a_name_are_told_apart_by_their_fingerprints(synthetic, tmp_path):
    places = []
    for name in ("one", "two"):
        content = altered(synthetic, name)
        content["machine_info"]["midas_bench"]["cpu_model"] = "Altered CPU"
        places.append(synthetic.save(tmp_path / f"{name}.json", content, depth_maps=False))
    data, _ = write_machines(places, tmp_path / "out")
    labels = {row.label for row in data.machines.rows}
    assert labels == {"Altered CPU, 2 cores (altered-one)", "Altered CPU, 2 cores (altered-two)"}


def test_a_label_and_a_price_of_a_folder_are_for_all_machines_in_it(four, tmp_path):
    data, _ = write_machines([four[0].parent], tmp_path / "out", ["rack"], Prices({"rack": 0.3}))
    assert [row.label for row in data.machines.rows] == [f"rack (altered-{name})" for name in NAMES]
    assert {row.price_per_hour for row in data.machines.rows} == {0.3}


def test_a_machine_that_was_disturbed_is_named_and_its_figures_are_doubted(synthetic, four, tmp_path):
    content = altered(synthetic, "E", 0.8)
    for benchmark in content["benchmarks"]:
        benchmark["extra_info"]["noise"] |= {"noisy": True, "reasons": ["busy"], "disturbed_passes": list(range(12))}
    data, _ = write_machines(
        [four[0], synthetic.save(tmp_path / "e.json", content, depth_maps=False)], tmp_path / "out"
    )
    text = (tmp_path / "out/report.md").read_text()
    assert "DISTURBED: Altered CPU E, 2 cores: most passes behind these figures were disturbed." in text
    assert "One of the machines was disturbed." in text
    assert [line.endswith("so idle it is faster.") for line in data.lines[:2]] == [True, False]


def test_where_no_counter_was_read_the_report_says_so(four, tmp_path):
    write_machines(four[1:3], tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "Energy per photo: not measured: no counter." in text
    assert "energy per photo" not in rows_of(text, "Each kind of machine")[0]


def test_a_foreign_run_has_a_row_and_says_what_it_lacks(foreign, four, tmp_path):
    data, _ = write_machines([foreign, four[0]], tmp_path / "out")
    text = (tmp_path / "out/report.md").read_text()
    assert "no set-up to recommend" in "\n".join(data.lines)
    assert "not measured" in text


def test_labels_name_the_machines(four, tmp_path):
    data, _ = write_machines(four[:2], tmp_path / "out", ["small", "large"], Prices({"small": 1.0}))
    assert [(row.label, row.price_per_hour) for row in data.machines.rows] == [("small", 1.0), ("large", None)]
    text = (tmp_path / "out/report.md").read_text()
    assert [row["price per million"] for row in rows_of(text, "Each kind of machine")][1] == "no price given"


@pytest.mark.parametrize(
    ("labels", "prices", "said"),
    [(["one"], Prices(), "--label: was given 1 for 4"), ([], Prices({"Pentium": 1.0}), "means none of the machines")],
)
def test_bad_input_is_refused_before_anything_is_written(four, tmp_path, labels, prices, said):
    with pytest.raises(UserError, match=said):
        write_machines(four, tmp_path / "out", labels, prices)
    assert list(tmp_path.iterdir()) == []


def test_a_report_over_machines_and_one_of_a_run_replace_each_other(foreign, four, tmp_path):
    of_a_run = choose([foreign], [], Album())
    write(of_a_run, tmp_path)
    assert (tmp_path / "cells.csv").exists()
    write_machines(four[:2], tmp_path)
    assert {path.name for path in tmp_path.glob("*.csv")} == {"machines.csv"}
    write(of_a_run, tmp_path)
    assert not (tmp_path / "machines.csv").exists()


def test_a_report_of_a_run_prices_its_set_ups(four, tmp_path):
    data = with_price(choose([four[0]], [], Album()), Prices(other=0.36))
    write(data, tmp_path)
    rows = rows_of((tmp_path / "report.md").read_text(), "Price per million photos")
    assert len(rows) > 2
    assert all(" to " in row["price per million photos"] for row in rows)
    assert any(line.startswith("Price per million photos: ") for line in data.answer_lines)


def test_one_machine_alone_is_compared_with_nothing(four, tmp_path):
    write_machines(four[:1], tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "What may be compared" not in text
    assert "- **" not in text
