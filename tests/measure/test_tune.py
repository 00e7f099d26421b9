"""The search with workers, a clock and a noise probe that are scripted: what a call takes, and what disturbs it."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from midas_bench.depth.calls import long_stream_photos
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError
from midas_bench.measure import tune as module
from midas_bench.measure import tune_candidates, tune_depth, tune_race
from midas_bench.measure.blocks import WARM_UP_CALLS
from midas_bench.measure.first_look import first_look
from midas_bench.measure.noise_probe import Best, Reading
from midas_bench.measure.tune import LOOK_PASSES, TunePlan, tune
from midas_bench.measure.tune_candidates import by_promise
from midas_bench.measure.worker_client import SavedArrays, WorkerDiedError
from midas_bench.processes import ProcessDiedError
from midas_bench.results.passes import ENOUGH
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import choices, pareto, setup_name

CALL_S = {"onnx": 0.05, "openvino": 0.06, "eager": 0.10, "jit": 0.09, "jit-frozen": 0.08, "onnx-int8": 0.02,
          "openvino-int8": 0.021, "openvino-bf16": 0.03, "eager-bf16": 0.04}  # fmt: skip
PEAK = {"onnx": 300, "onnx-int8": 200}
MIB = 1 << 20
DEFAULT_BUDGET_S = 170.0
INT8 = Setup("onnx-int8", 1, 2)


class World:
    """A machine whose clock moves only by what is asked of it."""

    def __init__(self):
        self.now_s = 0.0
        self.own_s = 0.0
        self.others_s = 0.0
        self.open_s = 2.0
        self.progress_lines = []
        self.opened = []
        self.alive = set()
        # names in the order of the visits of each pass
        self.passes = []
        self.visits = Counter()
        self.asked = []
        self.refuses = {}
        self.opens_not = {}
        self.dies_at_visit = {}
        self.keeps_peak = True
        self.call_s = dict(CALL_S)
        # seconds per photo of a stream on one thread each, over those of one photo on two threads
        self.stream_price = 0.9
        # by name and visit, counted from 1: how much longer the calls take while something else runs
        self.disturbance = lambda name, visit: 1.0  # noqa: ARG005
        self.machine_slowdown = lambda now_s: 1.0  # noqa: ARG005
        self.interrupt_at_visit = None

    def now(self):
        return self.now_s

    def spend(self, seconds, disturbed=False):
        self.now_s += seconds
        self.own_s += seconds
        self.others_s += seconds if disturbed else 0

    def progress(self, text, left_s):
        self.progress_lines.append((text, left_s))
        if text.startswith("pass "):
            self.passes.append([])

    def ask(self, name, request, timeout_s):
        assert name == "midas_bench.measure.isolated_tasks"
        backend = PipelineConfig.from_json(request["config"]).backend
        self.asked.append((request["task"], backend))
        self.spend(self.open_s)
        assert timeout_s > 0
        if backend in self.refuses:
            raise self.refuses[backend]
        return {"peak_rss_bytes": PEAK.get(backend, 700) * MIB}

    def reference(self, _photos):
        raise UserError("backend eager", "needs torch", "install it")


class FakeWorker:
    """A worker of the world."""

    world: World

    def __init__(self, spec, core):
        assert core is None
        self.name = spec.name
        [(self.pipeline, how)] = spec.pipelines.items()
        self.config, self.photos = how["config"], len(how["photos"])
        self.visit = 0
        self.warm_up_calls = WARM_UP_CALLS

    def __enter__(self):
        self.world.alive.add(self.name)
        return self

    def __exit__(self, *_):
        self.world.alive.discard(self.name)

    def open(self, timeout_s):
        assert timeout_s > 0
        self.world.opened.append(self.name)
        self.world.spend(self.world.open_s)
        if self.name in self.world.opens_not:
            raise WorkerDiedError(self.name, self.world.opens_not[self.name])

    def call(self, probe, timeout_s):
        world = self.world
        assert (probe.arm, probe.pipeline) == (self.name, self.pipeline)
        assert self.name in world.alive
        self.warm_up_calls -= 1
        if self.warm_up_calls < 0 and self.name not in world.passes[-1]:
            world.passes[-1].append(self.name)
            self.visit += 1
            world.visits[self.name] += 1
            if sum(world.visits.values()) == world.interrupt_at_visit:
                raise KeyboardInterrupt
            if self.visit == world.dies_at_visit.get(self.name):
                raise WorkerDiedError(self.name, "killed by SIGKILL (out of memory?)")
        call_s = world.call_s[self.config["backend"]]
        threads = self.config["threads"]
        taken_s = call_s * self.photos * (2 / threads) ** 0.8
        if probe.call == "long_stream":
            taken_s = call_s * long_stream_photos(threads) * world.stream_price
        factor = world.disturbance(self.name, self.visit)
        taken_s *= factor * world.machine_slowdown(world.now_s)
        if taken_s > timeout_s:
            world.spend(timeout_s)
            raise WorkerDiedError(self.name, f"no answer within {timeout_s:g} s")
        world.spend(taken_s, disturbed=factor > 1)
        return taken_s * (1 + 0.001 * (sum(world.visits.values()) * 7 % 5))

    def save(self, probe, path, timeout_s):
        del timeout_s
        assert probe.call == "inference"
        depth = np.arange(64, dtype=np.float32).reshape(1, 8, 8)
        if self.config["backend"].endswith("int8"):
            depth[0, 0, :2] = depth[0, 0, 1::-1]  # one pair swapped
        path.write_bytes(depth.tobytes())
        return SavedArrays(path, [depth.shape[1:]], "float32")

    def peak_bytes(self):
        more = 10 if "stream" in self.name else self.photos
        return (PEAK.get(self.config["backend"], 700) + more) * MIB if self.world.keeps_peak else None


@pytest.fixture
def world(monkeypatch):
    new_world = World()

    class FakeProbe:
        best = Best(0.005, 0.01)

        def read(self, idle_s):
            new_world.spend(idle_s + 0.05)
            busy_s = new_world.own_s + new_world.others_s
            return Reading(0.005, 0.01, new_world.now_s, busy_s, new_world.own_s, 0.0)

    monkeypatch.setattr(tune_candidates, "Worker", type("Worker", (FakeWorker,), {"world": new_world}))
    monkeypatch.setattr(tune_race, "NoiseProbe", FakeProbe)
    monkeypatch.setattr(tune_depth.Reference, "depth", new_world.reference)
    monkeypatch.setattr(module, "ask", new_world.ask)
    monkeypatch.setattr(module.registry, "is_prepared", lambda *_: True)
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: SimpleNamespace(available=64 << 30))
    return new_world


@pytest.fixture
def plan(photos, tmp_path):
    def make_plan(*backends, threads=(2, 1), budget_s=300.0):
        config = resolve(PipelineConfig("onnx", 1, "seeded", cache_dir=str(tmp_path)))
        return TunePlan(config, backends or by_promise(CALL_S), threads, [photos["street"]], budget_s)

    return make_plan


def test_graphs_of_other_runtimes_come_first_whatever_they_are_made_of():
    assert by_promise(["eager", "jit", "litert", "onnx", "litert-int8"]) == (
        "litert-int8", "litert", "onnx", "jit", "eager",
    )  # fmt: skip


def find(world, plan):
    tuned = tune(plan, world.progress, world.now)
    assert world.alive == set()
    names = {setup_name(trial.setup) for trial in tuned.trials}
    assert not names & set(tuned.left_out)
    assert not {trial.setup.backend for trial in tuned.trials} & set(tuned.left_out)
    return tuned


def best(tuned):
    return {choice.question: choice.best.setup for choice in choices(tuned.trials)}


def of(tuned, setup):
    [trial] = [trial for trial in tuned.trials if trial.setup == setup]
    return trial


def name(backend, threads=2, calls="batch 1"):
    return f"{backend} (threads {threads}, {calls})"


def stream(backend, threads=1):
    return Setup(backend, 1, threads, stream_photos=long_stream_photos(threads))


def test_tuning_finds_the_fastest_and_the_smallest_setup(world, plan):
    tuned = find(world, plan())
    assert best(tuned)["latency"] == INT8
    assert best(tuned)["throughput"].backend == "onnx-int8"
    assert best(tuned)["memory"].backend == "onnx-int8"
    assert choices(tuned.trials)[0].exact.setup == Setup("onnx", 1, 2)
    assert tuned.left_out == {}
    assert tuned.elapsed_s == world.now_s <= 300


def test_reduced_precision_and_streams_come_before_eager(world, plan):
    find(world, plan())
    first = [each.split(" ")[0] for each in world.opened]
    assert first[:4] == ["onnx-int8", "onnx-int8", "openvino-int8", "openvino-int8"]
    assert world.opened[1] == name("onnx-int8", 1, "stream")
    assert first.index("openvino-bf16") < first.index("onnx") < first.index("eager-bf16") < first.index("jit-frozen")
    assert world.opened.index(name("eager")) < world.opened.index(name("jit-frozen", 1, "stream"))
    assert world.opened.index(name("jit-frozen")) < world.opened.index(name("eager"))


def test_every_pass_visits_each_candidate_once_in_an_order_that_is_drawn(world, plan):
    find(world, plan())
    looks = world.passes[:LOOK_PASSES]
    assert all(len(each) == 2 * len(CALL_S) for each in looks)
    assert len({frozenset(each) for each in looks}) == 1
    assert len({tuple(each) for each in looks}) == LOOK_PASSES
    assert all(len(set(each)) == len(each) for each in world.passes)


def test_a_process_is_opened_once_and_ends_when_its_candidate_leaves(world, plan):
    find(world, plan())
    assert len(world.opened) == len(set(world.opened))
    field = world.passes[LOOK_PASSES]
    assert name("eager") not in field
    assert {name("onnx", 2, "batch 4"), name("onnx", 1), name("onnx-int8", 1, "batch 4")} <= set(field)
    assert set(world.passes[-1]) < set(field)
    assert len(world.passes[-1]) <= 10


def test_finalists_share_all_passes_that_their_figures_stand_on(world, plan):
    tuned = find(world, plan())
    finalists = [trial for trial in tuned.trials if trial.finalist]
    numbers = {tuple(visit.number for visit in trial.visits) for trial in finalists}
    [shared] = numbers
    assert len(shared) >= ENOUGH
    assert shared[0] == LOOK_PASSES + 1
    assert all(trial.peak_bytes for trial in finalists)
    assert [visit.number for visit in of(tuned, INT8).earlier] == [1, 2, 3]
    eager = of(tuned, Setup("eager", 1, 2))
    assert (len(eager.visits), eager.earlier, eager.finalist) == (LOOK_PASSES, (), False)


@pytest.mark.parametrize("visits", [{1}, {2}, {1, 2}, {4}, {9}])
def test_the_truly_fastest_wins_though_its_visit_is_disturbed(world, plan, visits):
    world.disturbance = lambda arm, visit: 4.0 if arm == name("onnx-int8") and visit in visits else 1.0
    tuned = find(world, plan())
    winner = of(tuned, INT8)
    assert best(tuned)["latency"] == INT8
    both = (*winner.earlier, *winner.visits)
    assert {visit.number for visit in both if visit.disturbances} == visits
    assert winner.disturbed == len(visits - {1, 2, 3})
    assert not choices(tuned.trials)[0].disturbed


def test_a_disturbed_visit_widens_the_interval_and_is_not_dropped(world, plan):
    quiet = of(find(world, plan("onnx-int8", "onnx", threads=(2,), budget_s=40.0)), INT8)
    world.disturbance = lambda arm, visit: 4.0 if visit == 5 else 1.0  # noqa: ARG005
    disturbed = of(find(world, plan("onnx-int8", "onnx", threads=(2,), budget_s=40.0)), INT8)
    assert max(visit.median_s for visit in disturbed.visits) > 3 * quiet.call.high
    assert 1 < len(disturbed.visits) < 9
    assert disturbed.call.high > 3 * quiet.call.high


def test_where_most_passes_are_disturbed_there_is_no_bare_winner(world, plan):
    world.disturbance = lambda arm, visit: 2.0 if visit % 3 else 1.0  # noqa: ARG005
    latency, throughput, memory = choices(find(world, plan()).trials)
    assert latency.disturbed
    assert throughput.disturbed
    assert not memory.disturbed


def test_a_machine_that_slows_down_meets_all_candidates(world, plan):
    world.machine_slowdown = lambda now_s: 1 + now_s / 50
    tuned = find(world, plan())
    assert best(tuned)["latency"] == INT8
    front = {trial.setup.backend for trial in pareto(tuned.trials)}
    # what left while the machine was fast does not beat those that were timed later
    assert "eager" not in front
    assert "onnx-int8" in front


def test_equally_fast_set_ups_are_too_close_to_call(world, plan):
    world.call_s["openvino-int8"] = world.call_s["onnx-int8"]
    choice = choices(find(world, plan()).trials)[0]
    assert {choice.best.setup.backend, *(setup.backend for setup in choice.tied)} == {"onnx-int8", "openvino-int8"}


def test_a_faster_set_up_is_told_from_the_next(world, plan):
    choice = choices(find(world, plan()).trials)[0]
    assert (choice.best.setup, choice.tied) == (INT8, ())


@pytest.mark.parametrize("threads", [(2, 1), (1,), (2,)])
@pytest.mark.parametrize(("price", "wins"), [(0.5, True), (0.9, True), (1.1, False), (2.0, False)])
def test_the_highest_throughput_is_a_streams_where_streams_give_more(world, plan, price, wins, threads):
    world.call_s = dict.fromkeys(CALL_S, 0.05)
    world.stream_price = price * (2 / threads[0]) ** 0.8
    tuned = find(world, plan("onnx", "eager", threads=threads))
    assert (best(tuned)["throughput"].stream_photos > 0) == wins
    assert best(tuned)["latency"].stream_photos == 0
    assert stream("onnx", threads[-1]) in {trial.setup for trial in tuned.trials}


def test_photos_side_by_side_on_one_thread_each_compete_for_throughput(world, plan):
    tuned = find(world, plan("onnx", "openvino"))
    side_by_side = of(tuned, stream("onnx"))
    assert side_by_side.finalist
    assert side_by_side.peak_bytes == (PEAK["onnx"] + 10) * MIB
    assert side_by_side.images_per_second.estimate == pytest.approx(1 / (CALL_S["onnx"] * 0.9), rel=0.01)


@pytest.mark.parametrize("open_s", [0.5, 2.0, 6.0, 15.0])
@pytest.mark.parametrize("slower", [1, 10])
@pytest.mark.parametrize("budget_s", [20.0, 60.0, DEFAULT_BUDGET_S, 600.0])
def test_the_budget_is_kept_however_slow_the_machine(world, plan, open_s, slower, budget_s):
    world.open_s = open_s
    world.call_s = {each: slower * call_s for each, call_s in CALL_S.items()}
    tuned = find(world, plan(budget_s=budget_s))
    assert tuned.elapsed_s <= 1.1 * budget_s
    assert all(0 <= left_s <= budget_s for _, left_s in world.progress_lines)
    assert tuned.opening_s == pytest.approx(sum(open_s for _ in world.opened), rel=0.5, abs=15 * slower)


@pytest.mark.parametrize("open_s", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("slower", [1, 5])
def test_the_default_budget_uses_most_of_its_time_and_leaves_out_none_of_the_promising(world, plan, open_s, slower):
    world.open_s = open_s
    world.call_s = {each: slower * call_s for each, call_s in CALL_S.items()}
    tuned = find(world, plan(budget_s=DEFAULT_BUDGET_S))
    measured = {trial.setup for trial in tuned.trials}
    for backend in ("onnx-int8", "openvino-int8", "openvino-bf16"):
        assert {Setup(backend, 1, 2), stream(backend)} <= measured
    assert best(tuned)["latency"] == INT8
    assert tuned.elapsed_s >= 0.8 * DEFAULT_BUDGET_S
    assert not {"onnx-int8", "openvino-int8", "openvino-bf16"} & set(tuned.left_out)


def test_a_budget_too_small_for_all_names_the_least_promising_once(world, plan):
    tuned = find(world, plan(budget_s=30.0))
    assert best(tuned)["latency"] == INT8
    assert tuned.left_out["eager"] == "the budget ended before its turn; a larger --budget includes it"
    assert not [each for each in tuned.left_out if each.startswith("eager (")]
    assert not {setup_name(trial.setup) for trial in pareto(tuned.trials)} & set(tuned.left_out)
    assert tuned.elapsed_s <= 33


def test_what_no_time_was_left_for_is_named_beside_what_was_measured_of_its_backend(world, plan):
    world.open_s = 5.0
    tuned = find(world, plan("onnx-int8", budget_s=25.0))
    assert best(tuned)["latency"] == INT8
    assert tuned.left_out[name("onnx-int8", 1, "batch 4")] == "too little time was left to measure it"


@pytest.mark.parametrize("budget_s", [60.0, 100.0, DEFAULT_BUDGET_S])
@pytest.mark.parametrize("slower", [1.5, 3, 6])
def test_nobody_leaves_early_though_visits_take_longer_than_was_expected(world, plan, slower, budget_s):
    world.machine_slowdown = lambda _: slower if world.passes else 1
    tuned = find(world, plan(budget_s=budget_s))
    assert all(len((*t.earlier, *t.visits)) >= LOOK_PASSES for t in tuned.trials if not t.finalist)
    assert best(tuned)["latency"] == INT8
    assert tuned.elapsed_s <= 1.1 * budget_s


def test_a_call_that_hangs_at_the_end_of_the_budget_costs_no_result(world, plan):
    world.disturbance = lambda arm, visit: 1000.0 if arm == name("onnx-int8") and world.now_s > 100 else 1.0  # noqa: ARG005
    tuned = find(world, plan(budget_s=120.0))
    assert of(tuned, INT8).finalist
    assert tuned.elapsed_s <= 132


def test_setups_beyond_the_available_memory_are_not_measured(world, plan, monkeypatch):
    def available():
        peaks = [PEAK.get(each.split(" ")[0], 700) for each in world.alive]
        return SimpleNamespace(available=(1300 - sum(peaks)) * MIB)

    monkeypatch.setattr(module.psutil, "virtual_memory", available)
    tuned = find(world, plan("onnx-int8", "onnx", "eager"))
    assert tuned.left_out[name("eager")] == "too little memory was left to measure it"
    assert name("eager") not in world.opened
    assert name("onnx", 1, "stream") in world.opened
    assert best(tuned)["latency"] == INT8


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("killed by SIGKILL (out of memory?): it printed nothing", "killed by SIGKILL"),
        ("midas_bench.errors.UserError: backend eager: needs torch; install it", "backend eager: needs torch; install"),
    ],
)
def test_a_backend_that_does_not_open_is_left_out_with_the_reason(world, plan, said, reason):
    world.opens_not[name("eager")] = said
    tuned = find(world, plan("onnx", "eager"))
    assert tuned.left_out["eager"].startswith(reason)
    assert {trial.setup.backend for trial in tuned.trials} == {"onnx"}
    assert [each for each in world.opened if each.startswith("eager")] == [name("eager")]


def test_a_set_up_that_does_not_open_leaves_the_others_of_its_backend(world, plan):
    world.opens_not[name("onnx", 1, "stream")] = "MemoryError"
    tuned = find(world, plan("onnx", "openvino"))
    assert tuned.left_out[name("onnx", 1, "stream")] == "MemoryError"
    assert best(tuned)["latency"] == Setup("onnx", 1, 2)


@pytest.mark.parametrize("visit", [1, 3, 5])
def test_a_candidate_that_dies_is_left_out_and_the_others_go_on(world, plan, visit):
    world.dies_at_visit[name("onnx-int8")] = visit
    tuned = find(world, plan())
    assert tuned.left_out[name("onnx-int8")] == "killed by SIGKILL (out of memory?)"
    assert INT8 not in {trial.setup for trial in tuned.trials}
    assert best(tuned)["latency"] == Setup("openvino-int8", 1, 2)
    assert len(world.passes) > ENOUGH


@pytest.mark.parametrize("where", ["weights.pt", "cache/artifacts/midas_small-onnx.lock"])
@pytest.mark.parametrize("graph_is_made", [False, True])
def test_what_is_wrong_with_weights_or_cache_ends_it_at_the_first_backend(
    world, plan, tmp_path, monkeypatch, where, graph_is_made
):
    error = UserError(tmp_path / where, "is damaged or cannot be written", "give another")
    monkeypatch.setattr(module.registry, "is_prepared", lambda *_: graph_is_made)
    world.refuses = dict.fromkeys(CALL_S, error)
    world.opens_not = {name("onnx-int8"): f"midas_bench.errors.UserError: {error}"}
    asked = plan()
    weights = Weights("file", "0" * 64, str(tmp_path / "weights.pt"))
    asked = replace(asked, config=replace(asked.config, weights=weights, cache_dir=str(tmp_path / "cache")))
    with pytest.raises(UserError, match="is damaged or cannot be written") as raised:
        tune(asked, world.progress, world.now)
    assert str(raised.value) == str(error)
    assert len(world.opened) == graph_is_made
    assert world.alive == set()


def test_tuning_makes_graphs_first_and_leaves_out_a_backend_whose_graph_fails(world, plan, monkeypatch):
    monkeypatch.setattr(module.registry, "is_prepared", lambda *_: False)
    world.refuses["onnx-int8"] = UserError("the onnx-int8 graph", "could not be made", "check the versions")
    tuned = find(world, plan("onnx-int8", "onnx"))
    assert world.asked == [("graph", "onnx-int8"), ("graph", "onnx")]
    assert tuned.left_out == {"onnx-int8": "could not be made; check the versions"}
    assert tuned.graphs_s == 2 * world.open_s
    assert [text for text, _ in world.progress_lines][:3] == [
        "making the graph for onnx-int8: once, up to a minute",
        "making the graph for onnx: once, up to a minute",
        "onnx (threads 2, batch 1): opening it",
    ]


def test_graphs_that_take_half_the_budget_are_made_for_the_promising_alone(world, plan, monkeypatch):
    monkeypatch.setattr(module.registry, "is_prepared", lambda backend, *_: backend == "eager")
    ask = world.ask

    def slowly(*request):
        world.spend(30)
        return ask(*request)

    monkeypatch.setattr(module, "ask", slowly)
    tuned = find(world, plan(budget_s=DEFAULT_BUDGET_S))
    assert [backend for _, backend in world.asked] == ["onnx-int8", "openvino-int8", "openvino-bf16"]
    assert tuned.left_out["onnx"].startswith("its graph is not made yet")
    assert best(tuned)["latency"] == INT8
    assert tuned.elapsed_s <= 1.1 * DEFAULT_BUDGET_S


def test_a_graph_that_is_not_ready_in_time_is_left_out(world, plan, monkeypatch):
    monkeypatch.setattr(module.registry, "is_prepared", lambda backend, *_: backend == "onnx")
    world.refuses["onnx-int8"] = ProcessDiedError("no answer within 85 s")
    tuned = find(world, plan("onnx-int8", "onnx"))
    assert tuned.left_out == {"onnx-int8": "its graph could not be made: no answer within 85 s"}


@pytest.mark.parametrize("visit", [1, 10, 40, 70])
def test_ctrl_c_ends_with_what_is_known_so_far(world, plan, visit):
    world.interrupt_at_visit = visit
    tuned = find(world, plan())
    assert tuned.interrupted
    assert sum(len(t.visits) + len(t.earlier) for t in tuned.trials) == visit - 1
    assert bool(choices(tuned.trials)) == (visit > 1)
    reached = {trial.setup.backend for trial in tuned.trials}
    assert {backend for backend in CALL_S if tuned.left_out.get(backend) == "interrupted before its turn"} == {
        backend for backend in CALL_S if backend not in reached
    }
    if visit > 18:
        assert best(tuned)["latency"] == INT8


def test_a_search_to_its_end_is_not_interrupted(world, plan):
    assert not find(world, plan()).interrupted


def test_the_depth_of_reduced_precision_is_compared_with_that_of_an_exact_backend_in_the_race(world, plan):
    tuned = find(world, plan())
    reduced = [trial for trial in tuned.trials if not trial.exact]
    assert {trial.closeness.reference for trial in reduced} == {"eager"}
    assert all(trial.closeness is None for trial in tuned.trials if trial.exact)
    int8, bf16 = of(tuned, INT8).closeness, of(tuned, Setup("openvino-bf16", 1, 2)).closeness
    assert bf16.rank_correlation == 1
    assert 0.99 < int8.rank_correlation < 1
    assert (int8.max_relative_error, int8.problem) == (pytest.approx(1 / 63), None)


def test_official_weights_have_reduced_precision_judged(world, plan, monkeypatch):
    monkeypatch.setattr("midas_bench.depth.backends.registry.MIN_RANK_CORRELATION", 0.99999)
    asked = plan("onnx-int8", "onnx")
    asked = replace(asked, config=replace(asked.config, weights=Weights("official", "0" * 64, None)))
    assert "less than 0.99999" in of(find(world, asked), INT8).closeness.problem


def test_without_an_exact_backend_in_the_race_the_reference_is_computed(world, plan, monkeypatch):
    depth = np.arange(64, dtype=np.float32).reshape(1, 8, 8)
    monkeypatch.setattr(tune_depth.Reference, "depth", lambda *_: depth)
    assert of(find(world, plan("onnx-int8")), INT8).closeness.reference == "eager"


@pytest.mark.parametrize("budget_s", [20.0, 300.0])
def test_where_no_exact_depth_can_be_had_none_is_compared(world, plan, monkeypatch, budget_s):
    asked = []

    def lacks_torch(*_):
        asked.append(budget_s)
        raise UserError("backend eager", "needs torch", "install it")

    monkeypatch.setattr(tune_depth.Reference, "depth", lacks_torch)
    tuned = find(world, plan("onnx-int8", budget_s=budget_s))
    # with a small budget there is no time for it
    assert asked == [each for each in (budget_s,) if each > 20]
    assert of(tuned, INT8).closeness is None


def test_where_the_system_keeps_no_peak_the_finalists_memory_is_measured_apart(world, plan):
    world.keeps_peak = False
    tuned = find(world, plan("onnx-int8", "onnx", "eager"))
    assert set(world.asked) == {("memory", "onnx-int8"), ("memory", "onnx")}
    assert all((trial.peak_bytes is not None) == trial.finalist for trial in tuned.trials)


def test_tuning_without_an_opening_backend_has_no_trials(world, plan):
    world.opens_not[name("onnx")] = "no room"
    tuned = find(world, plan("onnx"))
    assert (tuned.trials, tuned.left_out, tuned.passes) == ((), {"onnx": "no room"}, 0)


@pytest.fixture
def look(world, plan):
    def looked(*backends, budget_s=60.0):
        given = plan(*backends)
        config = replace(given.config, threads=2)
        photo = str(given.photos[0].path)
        found = first_look(config, given.backends, photo, world.progress, print, budget_s, world.now)
        assert world.alive == set()
        assert not {name for name in found.kept if any(f"backend {name}:" in line for line in found.left_out)}
        return found

    return looked


def test_a_first_look_keeps_the_fastest_exact_backend_and_the_fastest_two_of_the_others(look):
    found = look()
    assert found.kept == ("onnx-int8", "openvino-int8", "onnx")
    assert len(found.left_out) == len(CALL_S) - 3
    [line] = [line for line in found.left_out if "eager:" in line]
    assert line == "backend eager: 100 ms per photo in a first look, where onnx-int8 took 20.1 ms"


def test_a_first_look_takes_turns_and_is_quick(world, look):
    look()
    assert [sorted(visited) for visited in world.passes] == [sorted(world.opened)] * LOOK_PASSES
    assert world.now_s <= 60


def test_a_first_look_at_reduced_precision_alone_or_at_one_backend_keeps_them(look):
    assert look("onnx-int8", "openvino-bf16", "eager-bf16", "openvino-int8").kept == (
        "onnx-int8", "openvino-int8", "openvino-bf16",
    )  # fmt: skip
    assert look("jit").kept == ("jit",)


def test_a_first_look_says_what_could_not_be_opened_died_or_had_no_time(world, look):
    world.opens_not["onnx-int8 (threads 2, batch 1)"] = "midas_bench.errors.UserError: it cannot be had"
    world.dies_at_visit["openvino-int8 (threads 2, batch 1)"] = 2
    found = look(budget_s=20.0)
    reasons = dict(line.removeprefix("backend ").split(": ", 1) for line in found.left_out)
    assert reasons["onnx-int8"] == "it cannot be had"
    assert reasons["openvino-int8"] == "killed by SIGKILL (out of memory?)"
    assert reasons["eager"] == "the first look had no time for it"
    assert found.kept[0] == "openvino-bf16"


def test_a_first_look_at_what_cannot_be_timed_is_one_line(world, look):
    world.opens_not |= {"onnx (threads 2, batch 1)": "no", "jit (threads 2, batch 1)": "neither"}
    with pytest.raises(UserError, match=r"--backend fast: no backend could be timed .onnx: no; jit: neither.; name"):
        look("onnx", "jit")
