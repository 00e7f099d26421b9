"""What a million photos cost with each set-up, by its throughput and the machine's price per hour."""

from __future__ import annotations

from midas_bench.render.document import Table, TableCell, number, table
from midas_bench.results import units
from midas_bench.results.price import per_million_photos
from midas_bench.results.ranking import Recommendation
from midas_bench.results.recommendations import setup_text


def prices(best: Recommendation | None, price_per_hour: float | None) -> Table | None:
    """Show the price per million photos of the set-ups that the answer on throughput names."""
    if best is None or price_per_hour is None:
        return None
    figures = [(best.winner, best.figure), *((other.setup, other.figure) for other in best.alternatives)]
    rows = []
    for setup, figure in figures:
        price = per_million_photos(figure, price_per_hour)
        rows.append([
            TableCell(setup_text(best, setup)),
            number(units.rate_span(figure), figure.estimate),
            number(units.price_span(price), price.estimate),
        ])  # fmt: skip
    note = (
        f"At {price_per_hour:g} per hour, in any currency: price per hour / 3600 / images per second, times a million, "
        "for a machine that is always busy. Intervals are those of the throughput."
    )
    heads = ("set-up", "throughput#", "price per million photos#")
    return table("prices", "Price per million photos", heads, rows, note)
