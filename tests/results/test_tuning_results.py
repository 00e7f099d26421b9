import json

import pytest

from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import Trial, choices, leaders, pareto, ranked, survivors, to_json


def trial(backend, call_s, batch=1, threads=2, exact=True, peak=None, finalist=True, n=8, stream=0):
    calls = tuple(call_s * (1 + 0.001 * i) for i in range(n)) if call_s else ()
    return Trial(Setup(backend, batch, threads, stream_photos=stream), exact, calls, peak, finalist)


def names(trials):
    return [t.setup.backend for t in trials]


def test_trials_are_ranked_by_each_question():
    one, four = trial("one", 0.1, peak=300), trial("four", 0.2, batch=4, peak=500)
    heavy = trial("heavy", None, peak=100)
    assert names(ranked([four, one, heavy], "latency")) == ["one"]
    assert names(ranked([one, four, heavy], "throughput")) == ["four", "one"]
    assert names(ranked([one, four, heavy], "memory")) == ["heavy", "one", "four"]


def test_the_best_quarter_stays_for_each_question_exact_and_reduced_apart():
    exact = [trial(f"e{i}", 0.1 + i / 100) for i in range(9)]
    reduced = [trial(f"r{i}", 0.01 + i / 1000, exact=False) for i in range(3)]
    assert names(survivors(exact + reduced)) == ["e0", "e1", "e2", "r0", "r1"]


def test_leaders_are_the_best_of_each_question_exact_and_reduced_apart():
    singles = [trial(f"one{i}", 0.05 + i / 100) for i in range(3)]
    streams = [trial(f"stream{i}", 12 * (0.03 + i / 100), stream=12) for i in range(2)]
    reduced = trial("reduced", 0.02, exact=False)
    assert set(names(leaders([*singles, *streams, reduced]))) == {"one0", "stream0", "reduced"}
    assert leaders([]) == []


def test_tuning_keeps_a_backend_that_is_fast_only_in_batches():
    slow_call = trial("batch", 0.12, batch=4)
    singles = [trial(f"one{i}", 0.05 + i / 100) for i in range(5)]
    assert set(names(survivors([*singles, slow_call]))) == {"one0", "one1", "batch"}


def test_timed_choices_need_the_last_round_and_memory_does_not():
    trials = [
        trial("dropped", 0.001, peak=100, finalist=False),
        trial("best", 0.02, peak=300),
        trial("other", 0.03, peak=250),
    ]
    answers = {choice.question: choice for choice in choices(trials)}
    assert {question: choice.best.setup.backend for question, choice in answers.items()} == {
        "latency": "best", "throughput": "best", "memory": "dropped",
    }  # fmt: skip
    assert all(choice.exact is None and choice.tied == () for choice in answers.values())


def test_beside_a_winner_of_reduced_precision_stands_the_best_exact_one_and_its_relative_cost():
    latency, _, memory = choices([trial("int8", 0.02, exact=False, peak=100), trial("onnx", 0.05, peak=300)])
    assert (latency.best.setup.backend, latency.exact.setup.backend) == ("int8", "onnx")
    assert latency.relative_cost.estimate == pytest.approx(2.5)
    assert latency.relative_cost.low <= 2.5 <= latency.relative_cost.high
    assert memory.relative_cost.estimate == 3
    assert memory.relative_cost.confidence == 0


def test_the_relative_cost_of_a_batch_is_per_photo_and_not_per_call():
    throughput = choices([trial("int8", 0.02, exact=False), trial("onnx", 0.16, batch=4)])[1]
    assert throughput.relative_cost.estimate == pytest.approx(2.0)


@pytest.mark.parametrize("photos", [2, 12, 96])
@pytest.mark.parametrize(("photo_s", "order"), [(0.03, ["stream", "four", "one"]), (0.045, ["four", "stream", "one"])])
def test_a_stream_is_asked_for_its_throughput_and_not_for_a_latency(photos, photo_s, order):
    stream = trial("stream", photos * photo_s, threads=1, stream=photos, peak=200)
    one, four = trial("one", 0.05, peak=300), trial("four", 0.16, batch=4, peak=400)
    assert names(ranked([one, stream, four], "throughput")) == order
    assert names(ranked([one, stream, four], "latency")) == ["one"]
    assert names(ranked([one, stream, four], "memory")) == ["stream", "one", "four"]
    assert stream.images_per_second.estimate == pytest.approx(1 / photo_s, rel=0.01)
    latency, throughput, memory = choices([one, stream, four])
    assert (latency.best.setup.backend, throughput.best.setup.backend) == ("one", order[0])
    assert memory.best.setup.backend == "stream"


def test_the_relative_cost_beside_a_stream_is_per_photo():
    stream = trial("int8", 12 * 0.01, threads=1, stream=12, exact=False)
    [throughput] = choices([stream, trial("onnx", 0.16, batch=4)])
    assert throughput.best.setup == stream.setup
    assert throughput.relative_cost.estimate == pytest.approx(4.0)


@pytest.mark.parametrize("photos", [2, 12, 96])
def test_streams_stand_on_the_front_for_throughput_and_memory(photos):
    one, four = trial("one", 0.05, peak=300), trial("four", 0.16, batch=4, peak=500)
    best = trial("best", photos * 0.03, stream=photos, peak=400)
    slower = trial("slower", photos * 0.035, stream=photos, peak=450)
    assert names(pareto([one, four, best, slower])) == ["one", "four", "best"]
    beaten = trial("beaten", photos * 0.06, stream=photos, peak=300)
    assert names(pareto([one, beaten])) == ["one"]


def test_equal_costs_keep_the_simple_call_before_the_stream():
    stream, one = trial("a", 12 * 0.05, threads=1, stream=12, peak=300), trial("a", 0.05, peak=300)
    assert [t.setup.stream_photos for t in ranked([stream, one], "memory")] == [0, 12]


def test_overlapping_calls_are_too_close_to_call():
    calls = (0.02, 0.03, 0.025, 0.021, 0.029, 0.024)
    one = Trial(Setup("one", 1, 2), True, calls, finalist=True)
    two = Trial(Setup("two", 1, 2), True, tuple(c * 1.001 for c in calls), finalist=True)
    far = Trial(Setup("far", 1, 2), True, tuple(c * 2 for c in calls), finalist=True)
    assert choices([one, two, far])[0].tied == (Setup("two", 1, 2),)


def test_pareto_front_holds_what_no_other_beats_in_all_three():
    fast, small = trial("fast", 0.02, peak=300), trial("small", 0.05, peak=100)
    beaten, batch = trial("beaten", 0.05, peak=200), trial("batch", 0.06, batch=4, peak=400)
    unknown, untimed = trial("unknown", 0.001), trial("untimed", None, peak=1)
    assert names(pareto([fast, small, beaten, batch, unknown, untimed])) == ["fast", "small", "batch"]


def test_pareto_front_holds_both_of_two_equal_trials():
    assert names(pareto([trial("a", 0.02, peak=300), trial("b", 0.02, peak=300)])) == ["a", "b"]


def test_few_calls_give_no_interval():
    few = trial("a", 0.02, n=5)
    assert few.call.confidence == 0
    assert to_json(few)["median_ci_s"] is None
    assert trial("a", 0.02, n=6).call.confidence == 0.95


def test_json_holds_si_units_and_what_is_unknown_as_null():
    document = json.loads(json.dumps(to_json(trial("a", None, peak=5))))
    assert document == {
        "backend": "a", "threads": 2, "batch_size": 1, "stream_photos": None, "exact": True, "median_s": None,
        "median_ci_s": None, "images_per_second": None, "peak_rss_bytes": 5, "finalist": True, "calls_s": [],
    }  # fmt: skip
    assert to_json(trial("a", 0.5, batch=4, n=1))["images_per_second"] == 8
    stream = to_json(trial("a", 0.5, n=1, stream=12))
    assert (stream["stream_photos"], stream["images_per_second"]) == (12, 24)


def test_tuning_without_trials_has_no_choices():
    assert choices([]) == []
    assert pareto([]) == []
