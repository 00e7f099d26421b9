import pickle

import pytest

from midas_bench.depth.photo import PhotoError
from midas_bench.errors import UserError, printable


def test_an_error_names_the_thing_the_reason_and_the_next_step():
    error = UserError("pet.jpg", "is empty (0 bytes)", "replace or remove it")
    assert str(error) == "pet.jpg: is empty (0 bytes); replace or remove it"


def test_an_error_is_one_line_whatever_it_quotes():
    error = UserError("odd\nname.jpg", "cannot be read:\n  Traceback\r\n", "check\tit")
    assert str(error) == "odd\\nname.jpg: cannot be read: Traceback ; check it"


def test_an_error_about_any_name_is_one_line_of_utf_8(odd_name):
    error = UserError(f"a/{odd_name}.jpg", f"was made from {odd_name}", f"rename {odd_name}")
    for line in (str(error), error.why):
        assert line.encode().decode().isprintable()


@pytest.mark.parametrize("name", ["a  b.jpg", "Zoë 🐱 \u3000猫.jpg", "a\\b", "a\u202fb"])
def test_a_name_that_can_be_shown_is_shown_as_it_is(name):
    assert printable(name) == name
    assert str(UserError(name, "is empty", "replace it")) == f"{name}: is empty; replace it"


def test_a_name_is_made_printable_once(odd_name):
    assert printable(printable(odd_name)) == printable(odd_name)


def test_its_parts_travel_to_another_process():
    error = UserError("a", "b", "c")
    assert str(UserError(error.thing, error.reason, error.next_step)) == str(error)


@pytest.mark.parametrize(
    "error", [UserError("a\nb", "is c", "do d"), PhotoError("empty", "a.jpg", "is empty", "replace it")]
)
def test_a_pickled_error_says_the_same(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is UserError
    assert (str(again), again.thing, again.why) == (str(error), error.thing, error.why)
