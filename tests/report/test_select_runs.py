from __future__ import annotations

import json
from collections import Counter
from itertools import count

import pytest

from midas_bench.bundle import MANIFEST
from midas_bench.cli.main import main
from midas_bench.errors import UserError
from midas_bench.render.markdown_escape import escape
from midas_bench.report import report_data as module
from midas_bench.report.charts.trend import change_points, trends
from midas_bench.report.photo_strip import Album, album, own_album
from midas_bench.report.select_runs import choose
from midas_bench.report.write import write


@pytest.fixture
def saved(changed):
    numbers = count(1)

    def save(name, when, status="complete", **machine):
        def change(content):
            content["datetime"] = when
            content["midas_bench"]["status"] = status
            content["machine_info"]["midas_bench"] |= machine
            for benchmark in content["benchmarks"]:  # no run repeats another's rounds
                benchmark["stats"]["data"][0] += 1e-9 * next(numbers)

        return changed(change, name)

    return save


def test_the_newest_complete_run_of_a_folder_is_taken(saved, tmp_path):
    saved("0001_a.json", "2026-01-01")
    saved("0002_b.json", "2026-01-02")
    saved("0003_c.json", "2026-01-03", "partial")
    (tmp_path / "0004_d.json").write_text("{")
    data = choose([tmp_path], [], Album())
    assert data.run.name == "0002_b"
    assert [run.name for run in data.history] == ["0001_a", "0002_b", "0003_c"]
    assert data.remarks == ("Left out: 0004_d.json, which is not whole JSON (it breaks off or goes wrong at line 1).",)


@pytest.fixture
def save_run(synthetic, tmp_path):
    """Save what `--benchmark-autosave` would of some benchmark files: `save_run(1, "stages")`."""

    def save(number, *parts, status="complete"):
        maker = synthetic.Maker(seed=number, scenes=("street",))
        for part in parts:
            getattr(maker, part)()
        content = synthetic.content(maker.benchmarks, f"2026-01-0{number}T03:04:05+00:00", status=status)
        name = f"000{number}_{'-'.join(parts)}.json"
        return synthetic.save(tmp_path / ".benchmarks/Linux-CPython-3.11-64bit" / name, content, depth_maps=False)

    return save


def test_an_older_run_that_times_the_pipeline_comes_before_a_newer_one_of_stages_alone(save_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_run(1, "latency", "memory")
    save_run(2, "latency")
    save_run(3, "stages")
    data = choose([], [], Album())
    assert data.run.name == "0002_latency"
    assert [run.name for run in data.history] == ["0001_latency-memory", "0002_latency", "0003_stages"]
    reason = "0003_stages.json, the newest complete run, does not time the whole pipeline"
    assert data.notice == f"{reason}, so the report is about 0002_latency.json. Name the other file to see it."
    assert [line.partition(":")[0] for line in data.answer_lines[:2]] == ["Lowest latency", "Highest throughput"]
    assert data.answer_lines[-1] == data.notice


def test_a_partial_run_of_the_pipeline_comes_before_a_complete_one_of_stages(save_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_run(1, "latency", status="partial")
    save_run(2, "stages")
    data = choose([], [], Album())
    assert (data.run.name, data.remarks) == ("0001_latency", ())
    assert data.notice.startswith("0002_stages.json, the newest complete run, ")


def test_the_newest_run_needs_no_notice_where_it_times_the_pipeline(save_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_run(1, "stages")
    save_run(2, "latency")
    assert choose([], [], Album()).notice == ""


@pytest.mark.parametrize(
    ("part", "titles", "missing"),
    [
        ("stages", [], "lowest latency and highest throughput"),
        ("memory", ["Least memory"], "lowest latency and highest throughput"),
        ("streams", ["Highest throughput"], "lowest latency"),
    ],
)
def test_without_any_pipeline_one_line_says_what_is_missing_and_measures_it(
    save_run, tmp_path, monkeypatch, capsys, part, titles, missing
):
    monkeypatch.chdir(tmp_path)
    save_run(1, part)
    save_run(2, part)
    assert main(["report"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert [line.partition(":")[0] for line in lines[:-2]] == titles
    command = "pytest bench/test_pipeline.py --benchmark-autosave"
    sentence = f"0002_{part}.json does not time the whole pipeline, as needed for {missing}; run `{command}`."
    assert lines[-2] == sentence
    assert escape(sentence) in (tmp_path / "reports/latest/report.md").read_text()


def test_a_file_of_another_project_is_not_asked_for_a_pipeline(foreign):
    assert choose([foreign], [], Album()).answer_lines == []


def test_runs_of_any_name_are_shown_in_one_line(saved, tmp_path, odd_name):
    saved(f"a{odd_name[:200]}.json", "2026-01-01")
    (tmp_path / f"b{odd_name[:200]}.json").write_text("{")
    data = choose([tmp_path], [], Album())
    for text in (data.label, data.run.file, *data.remarks):
        assert text.encode().decode().isprintable()


def test_without_a_complete_run_the_newest_partial_one_is_taken_and_said(saved, tmp_path):
    saved("0001_a.json", "2026-01-01", "partial")
    data = choose([tmp_path], [], Album())
    assert "newest partial one" in data.remarks[0]


def test_without_a_place_the_storage_is_searched(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--benchmark-autosave"):
        choose([], [], Album())
    (tmp_path / ".benchmarks/Linux").mkdir(parents=True)
    saved("x.json", "2026-01-01").rename(tmp_path / ".benchmarks/Linux/0001_x.json")
    assert choose([], [], Album()).run.name == "0001_x"


def test_history_is_of_the_same_kind_of_machine(saved):
    saved("0001_a.json", "2026-01-01", fingerprint="other")
    named = saved("0002_b.json", "2026-01-02")
    assert [run.name for run in choose([named], [], Album()).history] == ["0002_b"]


def test_the_history_of_a_file_stands_beside_it_and_no_folder_below_is_looked_into(saved, tmp_path, monkeypatch):
    named = saved("0002_b.json", "2026-01-02")
    below = tmp_path / "someone's home"
    below.mkdir()
    saved("0001_a.json", "2026-01-01").rename(below / "0001_a.json")
    saved("0003_c.json", "2026-01-03")
    monkeypatch.setattr("os.walk", None)
    assert [run.name for run in choose([named], [], Album()).history] == ["0002_b", "0003_c"]


def test_several_files_are_sides_and_labels_join_them(saved):
    paths = [saved(f"000{i}_{i}.json", f"2026-01-0{i}") for i in (1, 2, 3)]
    data = choose(paths, [], Album())
    assert [side.label for side in data.sides] == ["0001_1", "0002_2", "0003_3"]
    assert data.run.name == "0003_3"
    data = choose(paths, ["old", "old", "new"], Album())
    assert [(side.label, len(side.runs)) for side in data.sides] == [("old", 2), ("new", 1)]


def test_a_file_given_twice_and_what_was_saved_of_it_before_are_no_repetitions(saved, tmp_path):
    whole, other = (saved(f"000{i}_{i}.json", "2026-01-01") for i in (1, 2))
    part = json.loads(whole.read_text())
    part["benchmarks"] = part["benchmarks"][:2]
    (tmp_path / "part.json").write_text(json.dumps(part))
    paths = [whole, tmp_path / "part.json", other, other, whole]
    data = choose(paths, ["old", "old", "old", "new", "new"], Album())
    assert [[run.path for run in side.runs] for side in data.sides] == [[whole, other], [other, whole]]
    assert (
        data.remarks[0] == f"Left out of old: {tmp_path / 'part.json'}, whose rounds are all in another of its files."
    )
    assert len(data.remarks) == 2
    data = choose([other, other], [], Album())
    assert (len(data.history), data.sides) == (1, ())
    assert "Left out of " in data.remarks[0]


def test_files_of_one_name_are_told_apart(changed, tmp_path):
    (tmp_path / "other").mkdir()
    paths = [changed(name="run.json"), changed(name="other/run.json")]
    assert [side.label for side in choose(paths, [], Album()).sides] == ["run#1", "run#2"]


def test_default_labels_are_short_and_the_report_says_which_files_they_are(changed):
    commit = "5e40ec2a" * 5
    paths = [changed(name=f"0001_{commit}_20261128_101615.json"), changed(name="a-run-with-a-very-long-name.json")]
    data = choose(paths, [], Album())
    assert [side.label for side in data.sides] == ["0001_5e40ec2", "a-run-with…g-name"]
    assert f"0001_5e40ec2: {paths[0].name}." in data.remarks


def test_labels_must_match_the_files_in_number(changed):
    with pytest.raises(UserError, match="1 for 2 files"):
        choose([changed(), changed(name="b.json")], ["one"], Album())


def test_too_many_sides_are_refused(changed):
    with pytest.raises(UserError, match="too many to compare"):
        choose([changed(name=f"{i}.json") for i in range(7)], [], Album())


def test_a_folder_of_broken_files_is_an_error(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="holds no usable file"):
        choose([tmp_path], [], Album())


def test_a_report_takes_the_suites_photos_and_says_what_is_wrong_with_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert own_album().problem == ""
    manifest = tmp_path / MANIFEST
    manifest.parent.mkdir(parents=True)
    manifest.write_text("[[photo")
    assert "is not TOML" in own_album().problem


def test_photos_that_were_asked_for_must_be_there(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        album(tmp_path / "none")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0] * 7, ()),
        ([1.0, 1.01, 0.99, 1.02] * 5, ()),
        ([1.0, 1.01, 0.99, 1.0] * 3 + [1.2, 1.21, 1.19, 1.2] * 3, (12,)),
        ([1.0, 1.01, 0.99, 1.0, 1.5, 1.01, 0.99, 1.0, 1.01, 1.0], ()),  # one outlier is no new level
    ],
)
def test_change_points(values, expected):
    assert change_points(values) == expected


def test_the_trend_follows_each_set_up_over_the_runs(saved, tmp_path):
    for i in range(1, 4):
        saved(f"000{i}_a.json", f"2026-01-0{i}")
    lines = trends(choose([tmp_path], [], Album()).history)
    assert [line.name for line in lines] == ["article's recipe", "eager", "onnx"]
    assert [median.estimate for median in lines[2].medians] == pytest.approx([0.0455] * 3)


def test_report_computes_comparison_frame_and_findings_once(saved, tmp_path, monkeypatch):
    calls = Counter()
    for name in ("compare", "frame", "findings"):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, name=name, real=real: (calls.update([name]), real(*args))[1])
    data = choose([saved("a.json", "2026-01-01"), saved("b.json", "2026-01-02")], [], Album())
    write(data, tmp_path / "out")
    assert calls == {"compare": 1, "frame": 1, "findings": 1}
