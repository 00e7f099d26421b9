"""What runs in a browser beside the same graph run natively: how much slower, and whether that is sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from midas_bench.results import units
from midas_bench.results.json_fields import clean
from midas_bench.results.kinds import BrowserRatio, BrowserStartup
from midas_bench.results.runs import CellRecord, Record, of_type

PHOTO = "photo"
"""Stands for the whole way from an encoded photo to its heat map."""
INFERENCE = "inference"
FLOAT32 = "web-wasm"
TIMED = (PHOTO, "decode", "preprocess", INFERENCE, "heatmap")
"""What is timed, in the order of a photo's way."""


@dataclass(frozen=True)
class InBrowser:
    """One graph with one number of threads.

    Attributes:
        browser_backend: what ran in the browser.
        backend: what ran the same graph natively.
        threads: of both.
        ratios: by what is timed, the cell with its times and its ratio.
        startup: the cell of the page's start-up, where there is one.
    """

    browser_backend: str
    backend: str
    threads: int | None
    ratios: Mapping[str, CellRecord[BrowserRatio]] = field(default_factory=dict)
    startup: CellRecord[BrowserStartup] | None = None

    @property
    def browser(self) -> str:
        """Name and version of the browser."""
        cells: list[CellRecord[BrowserRatio] | CellRecord[BrowserStartup]] = [*self.ratios.values()]
        cells += [self.startup] if self.startup else []
        return next((clean(cell.info.browser) for cell in cells if cell.info.browser), "the browser")

    @property
    def text(self) -> str | None:
        """How many times as long as natively a photo takes, in a sentence; None where no photo was timed."""
        cell = self.ratios.get(PHOTO)
        if cell is None or cell.info.estimate is None:
            return None
        photo = next((f" of {p.width}x{p.height}" for p in cell.info.photos if p.width and p.height), "")
        return (
            f"{self.browser_backend} takes {units.times_span(cell.info.estimate)} as long as {self.backend} for a "
            f"photo{photo} with {units.counted(self.threads or 0, 'thread')}, in {self.browser}."
        )


def in_browser(records: Sequence[Record]) -> list[InBrowser]:
    """Return what a run measured in a browser, by graph and threads in the order of the cells."""
    ratios: dict[tuple[str, str, int | None], dict[str, CellRecord[BrowserRatio]]] = {}
    startups: dict[tuple[str, str, int | None], CellRecord[BrowserStartup]] = {}
    for startup in of_type(records, BrowserStartup):
        startups[_key(startup.info)] = startup
        ratios.setdefault(_key(startup.info), {})
    for ratio in of_type(records, BrowserRatio):
        ratios.setdefault(_key(ratio.info), {})[ratio.info.stage or PHOTO] = ratio
    return [InBrowser(*key, ratios[key], startups.get(key)) for key in sorted(ratios, key=str)]


def _key(info: BrowserRatio | BrowserStartup) -> tuple[str, str, int | None]:
    return clean(info.browser_backend), clean(info.backend_name), info.threads


def against_fp32(measured: Sequence[InBrowser]) -> list[str]:
    """Say for each number of threads what share of the float32 graph's time another graph takes in the browser."""
    sentences = []
    for one in measured:
        plain = next((o for o in measured if o.threads == one.threads and o.browser_backend == FLOAT32), None)
        times_s = [each.ratios[PHOTO].info.browser_median_s for each in (one, plain) if each and PHOTO in each.ratios]
        if one is not plain and len(times_s) == 2 and times_s[0] and times_s[1]:
            sentences.append(
                f"In the browser, {one.browser_backend} takes {units.times(times_s[0] / times_s[1])} as long as "
                f"{FLOAT32} with {units.counted(one.threads or 0, 'thread')}; the two did not take turns."
            )
    return sentences
