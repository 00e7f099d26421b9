"""What runs in a browser, beside the same graph run natively."""

from __future__ import annotations

from collections.abc import Sequence

from midas_bench.render.document import Table, TableCell, code, count, number, table
from midas_bench.results import units
from midas_bench.results.in_browser import INFERENCE, PHOTO, TIMED, InBrowser
from midas_bench.results.kinds import BrowserRatio
from midas_bench.results.runs import CellRecord


def in_browser(measured: Sequence[InBrowser]) -> Table | None:
    """Show each graph's times in the browser and natively, and the ratios of photo and network."""
    rows = [
        [
            code(one.browser_backend),
            count(one.threads),
            *_times(one.ratios.get(PHOTO)),
            _ratio(one.ratios.get(PHOTO)),
            _ratio(one.ratios.get(INFERENCE)),
            *_tier(one),
        ]
        for one in measured
        if one.ratios
    ]
    columns = ("in the browser", "threads#", "photo#", "native#", "over native#", "network over native#",
               "kernel#", "optimised#", "baseline#")  # fmt: skip
    note = (
        "Photo: from encoded photo to heat map of the photo's size. Native: ONNX Runtime on the same graph, photo and "
        "threads. Page and native process took turns, block by block. In brackets: 95 % interval. Kernel: a known "
        "loop of WebAssembly in the page that was timed. Beside it the same loop, where one compiler of V8 alone made "
        "its code. A cell whose page is not close to the optimised code fails."
    )
    return table("in-browser", "Browser over native", columns, rows, note=note)


def browser_stages(measured: Sequence[InBrowser]) -> Table | None:
    """Show the stages of a photo in the browser and natively."""
    rows = [
        [code(one.browser_backend), count(one.threads), TableCell(timed), *_times(cell), _ratio(cell)]
        for one in measured
        for timed in TIMED
        if timed != PHOTO and (cell := one.ratios.get(timed))
    ]
    columns = ("in the browser", "threads#", "stage", "its time#", "native#", "over native#")
    note = "The network is timed alone, the other stages of the page within whole photos."
    return table("browser-stages", "Stages in the browser", columns, rows, note=note)


def browser_startup(measured: Sequence[InBrowser]) -> Table | None:
    """Show what a page loads before its first photo, and the memory of browser and native process."""
    rows = []
    for one in measured:
        if one.startup is None:
            continue
        info = one.startup.info
        phases = [_mean(info.page_startup_s.get(phase, ())) for phase in ("download", "compile", "first_inference")]
        native = [_mean(values) for phase, values in info.startup_s.items() if phase != "steady"]
        native_s = sum(value for value in native if value is not None) if native else None
        memories = [_mean(each) for each in (info.empty_page_pss_bytes, info.browser_pss_bytes, info.native_pss_bytes)]
        rows.append(
            [
                code(one.browser_backend),
                count(one.threads),
                number(f"{units.digits(info.download_bytes / 1e6)} MB", info.download_bytes),
                *(number(units.seconds(value), value) for value in (*phases, info.start_s, native_s)),
                *(number(units.mib(value), value) for value in memories),
                count(max(map(len, info.page_startup_s.values()), default=0)),
            ]
        )
    columns = ("in the browser", "threads#", "to download#", "download#", "compile#", "first inference#", "in all#",
               "native#", "empty page#", "after photos#", "native process#", "browsers#")  # fmt: skip
    note = (
        "Means over fresh browsers. The download comes from this machine's own server; over a real network it takes "
        "longer. Native: import, load and first inference of a fresh process. Memory: of all processes of the "
        "browser, with shared pages split among their users. It is what a few photos leave."
    )
    return table("browser-startup", "Start-up in the browser", columns, rows, note=note)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _times(cell: CellRecord[BrowserRatio] | None) -> list[TableCell]:
    values = (cell.info.browser_median_s, cell.info.native_median_s) if cell else (None, None)
    return [number(units.seconds(value), value) for value in values]


def _ratio(cell: CellRecord[BrowserRatio] | None) -> TableCell:
    ratio = cell.info.estimate if cell else None
    return TableCell(units.times_span(ratio), ratio.estimate) if ratio else number(units.NOTHING, None)


def _tier(one: InBrowser) -> list[TableCell]:
    tier = next((cell.info.tier for cell in one.ratios.values() if cell.info.tier), None)
    values = (tier.page_s, tier.optimised_s, tier.baseline_s) if tier else (None, None, None)
    return [number(units.seconds(value), value) for value in values]
