"""The flag `--price-per-hour`, for each command that prices a throughput."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from midas_bench.errors import UserError
from midas_bench.results.price import FLAG, Prices


def add_price_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the flag."""
    parser.add_argument(
        FLAG,
        action="append",
        default=[],
        metavar="[NAME=]PRICE",
        help="what an hour of the machine costs, such as 0.085, to get the price per million photos; for several "
        "machines repeat it as NAME=PRICE, the name being a label, a fingerprint or a part of the CPU's name",
    )


def read_prices(values: Sequence[str]) -> Prices:
    """Read `0.085` and `EPYC=0.17`.

    Raises:
        UserError: one is no price above 0, or two are for the same machines.
    """
    by_name: dict[str, float] = {}
    other = None
    for text in values:
        name, named, number = text.rpartition("=")
        name, price = name.strip(), _price(text, number)
        if (named and not name) or name in by_name or (not named and other is not None):
            reason = "has no name before the =" if named and not name else "is given twice for the same machines"
            raise UserError(f"{FLAG} {text}", reason, "give one price for each name, and at most one without")
        if named:
            by_name[name] = price
        else:
            other = price
    return Prices(by_name, other)


def _price(text: str, number: str) -> float:
    try:
        price = float(number)
    except ValueError:
        price = math.nan
    if not 0 < price < math.inf:
        raise UserError(f"{FLAG} {text}", "is not a price above 0", "give one as 0.085 or EPYC=0.17")
    return price
