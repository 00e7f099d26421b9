"""What calls side by side have to themselves."""

import threading

import pytest

from midas_bench.depth.backends.base import Requests


class Made:
    """Count what is made, and fail for one more than may be."""

    def __init__(self, most):
        self.most, self.count = most, 0

    def __call__(self):
        self.count += 1
        assert self.count <= self.most
        return f"request {self.count}"


def test_one_is_made_for_each_call_at_a_time_and_used_again():
    made = Made(2)
    requests = Requests(made, 2)
    with requests.one() as first:
        pass
    with requests.one() as again, requests.one() as second:
        assert (again, second, made.count) == (first, "request 2", 2)
    with requests.one(), requests.one():
        pass


def test_a_call_too_many_waits_for_one_to_end():
    requests = Requests(Made(1), 1)
    order = []

    def call():
        with requests.one():
            order.append("second")

    with requests.one():
        waiting = threading.Thread(target=call)
        waiting.start()
        waiting.join(0.05)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_all_can_be_made_at_once():
    made = Made(3)
    Requests(made, 3, at_once=True)
    assert made.count == 3


def test_closing_ends_well_for_a_call_under_way_and_refuses_the_next():
    made = Made(2)
    requests = Requests(made, 2)
    with requests.one() as taken:
        requests.close()
        assert taken == "request 1"
        with pytest.raises(ValueError, match="closed"), requests.one():
            pass
    with pytest.raises(ValueError, match="closed"), requests.one():
        pass
    assert made.count == 1
