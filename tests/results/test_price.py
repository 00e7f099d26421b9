"""The price of a million photos, and which machine a price is for."""

import pytest

from midas_bench.cli.prices import read_prices
from midas_bench.errors import UserError
from midas_bench.results.intervals import Interval
from midas_bench.results.price import PricedMachine, Prices, per_million_photos

EPYC = PricedMachine("small", "c67255ac9058", "AMD EPYC 9R14")
XEON = PricedMachine("large", "ee8e9b6939eb", "Intel Xeon Processor @ 2.50GHz")


def test_a_million_photos_cost_the_hours_that_they_take():
    # 20 photos per second take 50,000 s, which is 13.9 h
    price = per_million_photos(Interval(20.0, 10.0, 25.0), 0.36)
    assert price.estimate == pytest.approx(5.0)
    # the highest throughput gives the lowest price
    assert (price.low, price.high) == (pytest.approx(4.0), pytest.approx(10.0))
    assert price.confidence == 0.95


def test_a_throughput_without_an_interval_gives_a_price_without_one():
    price = per_million_photos(Interval(20.0, 20.0, 20.0, confidence=0.0), 0.36)
    assert (price.low, price.high, price.confidence) == (price.estimate, price.estimate, 0.0)


@pytest.mark.parametrize(
    ("values", "epyc", "xeon"),
    [
        ([], None, None),
        (["0.1"], 0.1, 0.1),
        (["EPYC=0.2"], 0.2, None),
        (["epyc = 0.2", "0.1"], 0.2, 0.1),
        (["EPYC=0.2", "EPYC 9R14=0.3"], 0.3, None),  # the longest part of the name
        (["EPYC 9R14=0.3", "small=0.4"], 0.4, None),  # a label tells more than a CPU
        (["c67255ac9058=0.5", "ee8e9b6939eb=0.6"], 0.5, 0.6),
    ],
)
def test_a_price_is_for_the_machines_that_its_name_means(values, epyc, xeon):
    prices = read_prices(values)
    assert (prices.of(EPYC), prices.of(XEON)) == (epyc, xeon)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["cheap"], "--price-per-hour cheap: is not a price above 0"),
        (["0"], "is not a price above 0"),
        (["-1"], "is not a price above 0"),
        (["nan"], "is not a price above 0"),
        (["inf"], "is not a price above 0"),
        (["EPYC="], "is not a price above 0"),
        (["=0.1"], "has no name before the ="),
        (["0.1", "0.2"], "is given twice"),
        (["EPYC=0.1", "EPYC=0.2"], "is given twice"),
    ],
)
def test_what_is_no_price_is_refused(values, said):
    with pytest.raises(UserError, match=said):
        read_prices(values)


def test_a_name_that_means_no_machine_is_refused():
    Prices({"EPYC": 0.1, "large": 0.2}).check([EPYC, XEON])
    with pytest.raises(UserError, match="--price-per-hour EPIC: means none of the machines here: AMD EPYC 9R14"):
        Prices({"EPIC": 0.1}).check([EPYC, XEON])
