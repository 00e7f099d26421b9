"""What every cell's `extra_info` may hold: name, type and meaning of each key. `kinds.py` adds what each kind has.

Writer, reader, CSV columns and the table in docs/report-and-json.md all follow from these types.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from midas_bench.results.intervals import CONFIDENCE, Interval, median_interval
from midas_bench.results.passes import pass_interval, pass_medians
from midas_bench.results.percentiles import percentiles

Number = Annotated[float, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0, extra={"unit": "seconds"})]
Whole = Annotated[int, Meta(ge=0)]
Logarithm = float
DIGITS = 8
"""Of a digest, as it is shown."""
UNREAD = Meta(extra={"unread": True})
"""Marks a key that is there for people and other programs: no report reads it, so an odd value does no harm."""
ClientCpuSeconds = Annotated[
    Number | None,
    "CPU seconds per request of the load client; of several loads the highest.",
    UNREAD,
]
"""A key of two kinds: of a load, and of the ratio of an HTTP server to the bare pipeline."""


def backend_name(backend: str | None, model: str | None) -> str:
    """Name a backend for sentences, tables and charts: after the network that it runs, where a run has several."""
    return f"{model} on {backend}" if model else str(backend)


class ImpossibleError(ValueError):
    """Values that contradict each other; the arguments are key, value, and what it should be."""


class PhotoRecord(Struct, frozen=True, omit_defaults=True):
    """A photo that a cell worked on."""

    file: str = "?"
    width: Whole | None = None
    height: Whole | None = None
    sha256: str | None = None
    bytes: Annotated[Whole | None, UNREAD] = None


class Interface(Struct, frozen=True, omit_defaults=True):
    """How a network is fed and read, as `depth.interface` has it; the defaults are MiDaS_small's."""

    height: Whole = 256
    width: Whole = 256
    layout: str = "NCHW"
    dtype: str = "float32"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    scale: float = 255.0
    output: str = ""
    meaning: str = "inverse"

    @property
    def size(self) -> str:
        """Height x width of the input, such as `252x336`."""
        return f"{self.height}x{self.width}"

    @property
    def text(self) -> str:
        """The size, where it is another than MiDaS_small's, and all else that is; empty where nothing is."""
        usual = Interface()
        texts = [self.size] if self.size != usual.size else []
        for name in self.__struct_fields__[2:]:
            value = getattr(self, name)
            if value != getattr(usual, name):
                numbers = value if isinstance(value, tuple) else (value,)
                # all digits, for two networks must not be told alike
                texts.append(f"{name} {','.join(str(number).removesuffix('.0') for number in numbers)}")
        return ", ".join(texts)


class Weights(Struct, frozen=True, omit_defaults=True):
    """The weights of the network: where they are from, their digest, and how the network is fed and read.

    `file` is the name of a model of the user's own.
    """

    source: str | None = None
    sha256: str | None = None
    file: str | None = None
    interface: Interface = Interface()

    @property
    def own(self) -> bool:
        """Whether a model of the user's own ran in place of MiDaS_small."""
        return self.source == "model"

    @property
    def network(self) -> tuple[str | None, Interface]:
        """What decides how much work the network is: another size or another model is another network."""
        return self.sha256 if self.own else None, self.interface

    @property
    def identity_text(self) -> str:
        """Where from, the first digits of the digest, and what is other than MiDaS_small's; the same for a copy."""
        return self._text(self.source)

    @property
    def text(self) -> str:
        """Such as `student.onnx (0123abcd), 252x336`: the model's name where it has one."""
        return self._text(self.file or self.source)

    def _text(self, name: str | None) -> str:
        named = f"{name or 'unknown'} ({(self.sha256 or 'unknown')[:DIGITS]})"
        return ", ".join(filter(None, [named, self.interface.text]))


class CellNoise(Struct, frozen=True, omit_defaults=True):
    """Whether the machine was disturbed during a cell, and how that showed; None where nobody looked.

    `noisy` of a cell that was visited in several passes means at least half of them, the numbers of which, from 1 on,
    are in `disturbed_passes`.
    """

    noisy: bool | None = None
    reasons: tuple[str, ...] = ()
    disturbed_passes: tuple[Whole, ...] = ()


class Bounds(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The interval of an estimate."""

    low: Number
    high: Number
    confidence: Number | None = None

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ImpossibleError("low", self.low, f"below high, {self.high:g}")

    def around(self, estimate: float) -> Interval:
        """Return the interval with its estimate."""
        return Interval(estimate, self.low, self.high, CONFIDENCE if self.confidence is None else self.confidence)


class Percentiles(Struct, frozen=True, omit_defaults=True):
    """Percentiles of the rounds; only the median is read."""

    p50: Seconds | None = None


class CellInfo(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="plain"):
    """What a cell of any kind may say of itself; by itself, a cell that lacks what its kind is about.

    The text beside a type is the key's meaning in the documentation. What is None is left out of the file.
    """

    scene: Annotated[str | None, "type of photo: street, indoor, pet or portrait."] = None
    model: Annotated[str | None, "name of the network, where a run has several models."] = None
    backend: Annotated[str | None, "its name in the registry."] = None
    recipe: Annotated[str | None, "the stages around the network: `fast`, this project's own, or `article`."] = None
    stage: Annotated[str | None, "decode, preprocess, inference, heatmap or write, where one is timed alone."] = None
    batch_size: Annotated[Whole | None, "photos per call."] = None
    threads: Annotated[Whole | None, "of the runtime and of OpenCV."] = None
    input_shape: Annotated[tuple[Whole, ...], "shape of the network's input.", UNREAD] = ()
    photos: Annotated[tuple[PhotoRecord, ...], "file, width, height, bytes and sha256 of each photo of the batch."] = ()
    photos_repeated: Annotated[bool | None, "whether the batch repeats a photo because the scene has too few."] = None
    weights: Annotated[
        Weights,
        "source (official, seeded, file or model) and sha256; of a model of your own also file, its name; with --size "
        "or a model also interface: height, width, layout, dtype, mean, std, scale, output and meaning.",
    ] = Weights()
    load_s: Annotated[Seconds | None, "seconds to open the backend with its graph in the cache."] = None
    first_inference_s: Annotated[Seconds | None, "seconds of the first call."] = None
    compile_s: Annotated[
        Seconds | None,
        "seconds to compile the network, where that is part of opening.",
        UNREAD,
    ] = None
    max_relative_error: Annotated[Number | None, "largest |depth - reference| / range of the reference."] = None
    mean_relative_error: Annotated[Number | None, "mean |depth - reference| / range of the reference."] = None
    rank_correlation: Annotated[
        float | None,
        "Spearman's correlation with the reference over a photo's pixels; of the worst photo.",
    ] = None
    flipped_pairs: Annotated[
        Number | None,
        "share of pixel pairs whose order differs from the reference; of the worst photo.",
    ] = None
    teacher: Annotated[
        str | None, "name of the model whose depth this one's is compared with, the first of several; or absent."
    ] = None
    teacher_rank_correlation: Annotated[
        float | None, "Spearman's correlation with the teacher's depth in float32; of the worst photo."
    ] = None
    teacher_pairs_kept: Annotated[
        Number | None, "share of pixel pairs in the same order as in the teacher's depth; of the worst photo."
    ] = None
    threads_reported: Annotated[dict[str, Whole], "threads that each library reports, by library.", UNREAD] = {}
    noise: Annotated[
        CellNoise,
        "whether and why the machine was disturbed; page faults and involuntary context switches per call.",
    ] = CellNoise()
    depth_maps: Annotated[tuple[str, ...], "files in the folder named like the JSON file, one per photo."] = ()
    images_per_second: Annotated[Number | None, "photos completed per second."] = None
    cpu_s: Annotated[Seconds | None, "CPU seconds of a timed call, summed over the threads of the process."] = None
    energy_by_pass_j: Annotated[
        tuple[Number, ...],
        "joules of the CPU's packages per timed call, one value per pass; absent where RAPL's counters cannot be read.",
    ] = ()
    latency_s: Annotated[
        Percentiles,
        "p50, p90, p95 and p99 of a call, in seconds; null where too few rounds support the percentile.",
    ] = Percentiles()
    median_ci_s: Annotated[
        Bounds | None,
        "low, high and confidence of the median, in seconds; from the spread between passes where there are several.",
    ] = None
    rounds_by_pass: Annotated[
        tuple[Whole, ...],
        "rounds of each pass; the raw rounds stand in the order of the passes.",
    ] = ()

    @property
    def backend_name(self) -> str:
        """The backend, after the network that it runs where a run has several."""
        return backend_name(self.backend, self.model)

    @property
    def photos_per_round(self) -> int | None:
        """Photos of what was timed as one round, where that is known."""
        return self.batch_size

    def follow_from(self, median_s: float) -> dict[str, Any]:
        """Return the fields that follow from the median of the rounds, in seconds and above 0."""
        photos = self.photos_per_round
        return {"images_per_second": photos / median_s} if photos else {}

    def to_extra_info(self, rounds_s: Sequence[float] = ()) -> dict[str, Any]:
        """Return what is known and what follows from the raw rounds (seconds per call), in JSON types."""
        fields: dict[str, Any] = {}
        if rounds_s:
            of_pass = pass_medians(rounds_s, self.rounds_by_pass)
            latency_s = percentiles(rounds_s)
            interval = pass_interval(of_pass) if len(of_pass) > 1 else median_interval(rounds_s)
            if interval:
                fields["median_ci_s"] = {"low": interval.low, "high": interval.high, "confidence": interval.confidence}
            fields["latency_s"] = latency_s
            fields |= self.follow_from(latency_s["p50"]) if latency_s["p50"] else {}
        # numbers of NumPy are subclasses of float that msgspec does not know
        builtins = msgspec.to_builtins(msgspec.structs.replace(self, **fields), enc_hook=float)
        # msgspec leaves tuples, and a run's summary reads what no file has made lists of yet
        info: dict[str, Any] = json.loads(json.dumps(builtins))
        return info
