"""Results that were made earlier: the file is the unit."""

import json

import numpy as np
import pytest

from midas_bench.errors import UserError
from midas_bench.gate import result_text
from midas_bench.gate.rule import IMPROVED, INVALID, MISSING, PASSED, REGRESSED, UNDECIDED
from midas_bench.gate.saved_gate import DRIFT, NO_RATIO, SavedQuestion, gate_saved
from midas_bench.gate.thresholds import Thresholds

NAME = "bench/test_pipeline.py::test_pipeline[onnx-b4-street]"


@pytest.fixture
def side(changed):
    """Write some files of one side: `side("a", 5, faster=0.5)`; each differs a little from the others."""

    def made(label, count, *, faster=1.0, change=lambda _: None):
        generator = np.random.default_rng(len(label))

        def with_noise(content):
            for benchmark in content["benchmarks"]:
                scale = float(generator.normal(1, 0.002)) * faster
                stats = benchmark["stats"]
                for name in ("min", "max", "mean", "median", "stddev", "iqr", "q1", "q3"):
                    if name in stats:
                        stats[name] *= scale
                stats["data"] = [value * scale for value in stats.get("data", ())]
            change(content)

        return [changed(with_noise, f"{label}{number}.json") for number in range(count)]

    return made


def gated(baseline, run, **how):
    thresholds = Thresholds(0.05, 0.05, 0.20)
    result = gate_saved(SavedQuestion(baseline, run, thresholds, 0.01, **how))
    return result, {judgement.figure.name: judgement for judgement in result.judgements}


def test_equal_sides_of_several_files_pass(side):
    result, found = gated(side("a", 5), side("bb", 5))
    assert found[NAME].verdict == PASSED
    assert (found[NAME].blocks, result.regressed) == (5, [])
    assert found[NAME].detectable is None  # which is of blocks, and would be said to be found in 4 of 5 gates
    assert "detectable` is" not in result_text.error_rates(result)
    assert DRIFT in result.notes


@pytest.mark.parametrize(("faster", "verdict"), [(1.2, REGRESSED), (0.8, IMPROVED)])
def test_a_difference_between_several_files_is_found(side, faster, verdict):
    result, found = gated(side("a", 5), side("bb", 5, faster=faster))
    assert found[NAME].verdict == verdict
    assert found[NAME].ratio.holds(faster)
    assert result.exit_code == (1 if verdict == REGRESSED else result.exit_code)


def test_one_file_per_side_is_inconclusive_at_best(side):
    result, found = gated(side("a", 1), side("bb", 1, faster=2.0))
    assert found[NAME].verdict == UNDECIDED
    assert found[NAME].reason == "one file per side shows no spread between runs; give two or more"
    assert result.exit_code == 3
    lenient, _ = gated(side("a", 1), side("bb", 1, faster=2.0), lenient=True)
    assert lenient.exit_code == 0


def without(content):
    content["benchmarks"] = [b for b in content["benchmarks"] if b["fullname"] != NAME]


def test_a_cell_that_is_absent_on_one_side_never_passes(side):
    for sides, where in (
        ((side("a", 2), side("bb", 2, change=without)), "run"),
        ((side("ccc", 2, change=without), side("dddd", 2)), "baseline"),
    ):
        result, found = gated(*sides, lenient=True)
        assert found[NAME].verdict == MISSING
        assert found[NAME].reason == f"is in none of the 2 files of the {where}"
        assert result.exit_code == 3
        assert NAME in result.inconclusive


def test_a_cell_that_one_of_several_files_lacks_never_passes(side):
    _, found = gated(side("a", 3), [*side("bb", 2), *side("ccc", 1, change=without)])
    assert found[NAME].verdict == MISSING
    assert found[NAME].reason == "is in 2 of the 3 files of the run"
    assert "is in 2 of the 3 files" not in {judgement.reason for judgement in found.values() if judgement.ratio}
    _, found = gated(side("a", 1, change=without), side("bb", 1))
    assert found[NAME].reason == "is not in the baseline"


def test_a_memory_peak_that_one_side_lacks_is_missing(side):
    def forgotten(content):
        for benchmark in content["benchmarks"]:
            benchmark["extra_info"].pop("peak_rss_bytes", None)

    _, found = gated(side("a", 2), side("bb", 2, change=forgotten))
    lacking = [j for name, j in found.items() if name.endswith("peak memory")]
    assert lacking
    assert {(j.verdict, j.reason, j.figure.unit) for j in lacking} == {
        (MISSING, "is in none of the 2 files of the run", "bytes")
    }


def test_what_is_not_compared_and_what_is_partial_is_noted(side):
    def partial(content):
        content["midas_bench"] |= {"status": "partial", "planned": ["one", "two"]}

    result, _ = gated(side("a", 2), side("bb", 2, change=partial))
    said = "\n".join(result.notes)
    assert "bb0 is partial: 2 of its planned cells were not measured" in said
    assert "a0 is partial" not in said
    assert (
        "not compared, having no time, memory or start-up of their own: 3 of kind ratio, 1 of kind scene, in the"
        in said
    )


def test_unknown_machines_are_invalid_unless_forced(side):
    def silent(content):
        del content["machine_info"]

    sides = side("a", 3, change=silent), side("bb", 3, change=silent)
    result, found = gated(*sides)
    assert found[NAME].verdict == INVALID
    assert any("the machine's CPU is not named" in note for note in result.notes)
    assert gated(*sides, force=True)[1][NAME].verdict == PASSED


@pytest.mark.parametrize("zeros", [("a",), ("bb",), ("a", "bb")])
def test_a_time_of_0_is_invalid_and_never_passed_over(side, zeros):
    def zero(content):
        stats = next(b for b in content["benchmarks"] if b["fullname"] == NAME)["stats"]
        stats |= dict.fromkeys(("min", "max", "mean", "median"), 0.0)
        stats["data"] = [0.0] * len(stats["data"])

    change = {label: zero if label in zeros else lambda _: None for label in ("a", "bb")}
    result, found = gated(*(side(label, 3, change=change[label]) for label in ("a", "bb")))
    assert (found[NAME].verdict, found[NAME].reason, found[NAME].ratio) == (INVALID, NO_RATIO, None)
    assert {judgement.verdict for name, judgement in found.items() if name != NAME} <= {PASSED, IMPROVED, UNDECIDED}
    assert result.exit_code == 3
    assert NAME in result.inconclusive
    assert f"invalid: {NO_RATIO}" in result_text.markdown(result).replace("\\", "")


def test_files_that_are_far_apart_have_unknown_bounds(side):
    far = [*side("bb", 1), *side("ccc", 1, faster=1e150)]
    result, found = gated(side("a", 2), far)
    assert found[NAME].verdict == UNDECIDED
    assert "(? to ?)" in result_text.markdown(result)


def test_another_kind_of_machine_is_invalid_unless_forced(side):
    def elsewhere(content):
        content["machine_info"]["midas_bench"]["fingerprint"] = "other"

    sides = side("a", 3), side("bb", 3, change=elsewhere)
    result, found = gated(*sides)
    assert found[NAME].verdict == INVALID
    assert result.exit_code == 3
    assert any(note.startswith("DIFFERENT MACHINES") for note in result.notes)
    _, forced = gated(*sides, force=True)
    assert forced[NAME].verdict == PASSED


def test_more_figures_widen_each_ones_interval(side):
    def few(content):
        content["benchmarks"] = [b for b in content["benchmarks"] if b["fullname"] == NAME]

    _, all_of_them = gated(side("a", 3), side("bb", 3))
    _, alone = gated(side("a", 3, change=few), side("bb", 3, change=few))
    assert all_of_them[NAME].ratio.confidence > alone[NAME].ratio.confidence == 0.98


def test_what_regressed_leaves_more_of_alpha_to_the_others(side):
    def one_slower(content):
        content["benchmarks"] = content["benchmarks"][:3]
        stats = content["benchmarks"][0]["stats"]
        for name in ("min", "max", "mean", "median"):
            stats[name] *= 3
        stats["data"] = [3 * value for value in stats["data"]]

    def few(content):
        content["benchmarks"] = content["benchmarks"][:3]

    before = side("a", 4, change=few)
    _, equal = gated(before, side("bb", 4, change=few))
    _, slower = gated(before, side("cc", 4, change=one_slower))  # with the same noise
    [name] = [name for name, judgement in slower.items() if judgement.verdict == REGRESSED]
    for other in slower.keys() - {name}:
        assert slower[other].ratio.low > equal[other].ratio.low
        assert slower[other].ratio.high == equal[other].ratio.high


def test_saved_gate_takes_all_files_of_a_folder(side, tmp_path):
    side("a", 2)
    for label in ("old", "new"):
        (tmp_path / label).mkdir()
        for path in side(label, 2):
            path.rename(tmp_path / label / path.name)
    _, found = gated([tmp_path / "old"], [tmp_path / "new"])
    assert found[NAME].blocks == 2


def test_a_file_on_both_sides_is_one_line(side):
    [path] = side("a", 1)
    with pytest.raises(UserError, match="is on both sides"):
        gated([path], [path])


def test_a_file_without_cells_is_one_line(side, tmp_path):
    (tmp_path / "empty.json").write_text(json.dumps({"benchmarks": []}))
    with pytest.raises(UserError, match="holds no measured cell"):
        gated(side("a", 1), [tmp_path / "empty.json"])
