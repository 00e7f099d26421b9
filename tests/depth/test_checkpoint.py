"""Checkpoints as people save them, with a few of the network's parameters: names and containers are what counts."""

import argparse
import json
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from midas_bench.depth.checkpoint import COUNTER, read_parameters
from midas_bench.errors import UserError

SHAPES = {
    "pretrained.layer1.0.weight": (4, 3, 3, 3),
    "pretrained.layer1.1.running_mean": (4,),
    "scratch.layer1_rn.weight": (8, 4, 1, 1),
    "scratch.output_conv.4.bias": (1,),
}
COUNTERS = {f"pretrained.layer1.{number}{COUNTER}": torch.tensor(7) for number in (1, 2)}
FIRST = "pretrained.layer1.0.weight"
LAST = "scratch.output_conv.4.bias"


def state_of(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()} | COUNTERS


STATE, OTHER = state_of(), state_of(1)


def prefixed(prefix, state=STATE):
    return {prefix + name: value for name, value in state.items()}


@pytest.fixture
def read(tmp_path):
    """Save an object and read the parameters in it."""

    def reading(content, **how):
        path = tmp_path / "weights.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.save(content, path, **how)
        return read_parameters(path, STATE)

    return reading


def equal(parameters, state=STATE):
    return parameters.keys() == SHAPES.keys() and all(torch.equal(parameters[name], state[name]) for name in SHAPES)


OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(4)}, 1: {}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}
NAMED_OPTIMIZER = {"state": {name: {"exp_avg": value} for name, value in STATE.items()}, "exp_avg": OTHER}
WRAPPINGS = {
    "plain": lambda state: state,
    "ordered": OrderedDict,
    "plain, with an epoch beside": lambda state: {**state, "epoch": 3, "optimizer": OPTIMIZER, "note": "best"},
    "state_dict": lambda state: {"state_dict": state},
    "ImageNet example": lambda state: {
        "epoch": 3, "arch": "midas", "state_dict": state, "best_acc1": torch.tensor(0.5), "optimizer": OPTIMIZER,
    },
    "tutorial": lambda state: {"model_state_dict": state, "optimizer_state_dict": OPTIMIZER, "loss": 0.5},
    "model": lambda state: {"model": state, "args": {"lr": 0.1}, "scaler": {}, "lr_scheduler": {"last_epoch": 1}},
    "optimizer by names": lambda state: {"optimizer": NAMED_OPTIMIZER, "net": state},
    "keys of several types": lambda state: {0: "zero", None: 1, ("a", 1): torch.zeros(1), "weights": state},
    "several deep": lambda state: {"checkpoint": {"models": [{"name": "a"}, {"params": state}]}},
    "a tuple": lambda state: (3, state, OPTIMIZER),
    "a list of one": lambda state: [state],
    "Lightning": lambda state: {
        "epoch": 3, "global_step": 100, "pytorch-lightning_version": "2.5", "state_dict": state, "loops": {"fit": {}},
        "callbacks": {"EMA{}": {}}, "optimizer_states": [NAMED_OPTIMIZER], "hyper_parameters": {"lr": 0.1},
    },
    "held twice": lambda state: {"state_dict": state, "model": state},
    "saved twice": lambda state: {"state_dict": state, "best": {name: value.clone() for name, value in state.items()}},
    "a mean beside": lambda state: {"model_ema": {"module": OTHER}, "model": state},
    "a teacher beside": lambda state: {"teacher": OTHER, "student": state},
    "a mean alone": lambda state: {"ema_state_dict": state, "epoch": 3},
}  # fmt: skip
PREFIXES = [
    "", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "model.net._orig_mod.",
    "_fsdp_wrapped_module.",
]  # fmt: skip


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_checkpoint_is_read_whatever_wraps_it_and_stands_before_its_names(read, wrapping, prefix):
    assert equal(read(WRAPPINGS[wrapping](prefixed(prefix))))


@pytest.mark.parametrize("part", ["module", "_orig_mod", "_checkpoint_wrapped_module"])
def test_a_wrapper_in_the_middle_of_names_is_cut_too(read, part):
    assert equal(read({name.replace("pretrained.", f"pretrained.{part}."): value for name, value in STATE.items()}))


def test_a_module_beside_the_network_is_none_of_its_parameters(read):
    others = {"criterion.weight": torch.ones(3), "n_averaged": torch.tensor(4), "ema.decay": torch.tensor(0.9)}
    assert equal(read({"state_dict": prefixed("model.") | others}))
    assert equal(read(prefixed("model.") | prefixed("model_ema.", OTHER)))
    assert equal(read(prefixed("") | prefixed("ema_model.module.", OTHER)))


@pytest.mark.parametrize("left_out", [COUNTERS, list(COUNTERS)[:1], []])
def test_counters_may_be_missing_or_of_any_type(read, left_out):
    assert equal(read({name: value for name, value in STATE.items() if name not in left_out}))
    assert equal(read(STATE | dict.fromkeys(COUNTERS, torch.tensor([1.5]))))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_converted_to_float32(read, dtype):
    parameters = read({name: value.to(dtype) for name, value in STATE.items()})
    assert {value.dtype for value in parameters.values()} == {torch.float32}
    assert equal(parameters, {name: value.to(dtype).to(torch.float32) for name, value in STATE.items()})


def test_parameters_of_a_module_are_tensors(read):
    trained = {name: torch.nn.Parameter(value) if value.is_floating_point() else value for name, value in STATE.items()}
    parameters = read(trained)
    assert equal(parameters)
    assert not any(value.requires_grad for value in parameters.values())


@pytest.mark.parametrize(
    ("content", "places"),
    [
        ({"model": STATE, "best_model": OTHER}, r"\['model'\], \['best_model'\]"),
        ([STATE, OTHER], r"\[0\], \[1\]"),
        ({**prefixed("student."), **prefixed("", OTHER)}, r"student\.\*, the plain names"),
        ({"ema": STATE, "swa": OTHER}, r"\['ema'\], \['swa'\]"),
        ({"a": STATE, "b": {name: value.half() for name, value in STATE.items()}}, r"\['a'\], \['b'\]"),
    ],
)
def test_several_sets_of_parameters_are_refused_and_named(read, content, places):
    with pytest.raises(UserError, match=rf"holds 2 different sets of parameters \({places}\); save the network's"):
        read(content)


def quantised(value):
    return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


UNUSABLE = {
    "int8": (lambda value: value.to(torch.int8), "int8 values"),
    "uint8": (lambda value: value.to(torch.uint8), "uint8 values"),
    "bool": (lambda value: value > 0, "bool values"),
    "complex": (lambda value: value.to(torch.complex64), "complex64 values"),
    "float8": (lambda value: value.to(torch.float8_e4m3fn), "float8_e4m3fn values"),
    "quantised": (quantised, "qint8 values"),
    "coo": (lambda value: value.to_sparse(), "a sparse or nested tensor"),
    "csr": (lambda value: value.reshape(1, -1).to_sparse_csr(), "a sparse or nested tensor"),
    "meta": (lambda value: value.to("meta"), r"a tensor without values \(meta\)"),
    "a list": (lambda value: value.tolist(), "a list"),
    "a number": (lambda _: 1.0, "a float"),
    "a word": (lambda _: "a word", "a str"),
    "nothing": (lambda _: None, "a NoneType"),
}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", [FIRST, LAST])
@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_value_that_is_no_dense_float_tensor_is_refused_with_its_name(read, kind, name, prefix):
    convert, words = UNUSABLE[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = convert(STATE[name])
    with pytest.raises(UserError, match=rf"weights\.pt: holds {words} .*\({name}\); save the") as caught:
        read({"state_dict": prefixed(prefix, STATE | {name: value})})
    assert ("module.*" in str(caught.value)) == bool(prefix)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["", "['state_dict'] model.*"])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({FIRST: None, LAST: None}, rf"lacks 2 parameters of MiDaS_small.* \(first: {FIRST}\)"),
        ({"extra.weight": torch.zeros(1)}, r"has unknown 1 parameters .*extra\.weight\)"),
        ({LAST: torch.zeros(2)}, rf"has misshaped 1 parameters .*{LAST}\)"),
        ({LAST: torch.zeros(())}, "has misshaped 1 parameters"),
        ({LAST: torch.tensor([torch.nan])}, "holds NaN or infinity in 1 parameters"),
        ({FIRST: torch.full(SHAPES[FIRST], torch.inf).half()}, "holds NaN or infinity in 1 parameters"),
        ({LAST: torch.tensor([1e300], dtype=torch.float64)}, "holds NaN or infinity in 1 parameters"),
    ],
)
def test_what_does_not_fit_is_counted_and_named_with_its_place(read, changes, reason, place):
    state = {name: value for name, value in (STATE | changes).items() if value is not None}
    with pytest.raises(UserError, match=rf"weights\.pt: {reason}") as caught:
        read({"state_dict": prefixed("model.", state)} if place else state)
    assert place in str(caught.value)


def test_another_network_is_named_by_what_it_holds(read):
    reason = r"holds no parameters of MiDaS_small in \['state_dict'\] \(first: 'backbone.conv1.weight'\); give"
    with pytest.raises(UserError, match=reason):
        read({"epoch": 1, "state_dict": {"backbone.conv1.weight": torch.zeros(1)}})


@pytest.mark.parametrize("content", [{}, [], [1, 2], "text", None, 3, torch.zeros(3), {1: 2}, {"a": {"b": {}}}])
def test_what_holds_no_tensors_by_name_is_no_state_dict(read, content):
    with pytest.raises(UserError, match=r"weights\.pt: is not a state dict of tensors; give"):
        read(content)


def test_a_container_that_holds_itself_is_read_once(read):
    content = {"state_dict": STATE}
    content["self"] = content
    assert equal(read(content))
    wide = STATE
    for _ in range(60):
        wide = [wide, wide]
    assert equal(read(wide))


class Malice:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("beside", [True, False])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, form, protocol, beside):
    path, trace = tmp_path / "weights.pt", tmp_path / "trace"
    content = {"state_dict": STATE, "callback": Malice(trace)} if beside else {FIRST: Malice(trace)}
    if form == "bare":
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UserError, match=r"weights\.pt: (holds Python objects other|was saved with|is damaged or)"):
        read_parameters(path, STATE)
    assert not trace.exists()


def test_the_code_above_would_have_run(tmp_path):
    pickle.loads(pickle.dumps(Malice(tmp_path / "trace")))
    assert (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (argparse.Namespace(lr=0.1), "argparse.Namespace"),
        (np.float64(0.5), r"numpy\S*scalar"),
        (torch.nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
    ],
)
def test_an_object_beside_the_tensors_is_named(read, value, name):
    reason = rf"holds Python objects other than tensors \({name}\), which could run code; save the network's state_dict"
    with pytest.raises(UserError, match=reason):
        read({"state_dict": STATE, "args": value})


@pytest.mark.parametrize("protocol", [4, 5])
def test_another_pickle_protocol_is_named(read, protocol):
    with pytest.raises(
        UserError, match=f"was saved with pickle protocol {protocol}; save it with torch.save's default"
    ):
        read(STATE, pickle_protocol=protocol)


def test_the_format_of_older_pytorch_is_read(read):
    assert equal(read({"state_dict": STATE}, _use_new_zipfile_serialization=False))


def safetensors(state):
    """Write the format by hand: the length of a JSON header, the header, the bytes."""
    header, data = {}, b""
    for name, value in state.items():
        added = value.numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(added)]}
        data += added
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def scripted(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(path))


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")


def truncated(path):
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:-500])


FILES = {
    "safetensors": (lambda path: path.write_bytes(safetensors(STATE)), "is a safetensors file; convert it: torch.save"),
    "TorchScript": (scripted, "is a TorchScript archive and no state dict; save the network's"),
    "Git LFS": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 85761505\n"),
        "is a pointer of Git LFS and not the file itself; fetch it with `git lfs pull`",
    ),
    "zip": (zipped, "is damaged or not a PyTorch checkpoint"),
    "truncated": (truncated, "is damaged or not a PyTorch checkpoint"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged or not a PyTorch checkpoint"),
    "text": (lambda path: path.write_bytes(b"hello\n"), "is damaged or not a PyTorch checkpoint"),
    "page": (lambda path: path.write_bytes(b"<!DOCTYPE html>"), "is damaged or not a PyTorch checkpoint"),
    "zeros": (lambda path: path.write_bytes(bytes(1000)), "is damaged or not a PyTorch checkpoint"),
    "folder": (lambda path: path.mkdir(), r"cannot be read \(Is a directory\); check the path"),
    "nothing": (lambda _: None, r"cannot be read \(No such file or directory\); check the path"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_checkpoint_is_called_what_it_is(tmp_path, kind):
    write, reason = FILES[kind]
    path = tmp_path / "weights.pt"
    write(path)
    with pytest.raises(UserError, match=rf"weights\.pt: {reason}") as caught:
        read_parameters(path, STATE)
    assert "\n" not in str(caught.value)


def test_bytes_at_random_are_refused_whatever_torch_makes_of_them(tmp_path):
    random = np.random.default_rng(3)
    path = tmp_path / "weights.pt"
    for _ in range(200):
        path.write_bytes(b"\x80\x02" + random.bytes(100))
        with pytest.raises(UserError):
            read_parameters(path, STATE)


@pytest.mark.parametrize(
    "name", [b"caf\xe9.pt", b"\xff\xfe", "é è.pt".encode(), b"new\nline\ttab.pt", b"%s {0} *?.pt", b"-o", b"a" * 255]
)
def test_a_checkpoint_of_any_name_is_read(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    torch.save({"state_dict": STATE}, tmp_path / "plain.pt")
    (tmp_path / "plain.pt").rename(path)
    assert equal(read_parameters(path, STATE))
