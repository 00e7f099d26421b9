import argparse

import pytest

from midas_bench import options
from midas_bench.cpu import allowed_cores
from midas_bench.depth.backends.registry import REGISTRY
from midas_bench.errors import UserError


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(exit_on_error=False)
    options.add_to_parser(parser, options.OPTIONS)
    return parser


def test_the_flags_are_read(parser):
    line = "--backend onnx,jit --backend eager --weights seeded --threads 1 --photos folder --quick"
    read = parser.parse_args(line.split())
    assert options.split(read.backend) == ["onnx", "jit", "eager"]
    assert (read.weights, read.threads, read.photos, read.quick) == ("seeded", ["1"], "folder", True)


def test_weights_are_found_by_themselves_unless_named(parser):
    assert parser.parse_args([]).weights == "auto"


ALLOWED = allowed_cores()


EACH_ONCE = tuple(dict.fromkeys((1, ALLOWED)))


@pytest.mark.parametrize(
    ("values", "counts"), [(None, ()), ([], ()), (["1"], (1,)), ([f"1,{ALLOWED}", "1"], EACH_ONCE)]
)
def test_thread_counts_are_read_each_once(values, counts):
    assert options.thread_counts(values) == counts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("many", "is not a whole number; give one such as 2, or a list as 1,2"),
        ("1.5", "is not a whole number"),
        ("0", f"this process may use 1 to {ALLOWED} cores; choose a number among them"),
        (f"1,{ALLOWED + 1}", f"this process may use 1 to {ALLOWED} cores"),
    ],
)
def test_a_thread_count_that_cannot_be_had_is_the_users_error(text, reason):
    with pytest.raises(UserError, match=f"--threads {text.rpartition(',')[2]}: {reason}"):
        options.thread_counts([text])


def test_a_flag_that_is_taken_once_may_be_left_out_but_not_doubled():
    assert options.at_most_one("--backend", []) is None
    assert options.at_most_one("--backend", ["onnx"]) == "onnx"
    with pytest.raises(UserError, match="--backend onnx,jit: names several; name one"):
        options.at_most_one("--backend", ["onnx", "jit"])


def test_a_command_takes_one_model_and_does_not_drop_the_first_of_two(parser):
    assert parser.parse_args(["--model", "a.onnx"]).model == "a.onnx"
    with pytest.raises(UserError, match=r"--model a\.onnx,b\.onnx: names several; name one"):
        parser.parse_args(["--model", "a.onnx", "--model", "b.onnx"])


def test_the_help_names_every_backend():
    assert all(name in options.OPTIONS["--backend"].help for name in REGISTRY)


def test_pytest_knows_every_flag(pytestconfig):
    for name in options.OPTIONS:
        pytestconfig.getoption(name)


@pytest.mark.parametrize(
    ("values", "names"),
    [(None, []), ([""], []), (["a"], ["a"]), (["a, b", "c"], ["a", "b", "c"]), (["a,,b,"], ["a", "b"])],
)
def test_names_are_split_at_commas(values, names):
    assert options.split(values) == names


@pytest.mark.parametrize(("text", "value_s"), [("90s", 90), ("5min", 300), ("1h", 3600), ("1.5 m", 90), ("5", 300)])
def test_a_time_is_read_in_the_usual_units(text, value_s):
    assert options.seconds("--budget", text, bare="min") == value_s


@pytest.mark.parametrize("text", ["soon", "0s", "nan", "-5min", "5 d"])
def test_what_is_no_time_is_the_users_error(text):
    with pytest.raises(UserError, match=f"--budget {text}: is not a time; give one as 90s, 5min or 1h"):
        options.seconds("--budget", text, bare="min")


def test_a_number_without_a_unit_is_what_the_command_says():
    assert options.seconds("--budget", "60", bare="s") == 60


def test_a_size_is_no_setting_of_a_model_alone(parser):
    read = parser.parse_args(["--size", "160x256"])
    assert (read.model, options.model_settings(read)) == (None, (("size", "160x256"),))
