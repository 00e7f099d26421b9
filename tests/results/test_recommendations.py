from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from msgspec import structs

from midas_bench.results import fidelity_results, pass_ratios, recommendations
from midas_bench.results.intervals import Interval, median_interval
from midas_bench.results.kinds import Stream
from midas_bench.results.ranking import Setup, best_throughput, fastest, least_memory
from midas_bench.results.recommendations import answers, noise_text, three_lines
from midas_bench.results.record import CellNoise, Interface, PhotoRecord, Weights
from midas_bench.results.run_files import read
from midas_bench.results.runs import CellRecord, Times
from midas_bench.results.units import TIMES as X

MIB = 1024 * 1024


def replace(thing, **changes):
    """Replace fields, of a record also those of what its cell says."""
    if isinstance(thing, CellRecord):
        of_info = {name: changes.pop(name) for name in [*changes] if name in thing.info.__struct_fields__}
        changes["info"] = structs.replace(changes.get("info", thing.info), **of_info)
    return dataclasses.replace(thing, **changes)


@pytest.fixture
def calm(small):
    """Give the small run, as if the machine had been quiet: no visit that was disturbed has an interval."""
    return replace(small, records=tuple(replace(r, noise=CellNoise(noisy=False)) for r in small.records))


def test_the_fastest_for_one_photo(calm):
    answer = fastest(calm.records)
    assert answer.winner == Setup("onnx", 1, 2)
    assert answer.figure.estimate == 0.0455
    assert 0.041 <= answer.figure.low < 0.0455 < answer.figure.high <= 0.05
    eager, recipe = answer.alternatives
    assert (eager.setup.name, recipe.setup.name) == ("eager", "article's recipe")
    assert eager.relative_cost.estimate == pytest.approx(0.0955 / 0.0455)
    assert eager.relative_cost.low > 1
    assert answer.tied == ()
    assert answer.rounds == 10


def test_the_best_throughput_counts_photos_and_not_calls(small):
    answer = best_throughput(small.records)
    assert answer.winner == Setup("onnx", 4, 2)
    assert answer.figure.estimate == pytest.approx(4 / 0.1455)
    assert [a.setup.name for a in answer.alternatives] == ["eager", "article's recipe"]
    assert answer.alternatives[0].relative_cost.estimate == pytest.approx(0.0955 / (0.1455 / 4))


@pytest.fixture(scope="module")
def of_two_models(synthetic, tmp_path_factory):
    """Give the cells of a large model and a small one, which takes a third of its time."""
    cells = synthetic.Maker(scenes=("street", "pet")).models({"large": 1.0, "small": 1 / 3}, depth_maps=False)
    return read(synthetic.save(tmp_path_factory.mktemp("models") / "models.json", synthetic.content(cells))).records


def test_a_set_up_of_several_models_has_its_network(of_two_models):
    answer = fastest(of_two_models)
    assert answer.winner == Setup("onnx", 1, 2, model="small")
    assert [a.setup.name for a in answer.alternatives] == ["small on openvino", "large on onnx", "large on openvino"]
    ratios = {a.setup.name: a.relative_cost.estimate for a in answer.alternatives}
    assert ratios["large on onnx"] == pytest.approx(3, rel=0.05)
    streams = best_throughput(of_two_models)
    assert len({(a.setup.name, a.setup.stream_photos > 0) for a in streams.alternatives}) == len(streams.alternatives)
    assert {a.setup.model for a in streams.alternatives} == {"small", "large"}


def test_the_headline_says_that_a_faster_model_is_another_network(of_two_models):
    latency, _, memory = [line for line in three_lines(of_two_models) if not line.startswith(" ")]
    assert latency.startswith("Lowest latency: small on onnx with 2 threads, ")
    assert f"{X} faster than large on onnx, 95 % interval " in latency
    network = "another network, rank correlation 0.930 with large"
    assert latency.endswith(f"; {network}).")
    assert network in memory
    agreements = fidelity_results.agreements(of_two_models)
    caution = recommendations.caution_text(fastest(of_two_models), {}, agreements)
    assert caution.startswith("Another network, rank correlation 0.930 with large.")


def test_the_first_model_is_compared_with_the_next_best_whatever_that_is(synthetic, tmp_path):
    cells = synthetic.Maker(scenes=("street",)).models({"large": 0.5, "small": 0.6}, depth_maps=False)
    records = read(synthetic.save(tmp_path / "models.json", synthetic.content(cells))).records
    latency = three_lines(records)[0]
    assert latency.startswith("Lowest latency: large on onnx with 2 threads, ")
    assert "than small on onnx" in latency
    assert "another network" not in latency


def test_agreement_is_that_of_the_worst_photo(of_two_models):
    [worst, *_] = [r for r in of_two_models if r.info.model == "small" and r.is_pipeline and r.info.backend == "onnx"]
    records = [replace(r, teacher_rank_correlation=-0.25, teacher_pairs_kept=0.5) if r is worst else r
               for r in of_two_models]  # fmt: skip
    found = fidelity_results.agreements(records)["small on onnx"]
    assert (found.teacher, found.rank_correlation, found.pairs_kept) == ("large", -0.25, 0.5)
    assert fidelity_results.agreements(records)["small on openvino"].rank_correlation == 0.93


def test_the_memory_of_each_model_is_ranked_by_itself(of_two_models):
    answer = least_memory(of_two_models)
    names = [answer.winner.name, *(a.setup.name for a in answer.alternatives)]
    assert sorted(names) == ["large on onnx", "large on openvino", "small on onnx", "small on openvino"]


def test_fidelity_is_told_by_model_and_backend(of_two_models):
    points = {point.backend: point for point in fidelity_results.points(of_two_models)}
    assert points.keys() == {"small on onnx", "small on openvino", "large on onnx", "large on openvino"}
    assert all(len({r.info.model for r in point.cells}) == 1 for point in points.values())


def stream(small, photo_s, photos=24, **changes):
    """Return the cell of a stream that takes so long per photo, a little more or less from round to round."""
    [onnx] = [r for r in small.records if r.name == "test_pipeline[onnx-b1-street]"]
    rounds_s = photos * photo_s * np.linspace(0.99, 1.01, 9)
    median_s, interval = photos * photo_s, median_interval(rounds_s)
    times = Times(9, median_s, median_s, rounds_s[0], rounds_s[-1], 0.0, interval, rounds_s)
    info = Stream(**structs.asdict(onnx.info) | {"scene": None, "batch_size": None, "threads": 1}, stream_photos=photos)
    fields = {"info": info, "times": times}
    fullname = f"test_stream[onnx-{photos}]"
    return replace(onnx, **{"fullname": fullname, "name": fullname, "kind": "stream", **fields, **changes})


BEST_BATCH_S = 0.1455 / 4


@pytest.mark.parametrize("photos", [2, 24, 96])
@pytest.mark.parametrize("relative_cost", [0.5, 0.9, 1.1, 3.0])
def test_the_best_throughput_is_the_highest_of_batches_and_streams(small, photos, relative_cost):
    records = [*small.records, stream(small, relative_cost * BEST_BATCH_S, photos)]
    answer = best_throughput(records)
    streamed, batch = Setup("onnx", 1, 1, stream_photos=photos), Setup("onnx", 4, 2)
    assert (answer.winner == streamed) == (relative_cost < 1)
    assert answer.figure.estimate == pytest.approx(1 / (min(relative_cost, 1) * BEST_BATCH_S))
    relative_costs = {a.setup: a.relative_cost.estimate for a in answer.alternatives}
    other = batch if relative_cost < 1 else streamed
    assert relative_costs[other] == pytest.approx(max(relative_cost, 1 / relative_cost))
    assert fastest(records) == fastest(small.records)
    assert least_memory(records) == least_memory(small.records)


def test_a_stream_of_other_photos_is_no_answer_beside_the_batches(small):
    other = replace(stream(small, BEST_BATCH_S / 2), photos=(PhotoRecord("other.jpg", sha256="0" * 64),))
    assert best_throughput([*small.records, other]) == best_throughput(small.records)
    unrecorded = replace(other, photos=())
    assert best_throughput([*small.records, unrecorded]).winner.stream_photos == 24
    alone = best_throughput([other])
    assert (alone.winner.stream_photos, alone.alternatives, alone.scenes) == (24, (), ())


def test_a_stream_stays_where_a_disturbed_scene_is_left_out(small):
    [onnx] = [r for r in small.records if r.name == "test_pipeline[onnx-b4-street]"]
    calm = replace(onnx, noise=CellNoise(noisy=False))
    busy = replace(onnx, fullname="pet", scene="pet", noise=CellNoise(noisy=True, reasons=("busy",)))
    answer = best_throughput([calm, busy, stream(small, BEST_BATCH_S / 2)])
    assert answer.winner.stream_photos == 24
    assert best_throughput([calm, busy, stream(small, BEST_BATCH_S * 2)]).scenes == ("street",)


@pytest.mark.parametrize(
    ("weights", "own"),
    [
        (Weights("seeded"), ""),
        (Weights("official"), ""),
        (Weights(), ""),
        (Weights("file"), ', weights="..."'),
        (Weights("model"), ', model="..."'),
        (Weights("seeded", interface=Interface(160, 256)), ', model_settings={"size": "160x256"}'),
    ],
)
def test_below_a_stream_stand_its_two_lines_of_python(calm, weights, own):
    lines = three_lines([*calm.records, stream(calm, BEST_BATCH_S / 2, weights=weights)])
    titles = [line for line in lines if not line.startswith(" ")]
    assert len(titles) == 3
    winner = "onnx as a stream with 1 thread per photo, 55.0 images/s"
    assert titles[1].startswith(f"Highest throughput: {winner} (2.00{X} as many as batch 4, 95 % interval 1.9")
    opening, loop = lines[2:4]
    assert opening == f"    with DepthPipeline.open('onnx', threads=1{own}) as pipeline:"
    assert loop == "        for heatmap in pipeline.map(photos): ..."
    compile("\n".join(line.removeprefix("    ") for line in (opening, loop)), "the answer", "exec")


def test_a_batch_that_wins_has_no_lines_of_its_own(small):
    assert len(three_lines([*small.records, stream(small, BEST_BATCH_S * 2)])) == 3


def test_a_streams_figure_says_what_it_rests_on(calm):
    answer = best_throughput([stream(calm, 0.01, photos=12)])
    assert recommendations.basis_text(answer) == "median of 9 streams of 12 photos; 95 % interval within this run"
    bare = stream(calm, 0.01, times=Times(2, 0.24, 0.24, 0.24, 0.24, 0.0))
    assert (
        recommendations.basis_text(best_throughput([bare]))
        == "median of 2 streams of 24 photos; no interval: too few rounds, or one of 0 s"
    )


def test_a_stream_of_reduced_precision_is_called_so_without_any_batch(calm):
    reduced = stream(calm, 0.01, backend="onnx-int8", max_relative_error=0.1, mean_relative_error=0.02)
    exact = stream(calm, 0.02, max_relative_error=1e-6, mean_relative_error=1e-7)
    [line, *_] = three_lines([reduced, exact])
    assert f", reduced precision (2.00{X} as many as exact onnx, 95 % interval " in line
    assert fidelity_results.reduced([reduced, exact])["onnx-int8"].time.estimate == pytest.approx(0.01)


def test_the_least_memory(small):
    answer = least_memory(small.records)
    assert answer.winner == Setup("onnx", 1)
    assert answer.figure == Interval(300 * MIB, 300 * MIB, 300 * MIB, 0.0)
    [eager] = answer.alternatives
    assert eager.relative_cost.estimate == 3


def test_memory_is_compared_with_the_same_batch_where_there_is_one(small):
    [record] = [r for r in small.records if r.name == "test_memory[onnx-b1-street]"]
    bigger = replace(record, fullname="b4", batch_size=4, peak_rss_bytes=450 * MIB)
    eager = replace(bigger, fullname="e4", backend="eager", peak_rss_bytes=900 * MIB)
    [alternative] = least_memory([record, bigger, eager]).alternatives
    assert alternative.relative_cost.estimate == 2


def test_a_scene_with_a_disturbed_cell_is_left_out_for_all_setups(small):
    [onnx] = [r for r in small.records if r.name == "test_pipeline[onnx-b1-street]"]
    [eager] = [r for r in small.records if r.name == "test_pipeline[eager-b1-street]"]
    quiet_noise = CellNoise(noisy=False, reasons=())
    both = [replace(r, noise=quiet_noise) for r in (onnx, eager)]
    slow = replace(onnx.times, median_s=9.0, rounds_s=(9.0,) * 10)
    busy = replace(onnx, fullname="p1", scene="pet", times=slow, noise=CellNoise(noisy=True, reasons=("busy",)))
    pet = replace(both[1], fullname="p2", scene="pet")
    answer = fastest([*both, busy, pet])
    assert (answer.winner.backend, answer.scenes) == ("onnx", ("street",))
    assert fastest([busy, pet]).scenes == ("pet",)  # nothing else is left


def test_a_close_second_is_named(calm):
    onnx = next(r for r in calm.records if r.name == "test_pipeline[onnx-b1-street]")
    twin = replace(onnx, fullname="twin", backend="twin")
    answer = fastest([onnx, twin])
    assert answer.tied == (answer.alternatives[0].setup,)
    assert recommendations.caution_text(answer, {}).startswith("Too close to call: this run cannot tell it from")
    assert "45.5 ms per photo (too close to call: twin)." in three_lines([onnx, twin])[0]


def test_a_sentence_names_two_of_many_close_set_ups(calm):
    onnx = next(r for r in calm.records if r.name == "test_pipeline[onnx-b1-street]")
    twins = [replace(onnx, fullname=f"twin-{i}", backend=f"twin-{i}") for i in range(4)]
    bracket = "too close to call: twin-0, twin-1 or 2 others"
    assert f"({bracket})" in three_lines([onnx, *twins])[0]


@pytest.mark.parametrize("name", ["test_threads[onnx-t1]", "test_large_photo[onnx]"])
def test_answers_ignore_thread_scaling_and_large_photos(small, name):
    other = replace(small.records[2], fullname="other", name=name, threads=1)
    assert fastest([*small.records, other]) == fastest(small.records)


def test_answers_average_only_the_scenes_that_all_set_ups_have(small):
    eager, onnx = small.records[1], small.records[2]
    pet = replace(eager, fullname="pet", scene="pet", times=replace(eager.times, median_s=9.0))
    answer = fastest([eager, onnx, pet])
    assert answer.scenes == ("street",)
    assert answer.alternatives[0].figure.estimate == 0.0955


def test_three_lines_read_as_sentences(calm):
    first, second, third = three_lines(calm.records)
    latency = f"Lowest latency: onnx with 2 threads, 45.5 ms per photo (2.10{X} faster than eager, 95 % interval 1."
    assert first.startswith(latency)
    assert first.endswith(f"{X}).")
    throughput = f"Highest throughput: onnx with batch 4 and 2 threads, 27.5 images/s (2.63{X} as many as eager, 95 % "
    assert second.startswith(throughput)
    assert second.endswith(f"{X}).")
    memory = "Least memory: onnx with batch 1, 300 MiB at the peak (the article's recipe needs"
    assert third == f"{memory} 3.00{X} as much)."


def test_a_visit_that_was_disturbed_has_no_interval_and_a_caution(small):
    first = three_lines(small.records)[0]
    assert first.endswith(f"(2.10{X} faster than eager, no interval). Caution: the machine was noisy.")


def test_a_quiet_run_has_no_caution(calm):
    assert "Caution" not in "".join(three_lines(calm.records))
    assert all(len(line) <= 125 for line in three_lines(calm.records))


def test_a_set_up_without_any_other_has_its_own_interval(small):
    [onnx] = [r for r in small.records if r.name == "test_pipeline[onnx-b1-street]"]
    first, second = three_lines([replace(onnx, noise=CellNoise())])
    assert first.startswith("Lowest latency: onnx with 2 threads, 45.5 ms per photo (95 % interval 4")
    assert second.startswith("Highest throughput: onnx with batch 1 and 2 threads, 22.0 images/s (95 % interval 2")
    bare = replace(onnx, noise=CellNoise(), times=replace(onnx.times, rounds_s=onnx.times.rounds_s[:0], interval=None))
    assert three_lines([bare])[0] == "Lowest latency: onnx with 2 threads, 45.5 ms per photo (no interval)."


def test_memory_beside_a_larger_batch_names_the_batch_that_both_have(small):
    [record] = [r for r in small.records if r.name == "test_memory[onnx-b1-street]"]
    bigger = replace(record, fullname="b4", batch_size=4, peak_rss_bytes=450 * MIB)
    jit = replace(bigger, fullname="j4", backend="jit", peak_rss_bytes=900 * MIB)
    [line] = three_lines([record, bigger, jit])
    assert line.endswith(f"300 MiB at the peak (jit needs 2.00{X} as much, both with batch 4).")


def test_three_lines_are_empty_without_records(small):
    assert three_lines([]) == []
    assert answers([r for r in small.records if r.kind == "stage"]) == []


def test_without_raw_rounds_there_is_no_interval(small):
    bare = [replace(r, times=replace(r.times, rounds_s=r.times.rounds_s[:0], interval=None)) for r in small.records]
    answer = fastest(bare)
    assert answer.figure == Interval(0.0455, 0.0455, 0.0455, 0.0)
    assert recommendations.figure_text(answer) == "45.5 ms"
    assert "no interval" in recommendations.basis_text(answer)


def test_noise_text_counts_disturbed_cells(small):
    calm = [replace(r, noise=CellNoise(noisy=False)) for r in small.records]
    silent = [replace(r, noise=CellNoise()) for r in small.records]
    behind = ["bench/test_pipeline.py::test_pipeline[onnx-b1-street]"]
    assert noise_text(calm) == "The machine was quiet: none of 12 cells was disturbed."
    assert "not recorded" in noise_text(silent)
    assert "during 1 of 12 cells, 1 of them behind these answers" in noise_text(small.records, behind)
    assert "none of them behind these answers" in noise_text(small.records)


def test_after_a_winner_of_reduced_precision_the_next_exact_one_is_named(small):
    [onnx] = [r for r in small.records if r.name == "test_pipeline[onnx-b1-street]"]
    exact = replace(onnx, max_relative_error=4e-6, mean_relative_error=1e-6)
    fast = replace(onnx.times, median_s=0.02, interval=None, rounds_s=onnx.times.rounds_s[:0])
    faster = replace(fast, median_s=0.01)
    int8, bf16 = (
        replace(onnx, fullname=name, backend=name, times=times, max_relative_error=0.1, mean_relative_error=0.021)
        for name, times in (("onnx-int8", faster), ("openvino-bf16", fast))
    )
    [line, *_] = three_lines([exact, int8, bf16])
    sentence = "onnx-int8 with 2 threads, 10.0 ms per photo, reduced precision"
    assert f": {sentence} (4.55{X} faster than exact onnx, no interval)." in line
    answer = fastest([exact, int8, bf16])
    text = recommendations.caution_text(answer, fidelity_results.reduced([exact, int8, bf16]))
    assert text.startswith("Reduced precision: its depth is 2.10 % of the range off.")
    assert "reduced" not in three_lines([exact])[0]
    assert recommendations.runner_up_text(fastest([int8, bf16]), {"onnx-int8": None, "openvino-bf16": None}) is None


def in_passes(record, passes_s, disturbed=(), **changes):
    """Return a cell as it is after passes of one round each."""
    times = Times(len(passes_s), float(np.median(passes_s)), *[float(np.mean(passes_s))] * 4, None,
                  np.array(passes_s), np.array(passes_s))  # fmt: skip
    noise = CellNoise(noisy=2 * len(disturbed) >= len(passes_s), disturbed_passes=tuple(disturbed))
    return replace(record, times=times, rounds_by_pass=(1,) * len(passes_s), noise=noise, **changes)


def pair(small, eager_s, onnx_s, **changes):
    """Return eager's and ONNX Runtime's cells after passes."""
    eager, onnx = small.records[1], small.records[2]
    return [in_passes(eager, eager_s, **changes), in_passes(onnx, onnx_s, **changes)]


def test_what_slows_both_in_the_same_passes_leaves_the_price_as_it_is(small):
    drift = np.array([1.0, 1.1, 1.3, 1.7, 1.4, 1.2, 1.0])
    [eager] = fastest(pair(small, 0.2 * drift, 0.1 * drift)).alternatives
    assert (eager.relative_cost.low, eager.relative_cost.high) == pytest.approx((2, 2))


def test_a_price_comes_from_the_passes_that_were_not_disturbed_where_there_are_enough(small):
    disturbed = (2, 5, 7)
    eager_s, onnx_s = np.full(9, 0.2), np.full(9, 0.1)
    for number in disturbed:
        eager_s[number - 1], onnx_s[number - 1] = 0.3, 0.25
    [eager] = fastest(pair(small, eager_s, onnx_s, disturbed=disturbed)).alternatives
    assert (eager.relative_cost.low, eager.relative_cost.high) == pytest.approx((2, 2))
    # of five others none can be told to be the usual ones
    [eager] = fastest(pair(small, eager_s[:8], onnx_s[:8], disturbed=disturbed)).alternatives
    assert eager.relative_cost.low == pytest.approx(0.3 / 0.25)


def test_an_interval_over_few_passes_is_wider_than_their_range(small):
    [eager] = fastest(pair(small, [0.2, 0.21, 0.2], [0.1, 0.1, 0.1])).alternatives
    assert eager.relative_cost.low < 2
    assert eager.relative_cost.high > 2.1


def test_where_the_machine_was_disturbed_and_the_price_is_open_the_sentence_says_so(small):
    swinging = pair(small, [0.1, 0.3, 0.1, 0.3], [0.1, 0.1, 0.2, 0.2], disturbed=(1, 2, 3))
    [latency, *_] = three_lines(swinging)
    assert latency.startswith(
        "Lowest latency: the machine was too disturbed to say; the best of it was onnx with 2 thr"
    )
    assert "too close to call: eager" in latency
    steady = pair(small, [0.2] * 4, [0.1] * 4, disturbed=(1, 2, 3))
    assert three_lines(steady)[0].endswith("The machine was disturbed in most passes; idle, it is faster.")


@pytest.mark.parametrize(("eager_s", "onnx_s", "price"), [([0.2] * 6, [0.1] * 6, 0.0), ([0.2], [0.1], np.inf)])
def test_the_widest_price_decides_whether_more_passes_are_worth_their_time(small, eager_s, onnx_s, price):
    assert recommendations.widest_price(pair(small, eager_s, onnx_s)) == pytest.approx(price)


def test_a_network_that_alone_takes_longer_than_its_pipeline_is_called_noise(small):
    onnx = small.records[2]
    alone = replace(onnx, fullname="alone", name="test_inference[onnx-b1]", kind="stage", stage="inference",
                    times=replace(onnx.times, median_s=2 * onnx.times.median_s))  # fmt: skip
    text = "The network alone took longer than the whole pipeline (onnx, batch 1): that is noise."
    assert recommendations.impossible_text([onnx, alone]) == text
    assert recommendations.impossible_text([onnx]) == ""


def test_the_price_of_a_backend_over_another_comes_from_passes_alone(small):
    def ratio(records, backend, other):
        above, below = (pass_ratios.pipelines(records, name) for name in (backend, other))
        return pass_ratios.time_ratio([above], below)

    measured = pair(small, [0.2] * 3, [0.1] * 3)
    assert ratio(measured, "eager", "onnx").estimate == pytest.approx(2)
    assert ratio(small.records, "eager", "onnx") is None
    assert ratio(measured, "eager", "jit") is None


def test_times_of_several_cells_add_up_in_a_ratio(small):
    eager, onnx = pair(small, [0.2, 0.2, 0.4], [0.1, 0.1, 0.2])
    assert pass_ratios.time_ratio([[onnx], [onnx]], [eager]).estimate == pytest.approx(1)


def test_where_time_is_short_passes_keep_to_the_cells_of_the_set_ups_that_answers_name(small):
    answering = recommendations.answering_cells(small.records)
    named = {"test_article[street]", "test_pipeline[eager-b1-street]", "test_pipeline[onnx-b1-street]",
             "test_pipeline[onnx-b4-street]"}  # fmt: skip
    assert {name.rpartition("::")[2] for name in answering} == named
