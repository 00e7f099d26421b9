import json

import pytest

from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import (
    Closeness,
    Trial,
    Visit,
    choices,
    pareto,
    ranked,
    setup_name,
    survivors,
    to_json,
)


def visits(*seconds, disturbed=(), first=1):
    reason = ("other processes used 90% of a core",)
    return tuple(Visit(n, (s,), reason if n in disturbed else ()) for n, s in enumerate(seconds, start=first))


def trial(backend, call_s, batch=1, threads=2, exact=True, peak=None, finalist=True, n=8, stream=0):
    calls = [call_s * (1 + 0.001 * i) for i in range(n)] if call_s else []
    return Trial(Setup(backend, batch, threads, stream_photos=stream), exact, visits(*calls), peak, finalist)


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
    assert names(survivors(exact + reduced)) == ["r0", "e0", "r1", "e1", "e2"]


def test_the_leaders_of_all_questions_come_first():
    singles = [trial(f"one{i}", 0.05 + i / 100) for i in range(3)]
    streams = [trial(f"stream{i}", 12 * (0.03 + i / 100), stream=12) for i in range(2)]
    reduced = trial("reduced", 0.02, exact=False)
    assert names(survivors([*singles, *streams, reduced])) == ["reduced", "one0", "stream0", "one1", "stream1"]
    assert survivors([]) == []


@pytest.mark.parametrize("disturbed", [{1}, {1, 2}, {2, 3}])
def test_what_was_disturbed_does_not_leave_for_it(disturbed):
    seconds = [0.5 if n in disturbed else 0.02 for n in (1, 2, 3)]
    fast = Trial(Setup("fast", 1, 2), True, visits(*seconds, disturbed=disturbed))
    others = [trial(f"other{i}", 0.03 + i / 100, n=3) for i in range(3)]
    assert names(survivors([*others, fast]))[0] == "fast"


def test_a_slow_pass_that_was_not_disturbed_counts_against_it():
    slow = Trial(Setup("slow", 1, 2), True, visits(0.02, 0.5, 0.5))
    assert "slow" not in names(survivors([slow, *(trial(f"other{i}", 0.03 + i / 100, n=3) for i in range(3))]))


def test_where_all_passes_were_disturbed_all_count():
    everything = {1, 2, 3}
    fields = [Trial(Setup(f"b{i}", 1, 2), True, visits(*[i + 1.0] * 3, disturbed=everything)) for i in range(4)]
    assert names(survivors(fields)) == ["b0", "b1"]


def test_tuning_keeps_a_backend_that_is_fast_only_in_batches():
    slow_call = trial("batch", 0.12, batch=4)
    singles = [trial(f"one{i}", 0.05 + i / 100) for i in range(5)]
    assert set(names(survivors([*singles, slow_call]))) == {"one0", "one1", "batch"}


def test_timed_choices_are_of_the_finalists_and_memory_is_of_all():
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


CALLS_S = (0.02, 0.03, 0.025, 0.021, 0.029, 0.024)


def finalist(backend, *seconds, **how):
    return Trial(Setup(backend, 1, 2), True, visits(*seconds, **how), finalist=True)


def test_faster_in_some_passes_and_slower_in_others_is_too_close_to_call():
    two = [s * (0.99 if n % 3 == 0 else 1.02) for n, s in enumerate(CALLS_S)]
    fields = [finalist("one", *CALLS_S), finalist("two", *two), finalist("far", *(s * 2 for s in CALLS_S))]
    assert choices(fields)[0].tied == (Setup("two", 1, 2),)


def test_faster_in_every_pass_is_faster_though_the_intervals_overlap():
    one, two = finalist("one", *CALLS_S), finalist("two", *(s * 1.02 for s in CALLS_S))
    [latency, _] = choices([one, two])
    assert one.call.high > two.call.low
    assert latency.tied == ()


def test_passes_are_compared_by_their_number():
    drifting = [0.01 * 2**n for n in range(8)]
    late = finalist("late", *(s * 1.1 for s in drifting[1:]), first=2)
    early = finalist("early", *drifting[:7])
    assert early.call.estimate < late.call.estimate
    assert choices([early, late])[0].tied == ()
    assert choices([early, finalist("late", *(s * 0.9 for s in drifting[1:]), first=2)])[0].tied


def test_a_single_pass_tells_nothing_apart():
    [latency, _] = choices([finalist("one", 0.02), finalist("two", 0.2)])
    assert (latency.best.setup.backend, latency.tied) == ("one", (Setup("two", 1, 2),))


@pytest.mark.parametrize("factor", [1, 5])
@pytest.mark.parametrize(("disturbed", "says"), [((), False), ((1, 2), False), ((1, 2, 3), True), (range(1, 7), True)])
def test_a_winner_is_in_doubt_where_half_of_its_visits_were_disturbed(disturbed, says, factor):
    one = finalist("one", *CALLS_S, disturbed=disturbed)
    latency, throughput = choices([one, finalist("two", *(s * factor * 1.1 for s in CALLS_S))])
    assert (latency.disturbed, throughput.disturbed) == (says, says)
    assert one.disturbed == len(disturbed)


def test_a_winner_is_in_doubt_where_its_rivals_were_disturbed():
    rivals = [finalist(f"two{i}", *(s * 2 for s in CALLS_S), disturbed=range(1, 7)) for i in range(2)]
    assert choices([finalist("one", *CALLS_S), *rivals])[0].disturbed


def test_memory_is_never_in_doubt_for_noise():
    [memory] = choices([Trial(Setup("a", 1, 2), True, visits(1.0, disturbed={1}), 100)])
    assert (memory.question, memory.disturbed) == ("memory", False)


def test_pareto_front_holds_what_no_other_beats_in_all_three():
    fast, small = trial("fast", 0.02, peak=300), trial("small", 0.05, peak=100)
    beaten, batch = trial("beaten", 0.05, peak=200), trial("batch", 0.06, batch=4, peak=400)
    unknown, untimed = trial("unknown", 0.001), trial("untimed", None, peak=1)
    assert names(pareto([fast, small, beaten, batch, unknown, untimed])) == ["fast", "small", "batch"]


def test_pareto_front_holds_both_of_two_equal_trials():
    assert names(pareto([trial("a", 0.02, peak=300), trial("b", 0.02, peak=300)])) == ["a", "b"]


def test_the_front_compares_two_by_the_passes_that_they_share():
    """What left while the machine was quiet does not beat what was timed while it was not."""
    left = Trial(Setup("left", 1, 2), True, visits(0.03, 0.03, 0.03), 300)
    stayed = Trial(Setup("stayed", 1, 2), True, visits(0.05, 0.05, first=4), 200, True, visits(0.02, 0.02, 0.02))
    joined = Trial(Setup("joined", 1, 2), True, visits(0.04, 0.04, first=4), 200, True)
    assert left.call.estimate < joined.call.estimate
    assert names(pareto([left, stayed])) == ["stayed"]
    assert names(pareto([left, stayed, joined])) == ["joined"]


def test_the_interval_is_of_the_passes_and_not_of_their_calls():
    calls = Trial(Setup("a", 1, 2), True, tuple(Visit(n, (s, s * 3, s * 2)) for n, s in enumerate(CALLS_S, start=1)))
    assert calls.call.estimate == pytest.approx(0.049)
    assert (calls.call.low, calls.call.high) == pytest.approx((0.04, 0.06))
    assert to_json(calls)["calls_s"][:3] == [0.02, 0.06, 0.04]


def test_one_pass_gives_no_interval_and_few_a_wide_one():
    one = trial("a", 0.02, n=1)
    assert one.call.confidence == 0
    assert to_json(one)["median_ci_s"] is None
    few = finalist("a", 0.02, 0.03)
    assert few.call.low < 0.02
    assert few.call.high > 0.03
    assert few.call.confidence == 0.95


def test_a_disturbed_pass_is_in_the_interval():
    assert finalist("a", *CALLS_S[1:], 0.5, disturbed={6}).call.high == 0.5


def test_json_holds_si_units_and_what_is_unknown_as_null():
    document = json.loads(json.dumps(to_json(trial("a", None, peak=5))))
    assert document == {
        "backend": "a", "threads": 2, "batch_size": 1, "stream_photos": None, "exact": True, "median_s": None,
        "median_ci_s": None, "images_per_second": None, "peak_rss_bytes": 5, "finalist": True, "calls_s": [],
        "passes": [], "earlier_passes": [], "disturbed_passes": 0, "fidelity": None,
    }  # fmt: skip
    assert to_json(trial("a", 0.5, batch=4, n=1))["images_per_second"] == 8
    stream = to_json(trial("a", 0.5, n=1, stream=12))
    assert (stream["stream_photos"], stream["images_per_second"]) == (12, 24)


def test_json_holds_every_pass_what_disturbed_it_and_how_close_the_depth_is():
    close = Closeness("eager", 0.998, 0.004, 0.03, 0.01)
    measured = Trial(
        Setup("a", 1, 2), False, visits(0.1, 0.2, disturbed={5}, first=4), earlier=visits(0.3), closeness=close
    )
    document = json.loads(json.dumps(to_json(measured)))
    assert document["passes"] == [
        {"number": 4, "median_s": 0.1, "disturbances": []},
        {"number": 5, "median_s": 0.2, "disturbances": ["other processes used 90% of a core"]},
    ]
    assert document["earlier_passes"] == [{"number": 1, "median_s": 0.3, "disturbances": []}]
    assert document["disturbed_passes"] == 1
    assert document["fidelity"] == {
        "reference": "eager", "rank_correlation": 0.998, "mean_relative_error": 0.004, "max_relative_error": 0.03,
        "flipped_pairs": 0.01, "problem": None,
    }  # fmt: skip


def test_a_set_up_is_named_with_its_threads_and_its_calls():
    assert setup_name(Setup("onnx", 4, 2)) == "onnx (threads 2, batch 4)"
    assert setup_name(Setup("onnx", 1, 1, stream_photos=12)) == "onnx (threads 1, stream)"


def test_tuning_without_trials_has_no_choices():
    assert choices([]) == []
    assert pareto([]) == []
