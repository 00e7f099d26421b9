"""The search with workers and children that are scripted: what a call takes, and what opening does."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.weights import Weights
from midas_bench.errors import UserError
from midas_bench.measure import tune as module
from midas_bench.measure.arms import WorkerDiedError
from midas_bench.measure.tune import ROUNDS, Plan, tune
from midas_bench.processes import ProcessDiedError
from midas_bench.results.ranking import Setup
from midas_bench.results.tuning import choices

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
        self.told = []
        self.asked = []
        self.dies = {}
        self.refuses = {}
        self.call_s = dict(CALL_S)

    def now(self):
        return self.now_s

    def step(self, text, left_s):
        self.told.append((text, left_s))

    def ask(self, name, request, timeout_s):
        assert (name, request["task"]) == ("midas_bench.measure.child", "memory")
        config = PipelineConfig.from_json(request["config"])
        self.asked.append((config.backend, config.threads, len(request["photos"])))
        self.now_s += self.open_s
        if config.backend in self.refuses:
            raise self.refuses[config.backend]
        assert timeout_s > 0
        return {"peak_rss_bytes": PEAK.get(config.backend, 700) * MIB + len(request["photos"])}

    def interleaved(self, arms, groups, rounds, _shuffle, core):
        assert core is None
        [probes] = groups
        self.rounds.append({(probe.arm, probe.pipeline) for probe in probes})
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
                seconds[probe] = taken * (1 + 0.001 * ((number * 7) % 5))
                self.now_s += taken + 0.1
            yield seconds


@pytest.fixture
def world(monkeypatch):
    made = World()
    monkeypatch.setattr(module, "ask", made.ask)
    monkeypatch.setattr(module, "interleaved", made.interleaved)
    monkeypatch.setattr(module.registry, "is_prepared", lambda *_: True)
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: SimpleNamespace(available=64 << 30))
    return made


@pytest.fixture
def plan(photos, tmp_path):
    def made(*backends, threads=(2, 1), budget_s=300.0):
        config = resolve(PipelineConfig("onnx", 1, "seeded", cache_dir=str(tmp_path)))
        return Plan(config, backends or tuple(CALL_S), threads, [photos["street"]], budget_s)

    return made


def find(world, plan):
    return tune(plan, world.step, world.now)


def best(tuned):
    return {choice.question: choice.best.setup for choice in choices(tuned.trials)}


def test_it_finds_the_fastest_and_the_smallest(world, plan):
    tuned = find(world, plan())
    assert best(tuned)["latency"] == Setup("onnx-int8", 1, 2)
    assert best(tuned)["throughput"].backend == "onnx-int8"
    assert best(tuned)["memory"] == Setup("onnx-int8", 1, 2)
    assert choices(tuned.trials)[0].exact.setup == Setup("onnx", 1, 2)
    assert tuned.left_out == {}
    assert tuned.elapsed_s == world.now_s <= 300


def test_hopeless_ones_do_not_come_to_the_next_round(world, plan):
    find(world, plan())
    first, second, third = world.rounds
    assert first == {(f"{name}, threads 2", "1") for name in CALL_S}
    stayed = {"onnx", "openvino", "onnx-int8", "openvino-int8"}
    assert second == {(f"{name}, threads {t}", b) for name in stayed for t in (1, 2) for b in ("1", "4")}
    assert third < second
    assert len(third) <= 10


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
    assert all(0 <= left_s <= 170 for _, left_s in world.told)


def test_what_there_was_no_time_for_is_said(world, plan):
    world.open_s = 30.0
    tuned = find(world, plan(budget_s=100.0))
    assert tuned.left_out["eager-bf16"] == "the time was over before its turn; a larger --budget tries it"
    assert len(world.asked) == 2


def test_what_there_is_no_memory_for_does_not_take_turns(world, plan, monkeypatch):
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: SimpleNamespace(available=1100 * MIB))
    tuned = find(world, plan("onnx", "onnx-int8", "eager"))
    assert world.rounds[0] == {("onnx, threads 2", "1"), ("onnx-int8, threads 2", "1")}
    assert tuned.left_out["eager, threads 2, batch 1"] == "no memory left for it in a round"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ProcessDiedError("killed by SIGKILL (out of memory?): it said nothing"), "killed by SIGKILL"),
        (UserError("backend eager", "needs torch", "install it"), "backend eager: needs torch; install it"),
    ],
)
def test_a_backend_that_does_not_open_is_left_out_with_the_reason(world, plan, error, said):
    world.refuses["eager"] = error
    tuned = find(world, plan("onnx", "eager"))
    assert tuned.left_out["eager"].startswith(said)
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


def test_a_graph_is_made_before_and_a_failure_is_told(world, plan, monkeypatch):
    made = []

    def prepare(name, *_):
        made.append(name)
        if name == "onnx-int8":
            raise UserError("the onnx-int8 graph", "could not be made", "check the versions")

    monkeypatch.setattr(module.registry, "is_prepared", lambda *_: False)
    monkeypatch.setattr(module.registry, "prepare", prepare)
    tuned = find(world, plan("onnx", "onnx-int8"))
    assert made == ["onnx", "onnx-int8"]
    assert tuned.left_out == {"onnx-int8": "could not be made; check the versions"}
    assert [text for text, _ in world.told][:2] == [
        "making the graph for onnx: once, up to half a minute",
        "onnx: opening it, and its memory",
    ]


def test_where_nothing_opens_there_is_nothing_to_choose(world, plan):
    world.refuses["onnx"] = ProcessDiedError("no room")
    tuned = find(world, plan("onnx"))
    assert (tuned.trials, tuned.left_out) == ((), {"onnx": "no room"})
    assert world.rounds == []
