"""From the gate's flags to what each arm runs."""

import pytest

from midas_bench.cli import main as command
from midas_bench.cli.gate_flags import flags_of
from midas_bench.cli.gate_question import arm_requests, question, saved_question, thresholds
from midas_bench.errors import UserError
from midas_bench.gate.environments import AS_INSTALLED
from midas_bench.gate.question import ArmRequest
from midas_bench.options import MODEL_FLAGS


def parsed(*words):
    return command._parse(["gate", "run", *words])


def test_a_flag_that_is_given_once_counts_for_all_heads():
    base, heads = arm_requests(parsed("--base", "main", "--head", "a", "--head", "b", "--head-model", "m.onnx"))
    assert base == ArmRequest("main")
    assert heads == (ArmRequest("a", model="m.onnx"), ArmRequest("b", model="m.onnx"))


def test_one_head_stands_for_the_working_tree():
    assert arm_requests(parsed("--base", "main")) == (ArmRequest("main"), (ArmRequest(),))


def test_what_one_side_names_the_other_has_as_it_is_here():
    base, [head] = arm_requests(parsed("--head-env", "onnxruntime==1.26.*"))
    assert (base.env, head.env) == (AS_INSTALLED, "onnxruntime==1.26.*")
    base, heads = arm_requests(parsed("--head-backend", "openvino", "--head-backend", "jit"))
    assert [request.backend for request in (base, *heads)] == ["onnx", "openvino", "jit"]


def test_backends_are_compared_within_two_per_cent_and_revisions_within_five():
    assert question(parsed("--head-backend", "openvino")).thresholds.time == 0.02
    assert question(parsed("--base", "main")).thresholds.time == 0.05
    assert question(parsed("--head-backend", "openvino", "--threshold", "4%")).thresholds.time == 0.04


def test_start_up_may_grow_by_ten_per_cent_and_in_saved_results_by_twenty():
    assert question(parsed("--base", "main")).thresholds.startup == 0.1
    assert question(parsed("--base", "main", "--startup-threshold", "30%")).thresholds.startup == 0.3
    saved = command._parse(["gate", "compare", "--baseline", "a.json", "b.json", "--run", "c.json", "d.json"])
    assert saved_question(saved).thresholds.startup == 0.2


def test_two_revisions_on_one_backend_are_no_alternatives():
    same = question(parsed("--base", "main", "--base-backend", "openvino", "--head-backend", "openvino"))
    assert not same.of_alternatives
    assert same.thresholds.time == 0.05
    assert question(parsed("--head-backend", "openvino")).of_alternatives


def test_a_threshold_may_belong_to_one_figure_and_the_last_one_counts():
    words = ("--threshold", "8%", "--threshold", "decode=10%", "--threshold", "test_pipeline[onnx-b1-pet]=3%")
    limits = thresholds(parsed("--base", "main", *words, "--threshold", "decode=20%", "--threshold", "7%"), "5%", "10%")
    assert (limits.time, limits.memory, limits.startup) == (0.07, 0.07, 0.1)
    assert limits.named == {"decode": 0.2, "pipeline[onnx-b1-pet]": 0.03}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "gate run: needs to know what to compare"),
        (("--base", "a", *["--head", "b"] * 4), "4 heads: are more than the 3"),
        (("--base", "a", *["--head", "b"] * 3, *["--head-env", "e"] * 2), "--head-env: is given 2 times, for 3 heads"),
        (("--calls", "m:c", "--head-backend", "onnx"), "--calls: are calls of your own"),
        (("--base", "a", "--head", "b", "--head", "c", "--merge-base"), "--merge-base: is another one for each head"),
        (("--head-model", "m.onnx", "--merge-base"), "--merge-base: belongs to a --base that git names"),
        (("--base", "a", "--fresh-env", "--head-env", "e"), "--fresh-env: and --base-env both choose"),
        (("--base", "a", "--full", "--head-backend", "jit"), "--full: takes all cells"),
        (("--base", "a", "--threshold", "decode=ten"), "--threshold decode= ten: is not a share"),
    ],
)
def test_flags_that_contradict_each_other_are_one_line(words, said):
    with pytest.raises(UserError) as caught:
        question(parsed(*words))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_model_of_all_sides_is_run_by_each_with_what_is_said_of_every_model():
    words = ("--base", "main", "--model", "m.onnx", "--size", "252x336", "--preset", "imagenet", "--head-size", "518")
    base, [head] = arm_requests(parsed(*words))
    assert base == ArmRequest("main", model="m.onnx", settings=(("size", "252x336"), ("preset", "imagenet")))
    assert head == ArmRequest(model="m.onnx", settings=(("size", "518"), ("preset", "imagenet")))
    assert base.titles == ["m.onnx", "size 252x336", "preset imagenet"]


def test_the_built_in_network_has_a_size_on_each_side():
    base, [head] = arm_requests(parsed("--head-size", "160x256"))
    assert (base, head) == (ArmRequest(), ArmRequest(settings=(("size", "160x256"),)))
    base, [head] = arm_requests(parsed("--base", "main", "--size", "160x256"))
    assert base.settings == head.settings == (("size", "160x256"),)


def test_what_is_said_of_every_model_is_not_said_of_midas_small():
    base, heads = arm_requests(parsed("--head-model", "a.onnx", "--head-model", "b.onnx", "--mean", "0.5"))
    assert base == ArmRequest()
    assert [head.settings for head in heads] == [(("mean", "0.5"),)] * 2


def test_each_setting_of_a_model_is_a_flag_of_the_gate():
    flags = flags_of("run")
    for flag in MODEL_FLAGS:
        name = flag.lstrip("-")
        assert {flag, f"--base-{name}", f"--head-{name}"} <= flags.keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--base", "a", "--std", "1"), "--std: is for a model of your own; name one by --model, --base-model or"),
        (("--base", "a", "--head-mean", "0"), "--head-mean: is for a model of your own; name it by --head-model or"),
        (("--head-model", "m", "--base-meaning", "depth"), "--base-meaning: is for a model of your own; name it by"),
        (("--calls", "m:c", "--base", "a", "--model", "m"), "--calls: are calls of your own"),
        (("--calls", "m:c", "--base", "a", "--head-size", "64"), "--calls: are calls of your own"),
        (("--calls", "m:c", "--base", "a", "--size", "64"), "--calls: are calls of your own"),
        (("--calls", "m:c", "--base", "a", "--photos", "p"), "--photos: are not given to calls of your own"),
        (("--model", "m.onnx"), "gate run: needs to know what to compare"),
    ],
)
def test_a_setting_without_its_model_is_one_line(words, said):
    with pytest.raises(UserError) as caught:
        question(parsed(*words))
    assert str(caught.value).startswith(said)
