"""The search with workers and children that are scripted: what a call takes, and what opening does."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from midas_bench.depth.calls import long_stream_photos
from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError
from midas_bench.measure import tune as module
from midas_bench.measure.tune import ROUNDS, TunePlan, tune
from midas_bench.measure.worker_client import WorkerDiedError
from midas_bench.processes import ProcessDiedError
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning_results import choices

CALL_S = {"onnx": 0.05, "openvino": 0.06, "eager": 0.10, "jit": 0.09, "jit-frozen": 0.08, "onnx-int8": 0.02,
          "openvino-int8": 0.021, "openvino-bf16": 0.03, "eager-bf16": 0.04}  # fmt: skip
PEAK = {"onnx": 300, "onnx-int8": 200}
MIB = 1 << 20


class World:
    """A machine whose clock moves only by what is asked of it."""

    def __init__(self):
        self.now_s = 0.0
        self.open_s = 2.0
        self.rounds = []
        self.progress_lines = []
        self.asked = []
        self.dies = {}
        self.refuses = {}
        self.call_s = dict(CALL_S)
        # seconds per photo of a stream on one thread each, over those of one photo on two threads
        self.stream_price = 0.9
        self.streams = []
        self.streaming = []

    def now(self):
        return self.now_s

    def progress(self, text, left_s):
        self.progress_lines.append((text, left_s))

    def ask(self, name, request, timeout_s):
        assert (name, request["task"]) == ("midas_bench.measure.isolated_tasks", "memory")
        config = PipelineConfig.from_json(request["config"])
        self.asked.append((config.backend, config.threads, len(request["photos"])))
        self.streams += [(config.backend, config.threads)] if request["stream"] else []
        self.now_s += self.open_s
        if config.backend in self.refuses:
            raise self.refuses[config.backend]
        assert timeout_s > 0
        more_bytes = 10 * MIB if request["stream"] else len(request["photos"])
        return {"peak_rss_bytes": PEAK.get(config.backend, 700) * MIB + more_bytes}

    def interleaved(self, arms, groups, rounds, _shuffle, core):
        assert core is None
        [probes] = groups
        self.rounds.append({(probe.arm, probe.pipeline) for probe in probes if probe.call == "pipeline"})
        self.streaming.append({probe.arm for probe in probes if probe.call == "long_stream"})
        assert len(self.rounds[-1]) + len(self.streaming[-1]) == len(probes)
        assert {probe.arm for probe in probes} == {arm.name for arm in arms}
        configs = {(a.name, p): how["config"] for a in arms for p, how in a.pipelines.items()}
        for arm in arms:
            self.now_s += self.open_s
            if arm.name in self.dies:
                raise WorkerDiedError(arm.name, self.dies[arm.name])
        for number in range(rounds):
            seconds = {}
            for probe in probes:
                config = configs[probe.arm, probe.pipeline]
                taken = self.call_s[config["backend"]] * int(probe.pipeline) * (2 / config["threads"]) ** 0.8
                if probe.call == "long_stream":
                    photos = long_stream_photos(config["threads"])
                    taken = self.call_s[config["backend"]] * photos * self.stream_price
                seconds[probe] = taken * (1 + 0.001 * ((number * 7) % 5))
                self.now_s += taken + 0.1
            yield seconds


@pytest.fixture
def world(monkeypatch):
    new_world = World()
    monkeypatch.setattr(module, "ask", new_world.ask)
    monkeypatch.setattr(module, "interleaved", new_world.interleaved)
    monkeypatch.setattr(module.registry, "is_prepared", lambda *_: True)
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: SimpleNamespace(available=64 << 30))
    return new_world


@pytest.fixture
def plan(photos, tmp_path):
    def make_plan(*backends, threads=(2, 1), budget_s=300.0):
        config = resolve(PipelineConfig("onnx", 1, "seeded", cache_dir=str(tmp_path)))
        return TunePlan(config, backends or tuple(CALL_S), threads, [photos["street"]], budget_s)

    return make_plan


def find(world, plan):
    return tune(plan, world.progress, world.now)


def best(tuned):
    return {choice.question: choice.best.setup for choice in choices(tuned.trials)}


def test_tuning_finds_the_fastest_and_the_smallest_setup(world, plan):
    tuned = find(world, plan())
    assert best(tuned)["latency"] == Setup("onnx-int8", 1, 2)
    assert best(tuned)["throughput"].backend == "onnx-int8"
    assert best(tuned)["memory"] == Setup("onnx-int8", 1, 2)
    assert choices(tuned.trials)[0].exact.setup == Setup("onnx", 1, 2)
    assert tuned.left_out == {}
    assert tuned.elapsed_s == world.now_s <= 300


def test_slow_backends_do_not_reach_the_second_round(world, plan):
    find(world, plan())
    first, second, third = world.rounds
    assert first == {(f"{name}, threads 2", "1") for name in CALL_S}
    stayed = {"onnx", "openvino", "onnx-int8", "openvino-int8"}
    assert second == {(f"{name}, threads {t}", b) for name in stayed for t in (1, 2) for b in ("1", "4")}
    assert third < second
    assert len(third) <= 10


@pytest.mark.parametrize("threads", [(2, 1), (1,), (2,)])
@pytest.mark.parametrize(("price", "wins"), [(0.5, True), (0.9, True), (1.1, False), (2.0, False)])
def test_the_highest_throughput_is_a_streams_where_streams_give_more(world, plan, price, wins, threads):
    world.call_s = dict.fromkeys(CALL_S, 0.05)
    world.stream_price = price * (2 / threads[0]) ** 0.8
    tuned = find(world, plan("onnx", "eager", threads=threads))
    fewest = threads[-1]
    stream = Setup("onnx", 1, fewest, stream_photos=long_stream_photos(fewest))
    assert (best(tuned)["throughput"].stream_photos > 0) == wins
    assert best(tuned)["latency"].stream_photos == 0
    assert stream in {trial.setup for trial in tuned.trials}


def test_streams_take_turns_with_the_batches_and_have_their_memory_measured(world, plan):
    tuned = find(world, plan("onnx", "openvino"))
    assert world.streaming[0] == set()
    assert world.streaming[1] == {"onnx, threads 1", "openvino, threads 1"}
    assert world.streaming[2] <= world.streaming[1]
    [stream] = [t for t in tuned.trials if t.finalist and t.setup.stream_photos and t.setup.backend == "onnx"]
    assert len(stream.calls_s) == ROUNDS[2]
    assert ("onnx", 1) in world.streams
    assert stream.peak_bytes == (PEAK["onnx"] + 10) * MIB
    assert stream.images_per_second.estimate == pytest.approx(1 / (CALL_S["onnx"] * world.stream_price), rel=0.01)


@pytest.mark.parametrize(("open_s", "slower", "budget_s"), [(6.0, 1, 100.0), (3.0, 1, 60.0), (2.0, 10, 300.0)])
def test_the_best_stream_is_kept_for_the_last_round_where_time_is_short(world, plan, open_s, slower, budget_s):
    world.open_s = open_s
    world.call_s = {name: slower * call_s for name, call_s in CALL_S.items()}
    tuned = find(world, plan(budget_s=budget_s))
    assert tuned.left_out
    assert best(tuned)["throughput"].stream_photos


def test_a_stream_that_there_is_no_time_for_is_left_out_by_name(world, plan):
    world.call_s = {name: 10 * call_s for name, call_s in CALL_S.items()}
    tuned = find(world, plan(budget_s=120.0))
    named = [name for name in tuned.left_out if name.endswith("threads 1, stream")]
    assert named
    assert all("was left to measure it" in tuned.left_out[name] for name in named)


def test_rounds_grow_and_finalists_have_the_calls_of_the_last(world, plan):
    tuned = find(world, plan())
    finalists = [trial for trial in tuned.trials if trial.finalist]
    assert {len(trial.calls_s) for trial in finalists} == {ROUNDS[2]}
    assert all(trial.peak_bytes for trial in finalists)
    eager = next(trial for trial in tuned.trials if trial.setup.backend == "eager")
    assert (len(eager.calls_s), eager.finalist) == (ROUNDS[0], False)


@pytest.mark.parametrize("open_s", [2.0, 6.0, 15.0])
@pytest.mark.parametrize("slower", [1, 10])
def test_the_budget_is_kept_however_slow_the_machine(world, plan, open_s, slower):
    world.open_s = open_s
    world.call_s = {name: slower * call_s for name, call_s in CALL_S.items()}
    tuned = find(world, plan(budget_s=170.0))
    assert tuned.elapsed_s <= 180
    assert best(tuned)["memory"]
    assert all(0 <= left_s <= 170 for _, left_s in world.progress_lines)


def test_backends_beyond_the_budget_are_left_out_with_the_reason(world, plan):
    world.open_s = 30.0
    tuned = find(world, plan(budget_s=100.0))
    assert tuned.left_out["eager-bf16"] == "the budget ended before its turn; a larger --budget includes it"
    assert len(world.asked) == 2


def test_setups_beyond_the_available_memory_are_not_measured(world, plan, monkeypatch):
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: SimpleNamespace(available=1100 * MIB))
    tuned = find(world, plan("onnx", "onnx-int8", "eager"))
    assert world.rounds[0] == {("onnx, threads 2", "1"), ("onnx-int8, threads 2", "1")}
    assert tuned.left_out["eager, threads 2, batch 1"] == "too little memory was left to measure it"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ProcessDiedError("killed by SIGKILL (out of memory?): it printed nothing"), "killed by SIGKILL"),
        (UserError("backend eager", "needs torch", "install it"), "backend eager: needs torch; install it"),
    ],
)
def test_a_backend_that_does_not_open_is_left_out_with_the_reason(world, plan, error, reason):
    world.refuses["eager"] = error
    tuned = find(world, plan("onnx", "eager"))
    assert tuned.left_out["eager"].startswith(reason)
    assert {trial.setup.backend for trial in tuned.trials} == {"onnx"}


@pytest.mark.parametrize("graph_is_made", [False, True])
@pytest.mark.parametrize("where", ["weights.pt", "cache/artifacts/midas_small-onnx.lock"])
def test_what_is_wrong_with_weights_or_cache_ends_it_at_the_first_backend(
    world, plan, tmp_path, monkeypatch, where, graph_is_made
):
    error = UserError(tmp_path / where, "is damaged or cannot be written", "give another")

    def prepare(*_):
        raise error

    monkeypatch.setattr(module.registry, "is_prepared", lambda *_: graph_is_made)
    monkeypatch.setattr(module.registry, "prepare", prepare)
    world.refuses = dict.fromkeys(CALL_S, error)
    asked = plan()
    weights = Weights("file", "0" * 64, str(tmp_path / "weights.pt"))
    asked = replace(asked, config=replace(asked.config, weights=weights, cache_dir=str(tmp_path / "cache")))
    with pytest.raises(UserError, match="is damaged or cannot be written"):
        find(world, asked)
    assert len(world.asked) == graph_is_made


def test_a_worker_that_dies_is_left_out_and_the_others_take_turns_again(world, plan):
    world.dies["onnx, threads 1"] = "MemoryError"
    tuned = find(world, plan("onnx", "openvino"))
    assert tuned.left_out["onnx, threads 1"] == "MemoryError"
    assert best(tuned)["latency"] == Setup("onnx", 1, 2)
    assert len(world.rounds) == 4  # one of three began anew


def test_tuning_makes_graphs_first_and_leaves_out_a_backend_whose_graph_fails(world, plan, monkeypatch):
    graphs_made = []

    def prepare(name, *_):
        graphs_made.append(name)
        if name == "onnx-int8":
            raise UserError("the onnx-int8 graph", "could not be made", "check the versions")

    monkeypatch.setattr(module.registry, "is_prepared", lambda *_: False)
    monkeypatch.setattr(module.registry, "prepare", prepare)
    tuned = find(world, plan("onnx", "onnx-int8"))
    assert graphs_made == ["onnx", "onnx-int8"]
    assert tuned.left_out == {"onnx-int8": "could not be made; check the versions"}
    assert [text for text, _ in world.progress_lines][:2] == [
        "making the graph for onnx: once, up to half a minute",
        "onnx: opening it and measuring its memory",
    ]


def test_tuning_without_an_opening_backend_has_no_trials(world, plan):
    world.refuses["onnx"] = ProcessDiedError("no room")
    tuned = find(world, plan("onnx"))
    assert (tuned.trials, tuned.left_out) == ((), {"onnx": "no room"})
    assert world.rounds == []
