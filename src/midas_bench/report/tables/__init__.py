"""The report's tables, each from the tidy table of cells or from what was computed of the records; None where empty."""

from __future__ import annotations

from midas_bench.report.tables.answer import alternatives, article_table, claims
from midas_bench.report.tables.compared_runs import comparison, machines_differ, one_sided
from midas_bench.report.tables.in_browser import browser_stages, browser_startup, in_browser
from midas_bench.report.tables.limits import fidelity, floors, peers, roofline
from midas_bench.report.tables.load import load_points, loads, soaks
from midas_bench.report.tables.machine import facts, noisy, unmeasured, versions
from midas_bench.report.tables.other_programs import other_programs
from midas_bench.report.tables.price import prices
from midas_bench.report.tables.resources import memory, startup
from midas_bench.report.tables.timing import cells_table, ratios, streams

__all__ = [
    "alternatives",
    "article_table",
    "browser_stages",
    "browser_startup",
    "cells_table",
    "claims",
    "comparison",
    "facts",
    "fidelity",
    "floors",
    "in_browser",
    "load_points",
    "loads",
    "machines_differ",
    "memory",
    "noisy",
    "one_sided",
    "other_programs",
    "peers",
    "prices",
    "ratios",
    "roofline",
    "soaks",
    "startup",
    "streams",
    "unmeasured",
    "versions",
]
