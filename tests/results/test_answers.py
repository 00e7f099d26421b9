from __future__ import annotations

from dataclasses import replace

import pytest

from midas_bench.results import answers as words
from midas_bench.results import fidelity
from midas_bench.results.answers import answers, quiet, three_lines
from midas_bench.results.intervals import Interval
from midas_bench.results.ranking import Setup, best_throughput, fastest, least_memory
from midas_bench.results.runs import Noise

MIB = 1024 * 1024


def test_the_fastest_for_one_photo(small):
    answer = fastest(small.records)
    assert answer.winner == Setup("onnx", 1, 2)
    assert answer.figure.estimate == 0.0455
    assert 0.041 <= answer.figure.low < 0.0455 < answer.figure.high <= 0.05
    eager, recipe = answer.alternatives
    assert (eager.setup.name, recipe.setup.name) == ("eager", "article's recipe")
    assert eager.price.estimate == pytest.approx(0.0955 / 0.0455)
    assert eager.price.low > 1
    assert answer.tied == ()
    assert answer.rounds == 10


def test_the_best_throughput_counts_photos_and_not_calls(small):
    answer = best_throughput(small.records)
    assert answer.winner == Setup("onnx", 4, 2)
    assert answer.figure.estimate == pytest.approx(4 / 0.1455)
    assert [a.setup.name for a in answer.alternatives] == ["eager", "article's recipe"]
    assert answer.alternatives[0].price.estimate == pytest.approx(0.0955 / (0.1455 / 4))


def test_the_least_memory(small):
    answer = least_memory(small.records)
    assert answer.winner == Setup("onnx", 1)
    assert answer.figure == Interval(300 * MIB, 300 * MIB, 300 * MIB, 0.0)
    [eager] = answer.alternatives
    assert eager.price.estimate == 3


def test_memory_is_priced_against_the_same_batch_where_there_is_one(small):
    [record] = [r for r in small.records if r.name == "test_memory[onnx-b1-street]"]
    bigger = replace(record, fullname="b4", batch_size=4, memory=replace(record.memory, peak_bytes=450 * MIB))
    eager = replace(bigger, fullname="e4", backend="eager", memory=replace(record.memory, peak_bytes=900 * MIB))
    [alternative] = least_memory([record, bigger, eager]).alternatives
    assert alternative.price.estimate == 2


def test_a_scene_with_a_disturbed_cell_is_left_out_for_all_setups(small):
    [onnx] = [r for r in small.records if r.name == "test_pipeline[onnx-b1-street]"]
    [eager] = [r for r in small.records if r.name == "test_pipeline[eager-b1-street]"]
    quiet_noise = Noise(noisy=False, reasons=())
    both = [replace(r, noise=quiet_noise) for r in (onnx, eager)]
    slow = replace(onnx.times, median_s=9.0, rounds_s=(9.0,) * 10)
    busy = replace(onnx, fullname="p1", scene="pet", times=slow, noise=Noise(noisy=True, reasons=("busy",)))
    pet = replace(both[1], fullname="p2", scene="pet")
    answer = fastest([*both, busy, pet])
    assert (answer.winner.backend, answer.scenes) == ("onnx", ("street",))
    assert fastest([busy, pet]).scenes == ("pet",)  # nothing else is left


def test_a_close_second_is_named(small):
    onnx = next(r for r in small.records if r.name == "test_pipeline[onnx-b1-street]")
    twin = replace(onnx, fullname="twin", backend="twin")
    answer = fastest([onnx, twin])
    assert answer.tied == (answer.alternatives[0].setup,)
    assert words.caution(answer, {}).startswith("This run cannot tell it from")
    assert "too close to call" in three_lines([onnx, twin])[0]


@pytest.mark.parametrize("name", ["test_threads[onnx-t1]", "test_large_photo[onnx]"])
def test_other_questions_are_left_out(small, name):
    other = replace(small.records[2], fullname="other", name=name, threads=1)
    assert fastest([*small.records, other]) == fastest(small.records)


def test_only_scenes_that_all_have_are_averaged(small):
    eager, onnx = small.records[1], small.records[2]
    pet = replace(eager, fullname="pet", scene="pet", times=replace(eager.times, median_s=9.0))
    answer = fastest([eager, onnx, pet])
    assert answer.scenes == ("street",)
    assert answer.alternatives[0].figure.estimate == 0.0955


def test_three_lines(small):
    first, second, third = three_lines(small.records)
    assert first.startswith("fastest for one photo: onnx (2 threads), 45.5 ms (4")
    assert "; eager (2 threads) takes 2.10\N{MULTIPLICATION SIGN} (" in first
    assert second.startswith("best throughput:       onnx (batch 4, 2 threads), 27.5 images/s (")
    assert third.startswith("least memory:          onnx (batch 1), 300 MiB; article's recipe (batch 1) takes 3.00")


def test_nothing_measured_gives_no_lines(small):
    assert three_lines([]) == []
    assert answers([r for r in small.records if r.kind == "stage"]) == []


def test_without_raw_rounds_there_is_no_interval(small):
    bare = [replace(r, times=replace(r.times, rounds_s=r.times.rounds_s[:0], interval=None)) for r in small.records]
    answer = fastest(bare)
    assert answer.figure == Interval(0.0455, 0.0455, 0.0455, 0.0)
    assert words.figure(answer) == "45.5 ms"
    assert "no interval" in words.basis(answer)


def test_whether_the_machine_was_quiet(small):
    calm = [replace(r, noise=Noise(noisy=False)) for r in small.records]
    silent = [replace(r, noise=None) for r in small.records]
    behind = ["bench/test_pipeline.py::test_pipeline[onnx-b1-street]"]
    assert quiet(calm) == "The machine was quiet: none of 12 cells was disturbed."
    assert "not recorded" in quiet(silent)
    assert "during 1 of 12 cells, 1 of them behind these answers" in quiet(small.records, behind)
    assert "none of them behind these answers" in quiet(small.records)


def test_after_a_winner_of_reduced_precision_the_next_exact_one_is_priced(small):
    [onnx] = [r for r in small.records if r.name == "test_pipeline[onnx-b1-street]"]
    exact = replace(onnx, max_relative_error=4e-6, mean_relative_error=1e-6)
    fast = replace(onnx.times, median_s=0.02, interval=None, rounds_s=onnx.times.rounds_s[:0])
    faster = replace(fast, median_s=0.01)
    int8, bf16 = (
        replace(onnx, fullname=name, backend=name, times=times, max_relative_error=0.1, mean_relative_error=0.021)
        for name, times in (("onnx-int8", faster), ("openvino-bf16", fast))
    )
    [line, *_] = three_lines([exact, int8, bf16])
    assert ": onnx-int8 (2 threads), 10.0 ms, reduced precision; onnx (2 threads) takes 4.55" in line
    answer = fastest([exact, int8, bf16])
    said = words.caution(answer, fidelity.reduced([exact, int8, bf16]))
    assert said.startswith("Reduced precision: its depth is 2.10 % of the range off.")
    assert "reduced" not in three_lines([exact])[0]
    assert words.runner_up(fastest([int8, bf16]), {"onnx-int8": None, "openvino-bf16": None}) is None
