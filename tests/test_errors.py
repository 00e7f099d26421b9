from midas_bench.errors import UserError


def test_an_error_names_the_thing_the_reason_and_the_next_step():
    error = UserError("pet.jpg", "is empty (0 bytes)", "replace or remove it")
    assert str(error) == "pet.jpg: is empty (0 bytes); replace or remove it"


def test_an_error_is_one_line_whatever_it_quotes():
    error = UserError("odd\nname.jpg", "cannot be read:\n  Traceback\r\n", "check\tit")
    assert str(error) == "odd name.jpg: cannot be read: Traceback ; check it"


def test_its_parts_travel_to_another_process():
    error = UserError("a", "b", "c")
    assert str(UserError(error.thing, error.reason, error.next_step)) == str(error)
