"""Timing of students beside their teacher, with workers, a clock and a noise probe that are scripted."""

from contextlib import ExitStack
from dataclasses import replace

import pytest

from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.errors import UserError
from midas_bench.measure import students as module
from midas_bench.measure import tune_race
from midas_bench.measure.noise_probe import Best, Reading
from midas_bench.measure.students import NO_TIME, file_bytes, timed
from midas_bench.measure.tune_budget import Budget
from midas_bench.measure.tune_candidates import Candidate
from midas_bench.measure.worker_client import WorkerDiedError

OPEN_S, CALL_S, PEAK = 2.0, {"fast": 0.1, "slow": 0.3}, 7 << 20


class FakeWorker:
    def __init__(self, clock, name):
        self.clock, self.name, self.visits = clock, name, 0

    def call(self, _probe, timeout_s):
        assert timeout_s > 0
        self.clock.calls.append(self.name)
        self.clock.now_s += CALL_S[self.name]
        if self.clock.calls.count(self.name) > self.clock.dies_after.get(self.name, 10**9):
            raise WorkerDiedError(self.name, "killed by SIGKILL")
        return CALL_S[self.name]

    def peak_bytes(self):
        return PEAK if self.clock.keeps_peak else None


class Clock:
    now_s, keeps_peak = 0.0, True

    def __init__(self):
        self.calls, self.refused, self.dies_after, self.alive, self.said = [], {}, {}, set(), []

    def budget(self, total_s):
        return Budget(total_s, lambda text, _: self.said.append(text), lambda: self.now_s)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()

    class FakeProbe:
        best = Best(0.005, 0.01)

        def read(self, idle_s):
            clock.now_s += idle_s
            return Reading(0.005, 0.01, clock.now_s, clock.now_s, clock.now_s, 0.0)

    def opened(setup, config, photos, time_out, _probe_s):
        assert photos
        assert time_out() > 0
        name = config.weights.path
        clock.now_s += OPEN_S
        if name in clock.refused:
            raise WorkerDiedError(name, clock.refused[name])
        worker, stack = FakeWorker(clock, name), ExitStack()
        clock.alive.add(name)
        stack.callback(clock.alive.discard, name)
        return Candidate(setup, worker, stack, CALL_S[name], 5 * CALL_S[name], worker.peak_bytes())

    monkeypatch.setattr(module, "opened", opened)
    monkeypatch.setattr(tune_race, "NoiseProbe", FakeProbe)
    return clock


@pytest.fixture
def configs(tmp_path):
    config = resolve(PipelineConfig("onnx", 1, "seeded", cache_dir=str(tmp_path)))
    return {name: replace(config, weights=replace(config.weights, path=name)) for name in CALL_S}


def test_models_on_one_backend_take_turns_and_keep_their_own_times(clock, configs, photos):
    trials, left_out = timed(configs, photos["pet"], clock.budget(60))
    assert left_out == {}
    assert clock.alive == set()
    assert {name: trial.call.estimate for name, trial in trials.items()} == CALL_S
    assert {trial.peak_bytes for trial in trials.values()} == {PEAK}
    passes = {len(trial.visits) for trial in trials.values()}
    assert min(passes) > 5
    # a visit of one is followed by one of the other, but for the end of a pass and the start of the next
    turns = [name for name, before in zip(clock.calls, ["", *clock.calls], strict=False) if name != before]
    assert len(turns) > min(passes)
    assert clock.now_s <= 60


def test_one_that_cannot_be_opened_is_left_out_with_its_own_words(clock, configs, photos):
    clock.refused["fast"] = "midas_bench.errors.UserError: own.onnx: cannot be run; export it again"
    trials, left_out = timed(configs, photos["pet"], clock.budget(60))
    assert set(trials) == {"slow"}
    assert left_out == {"fast": "own.onnx: cannot be run; export it again"}


def test_one_that_dies_in_its_turn_is_left_out_and_the_other_goes_on(clock, configs, photos):
    clock.dies_after["fast"] = 3
    trials, left_out = timed(configs, photos["pet"], clock.budget(60))
    assert (set(trials), left_out) == ({"slow"}, {"fast": "killed by SIGKILL"})
    assert clock.alive == set()


def test_what_there_is_no_time_for_is_said(clock, configs, photos):
    trials, left_out = timed(configs, photos["pet"], clock.budget(7))
    assert (set(trials), left_out) == ({"fast"}, {"slow": NO_TIME})


def test_where_the_system_keeps_no_peak_a_new_process_tells_it(clock, configs, photos, monkeypatch):
    clock.keeps_peak = False
    monkeypatch.setattr(module, "peak_of_new_process", lambda config, *_: len(config.weights.path))
    trials, _ = timed(configs, photos["pet"], clock.budget(60))
    assert {trial.peak_bytes for trial in trials.values()} == {4}


def test_weights_without_a_file_have_no_size(configs, tmp_path):
    config = replace(configs["fast"], backend="eager")
    assert file_bytes(replace(config, weights=replace(config.weights, path=None))) is None
    checkpoint = tmp_path / "own.pt"
    checkpoint.write_bytes(b"12345")
    assert file_bytes(replace(config, weights=replace(config.weights, path=str(checkpoint)))) == 5
    with pytest.raises(UserError, match="cannot run an ONNX model"):
        file_bytes(replace(config, weights=replace(config.weights, source="model")))
