"""The kinds of cells, and what each adds to `CellInfo`: the one owner of these names in `extra_info`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from msgspec import Struct

from midas_bench.results.intervals import Interval, block_ratio
from midas_bench.results.load_records import Load
from midas_bench.results.record import (
    UNREAD,
    Bounds,
    CellInfo,
    ClientCpuSeconds,
    ImpossibleError,
    Logarithm,
    Number,
    Seconds,
    Whole,
)

PHASES = ("import", "load", "first_inference", "steady")
"""Of a process's start, in `startup_s`, in their order; the last is a call of the ones that follow."""

StartupSeconds = Annotated[
    dict[str, tuple[Number, ...]], "import, load, first_inference and steady, each a list with one value per process."
]
"""A key of two kinds: of a process, and of the native processes beside a page."""
PeerName = Annotated[str, "name of the other program or network that was measured beside this one."]
PeerSeconds = Annotated[Seconds | None, "median seconds per call of a peer, where its rounds are not the cell's."]
"""Keys of two kinds: of a peer's own time, and of its ratio to ours."""


class Latency(CellInfo, frozen=True, kw_only=True, tag="latency"):
    """The whole way from photos to heat maps."""


class Stage(CellInfo, frozen=True, kw_only=True, tag="stage"):
    """One stage alone."""

    flop: Annotated[
        Whole | None,
        "floating-point operations of one call of the network, as its graph executes them.",
    ] = None
    peak_flop_per_s: Annotated[
        Number | None,
        "highest rate of a matrix product in the backend's precision on as many threads, in this run.",
    ] = None
    share_of_peak: Annotated[Number | None, "share of `peak_flop_per_s` that the median call reaches.", UNREAD] = None

    def follow_from(self, median_s: float) -> dict[str, Any]:
        """Return the fields that follow from the median of the rounds, in seconds and above 0."""
        fields = super().follow_from(median_s)
        if self.flop and self.peak_flop_per_s:
            fields["share_of_peak"] = self.flop / self.peak_flop_per_s / median_s
        return fields


class Stream(CellInfo, frozen=True, kw_only=True, tag="stream"):
    """A whole stream of photos."""

    stream_photos: Annotated[Whole, "photos of a whole stream, which is one round."]

    @property
    def photos_per_round(self) -> int | None:
        """Photos of the stream."""
        return self.stream_photos


class RssSamples(Struct, frozen=True):
    """Resident memory over the life of a process, in bytes."""

    t_s: tuple[Seconds, ...] = ()
    rss_bytes: tuple[Number, ...] = ()

    def __post_init__(self) -> None:
        if len(self.t_s) != len(self.rss_bytes):
            raise ImpossibleError("rss_bytes", len(self.rss_bytes), f"as long as t_s, {len(self.t_s)}")


class Memory(CellInfo, frozen=True, kw_only=True, tag="memory"):
    """Resident memory of a fresh process that ran one cell."""

    baseline_rss_bytes: Annotated[Whole | None, "resident memory of a fresh process after its imports."] = None
    loaded_rss_bytes: Annotated[Whole | None, "resident memory after loading the network."] = None
    peak_rss_bytes: Annotated[Whole, "highest resident memory."]
    rss_over_time: Annotated[RssSamples, "`t_s` and `rss_bytes`, sampled from outside the process."] = RssSamples()


class Startup(CellInfo, frozen=True, kw_only=True, tag="startup"):
    """Start of fresh processes, up to their first heat maps."""

    cache: Annotated[str | None, "`warm` or `empty`: whether the graph was in the cache at start-up."] = None
    startup_s: StartupSeconds
    build_s: Annotated[tuple[Number, ...], "seconds to trace or export the graph, where the cache was empty."] = ()

    @property
    def cache_state(self) -> str:
        """The state of the cache; the first versions knew no other than warm."""
        return self.cache or "warm"

    @property
    def phases_s(self) -> dict[str, tuple[float, ...]]:
        """Seconds by phase, one per process; none where the phase was not recorded."""
        return {phase: self.startup_s.get(phase, ()) for phase in PHASES}

    @property
    def mean_build_s(self) -> float | None:
        """The mean seconds of making the graph; None where it was in the cache."""
        return sum(self.build_s) / len(self.build_s) if self.build_s else None


class RatioBounds(Bounds, frozen=True, kw_only=True, omit_defaults=True):
    """The interval of a ratio, and the ratio."""

    estimate: Number
    blocks: Annotated[Whole | None, UNREAD] = None


class Ratio(CellInfo, frozen=True, kw_only=True, tag="ratio"):
    """A ratio of two times from interleaved blocks."""

    ratio: Annotated[str | None, "name of the quotient of times, such as `jit/eager`."] = None
    numerator: Annotated[str | None, "name of the quotient's upper part."] = None
    denominator: Annotated[str | None, "name of the quotient's lower part."] = None
    baseline_scene: Annotated[str | None, "scene that a ratio between scenes is relative to."] = None
    block_log_ratios: Annotated[tuple[Logarithm, ...], "natural logarithm of the ratio, one value per block."] = ()
    interval: Annotated[RatioBounds | None, "estimate, low, high, confidence and blocks of the ratio."] = None
    client_cpu_s: ClientCpuSeconds = None

    @property
    def name(self) -> str:
        """The ratio's name, made of its parts where it has none."""
        parts = "/".join(part for part in (self.numerator, self.denominator) if part)
        return self.ratio or parts or f"{self.scene}/{self.baseline_scene}"

    @property
    def estimate(self) -> Interval | None:
        """The ratio with its interval; None where too few blocks can give one."""
        return self.interval.around(self.interval.estimate) if self.interval else block_ratio(self.block_log_ratios)


class SceneRatio(Ratio, frozen=True, kw_only=True, tag="scene"):
    """A scene's time over another scene's."""


class Peer(CellInfo, frozen=True, kw_only=True, tag="peer"):
    """Somebody else's program or network in the same run."""

    peer: PeerName
    peer_median_s: PeerSeconds = None


class PeerRatio(Ratio, frozen=True, kw_only=True, tag="peer-ratio"):
    """Another program's time from photo to heat map over ours."""

    peer: PeerName
    peer_median_s: PeerSeconds = None
    own_median_s: Annotated[Seconds | None, "median seconds per call of ours in the blocks of a ratio to a peer."] = (
        None
    )


BrowserName = Annotated[str | None, "name and version of the browser."]
BrowserBackend = Annotated[str, "what ran in the browser: `web-wasm` or `web-wasm-int8`; `backend` ran natively."]
"""Keys of two kinds: of a ratio of a browser to native, and of a page's start-up."""


class Tier(Struct, frozen=True, omit_defaults=True):
    """How long a known kernel took in a page, and where one compiler alone made its code.

    Attributes:
        page_s: in the page that was timed, the least; of several pages the longest.
        baseline_s: with V8's baseline compiler alone.
        optimised_s: with V8's optimising compiler alone.
    """

    page_s: Seconds
    baseline_s: Seconds
    optimised_s: Seconds


class BrowserRatio(Ratio, frozen=True, kw_only=True, tag="browser-ratio"):
    """A page's time for a photo, or for one stage, over native ONNX Runtime's with the same graph and threads."""

    browser: BrowserName = None
    browser_backend: BrowserBackend
    browser_median_s: Annotated[Seconds | None, "median seconds per call in the browser, by the page's own clock."] = (
        None
    )
    native_median_s: Annotated[Seconds | None, "median seconds per call of native ONNX Runtime in the same blocks."] = (
        None
    )
    browser_rounds_s: Annotated[
        tuple[Seconds, ...], "seconds of each call in the browser, in the order of the blocks.", UNREAD
    ] = ()
    native_rounds_s: Annotated[
        tuple[Seconds, ...], "seconds of each call of native ONNX Runtime, in the order of the blocks.", UNREAD
    ] = ()
    tier: Annotated[
        Tier | None, "page_s, baseline_s and optimised_s: a known kernel's seconds, which tell whose code a page runs."
    ] = None


class BrowserStartup(CellInfo, frozen=True, kw_only=True, tag="browser-startup"):
    """Start of a page in fresh browsers up to its first depth; and of native processes with the same graph."""

    browser: BrowserName = None
    browser_backend: BrowserBackend
    download_bytes: Annotated[Whole, "bytes of runtime, decoder and graph that a page downloads at its first start."]
    page_startup_s: Annotated[
        dict[str, tuple[Number, ...]],
        "open, download, compile and first_inference of the page, each a list with one value per browser.",
    ]
    startup_s: StartupSeconds
    empty_page_pss_bytes: Annotated[
        tuple[Whole, ...], "memory of all of the browser's processes with the page open and nothing loaded, by browser."
    ] = ()
    browser_pss_bytes: Annotated[
        tuple[Whole, ...], "the same after a few photos; shared pages are split among their users."
    ] = ()
    browser_uss_bytes: Annotated[tuple[Whole, ...], "the same, without shared pages.", UNREAD] = ()
    native_pss_bytes: Annotated[tuple[Whole, ...], "memory of the native process after a few photos, by process."] = ()
    native_uss_bytes: Annotated[tuple[Whole, ...], "the same, without shared pages.", UNREAD] = ()

    @property
    def start_s(self) -> float | None:
        """The mean seconds from asking for the first file to the first depth; None where it is not known."""
        means = [sum(v) / len(v) for name, v in self.page_startup_s.items() if v and name != "open"]
        return sum(means) if means else None


class StepTime(Struct, frozen=True, omit_defaults=True):
    """One step on the way from a photo to a PNG of its heat map, beside the least that this machine allows.

    Attributes:
        step: decode, preprocess, inference, heatmap or write.
        median_s: of the rounds.
        least_s: seconds of the limit; None where it is not known.
        bytes_moved: that the step reads and writes at least; None where the limit is another one.
        flop: of the step, likewise.
    """

    step: str
    median_s: Seconds
    least_s: Seconds | None = None
    bytes_moved: Whole | None = None
    flop: Whole | None = None


class Floor(CellInfo, frozen=True, kw_only=True, tag="floor"):
    """The steps from one photo to a PNG, each beside its limit."""

    steps: Annotated[
        tuple[StepTime, ...],
        "step, median_s, least_s, and bytes_moved or flop of each step from a photo to a PNG.",
    ]


KINDS: Mapping[str, type[CellInfo]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        Latency,
        Stage,
        Stream,
        Memory,
        Startup,
        Ratio,
        SceneRatio,
        Peer,
        Load,
        PeerRatio,
        Floor,
        BrowserRatio,
        BrowserStartup,
    )
}
"""By the value of the key `kind`, the type of the cell."""


def cell_info(fields: Mapping[str, Any]) -> CellInfo:
    """Return the cell of the `kind` that the fields name.

    Raises:
        TypeError: the kind has no such field, or must have one that is missing.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    return KINDS[given.pop("kind")](**given)


def ratio_fields(block_log_ratios: Sequence[float]) -> dict[str, Any]:
    """Return the fields of `Ratio` that a ratio measured in blocks fills."""
    interval = block_ratio(block_log_ratios)
    fields: dict[str, Any] = {"block_log_ratios": list(block_log_ratios)}
    if interval:
        fields["interval"] = asdict(interval) | {"blocks": len(block_log_ratios)}
    return fields
