"""Worker processes with a profiler on, that drive calls of a tree that is not this one."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from midas_bench.errors import UserError
from midas_bench.measure import worker_client
from midas_bench.processes import ProcessDiedError
from midas_bench.profile import profiled
from midas_bench.profile.profiled import profile, profile_in_turns

FIRST, SECOND = 2 * 4 * 4 * 4 * (3 * 3 * 3), 2 * 4 * 4 * 4 * 4
"""Operations of the stand-in's convolutions: outputs times the products of each, times two."""


def needs(library):
    return pytest.mark.skipif(importlib.util.find_spec(library) is None, reason=f"needs {library}")


def test_onnx_runtimes_operators_have_tensors_shapes_and_operations(spec):
    made = profile(spec("onnx_runtime"), "one", "inference", rounds=3)
    convolutions = [operator for operator in made.operators if operator.kind.endswith("Conv")]
    # whatever is fused into the first one, it makes either of these
    assert [operator.output in outputs for operator, outputs in zip(convolutions, (("c1", "r1"), ("y",)), strict=True)]
    assert [operator.flop for operator in convolutions] == [FIRST, SECOND]
    assert {(operator.precision, operator.calls) for operator in convolutions} == {("f32", 1)}
    assert all(len(operator.rounds_s) == 3 for operator in made.operators)
    assert convolutions[0].inputs[0] == (1, 3, 8, 8)


def test_an_operator_that_runs_twice_in_a_call_counts_twice(spec):
    made = profile(spec("onnx_runtime", times=2), "one", "inference", rounds=2)
    convolutions = [operator for operator in made.operators if operator.kind.endswith("Conv")]
    assert [(operator.calls, operator.flop) for operator in convolutions] == [(2, 2 * FIRST), (2, 2 * SECOND)]


@needs("openvino")
def test_openvinos_operators_have_operations(spec):
    made = profile(spec("openvino"), "one", "inference", rounds=2)
    convolutions = [operator for operator in made.operators if "Convolution" in operator.kind]
    assert [(operator.flop, operator.precision) for operator in convolutions] == [(FIRST, "f32"), (SECOND, "f32")]
    assert all(len(operator.rounds_s) == 2 for operator in made.operators)


@needs("torch")
def test_torchs_outermost_operators_are_found(spec):
    made = profile(spec("torch"), "one", "inference", rounds=2)
    assert [operator.kind for operator in made.operators] == ["conv2d", "relu", "conv2d"]
    assert [operator.flop for operator in made.operators] == [FIRST, None, SECOND]
    assert all(min(operator.rounds_s) > 0 for operator in made.operators)


def test_a_users_own_calls_are_profiled_too(spec, tmp_path):
    module = tmp_path / "own/own_calls.py"
    module.parent.mkdir()
    model = str(tmp_path / "small.onnx")
    how = f"{{'runtime': 'onnx_runtime', 'model': {model!r}}}"
    fake = (Path(__file__).parent / "fake_calls.py").read_text()
    module.write_text(f"{fake}\n\ndef own():\n    return calls([], **{how})\n")
    own = replace(spec("nothing"), pipelines={"own": {}}, calls="own_calls:own", tree=None)
    own = replace(own, environment={"PYTHONPATH": str(module.parent)})
    made = profile(own, "own", "inference", rounds=2)
    assert [operator.flop for operator in made.operators if operator.kind.endswith("Conv")] == [FIRST, SECOND]
    assert made.photos == 1


def test_operators_fit_into_the_call_they_were_in(spec):
    made = profile(spec("onnx_runtime", times=2), "one", "inference", rounds=3)
    assert len(made.events) == len(made.calls_s) == 3
    for call_s, events in zip(made.calls_s, made.events, strict=True):
        assert all(0 <= event.start_s < call_s for event in events)
        assert sum(event.took_s for event in events) < call_s
    assert 0 < made.outside_s < made.call_s


def test_calls_without_a_runtime_have_no_operators(spec):
    [made] = profile_in_turns([spec("nothing", photos=[__file__] * 2)], "one", "pipeline", 2, plain=True)
    assert (made.operators, len(made.calls_s), len(made.plain_s), made.photos) == ((), 2, 2, 2)


def test_rounds_of_several_workers_are_kept_apart(spec):
    counted = []
    once, twice = spec("onnx_runtime"), replace(spec("onnx_runtime", times=2), name="b")
    made = profile_in_turns([once, twice], "one", "inference", 2, progress=counted.append)
    assert [one.operators[0].calls for one in made] == [1, 2]
    assert counted == [1, 2]


def test_what_a_user_can_change_is_the_users_error(spec):
    with pytest.raises(UserError, match=r"^own\.onnx: is no network; export it again$"):
        profile(spec("nothing", fails="refuse"), "one", "inference", 1)


def test_a_call_that_dies_ends_with_its_last_words(spec):
    with pytest.raises(ProcessDiedError, match=r"^arm a: MemoryError: no room for a tensor$"):
        profile(spec("nothing", fails="die"), "one", "inference", 1)


@pytest.mark.parametrize("module", [worker_client, profiled])
def test_a_call_that_hangs_is_ended_with_its_process(spec, monkeypatch, module):
    monkeypatch.setattr(module, "CALL_TIMEOUT_S", 2.0)
    if module is profiled:
        # the warm-up passes, and the first round hangs
        monkeypatch.setattr(profiled._Arm, "warm_up", lambda _: None)
        monkeypatch.setattr(profiled.ProfilingWorker, "call", lambda *_: 0.0)
    with pytest.raises(ProcessDiedError, match="no answer within 2 s"):
        profile(spec("nothing", fails="hang"), "one", "inference", 1)
    assert [child for child in psutil.Process().children() if "worker.py" in " ".join(child.cmdline())] == []


def test_a_tree_that_is_not_the_one_that_was_asked_for_is_refused(spec, tmp_path):
    with pytest.raises(ProcessDiedError, match="was imported, which is not in"):
        profile(replace(spec("nothing"), tree=str(tmp_path / "elsewhere")), "one", "inference", 1)


def test_nothing_is_left_of_what_the_runtimes_wrote(spec, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(profiled.tempfile, "tempdir", str(folder))
    profile(spec("onnx_runtime"), "one", "inference", 1)
    assert list(folder.iterdir()) == []
