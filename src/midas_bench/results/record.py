"""What one cell's `extra_info` holds: the one owner of its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from midas_bench.results import stats


@dataclass(frozen=True, kw_only=True)
class CellInfo:
    """A cell in `extra_info`'s own terms; what is None makes no sense for its kind and is left out.

    Attributes:
        kind: latency, stage, ...
        scene: street, indoor, pet or portrait.
        backend: as in the registry.
        recipe: fast or article.
        stage: decode, preprocess, inference or heatmap; for cells that time one alone.
        batch_size: photos a call.
        threads: of the runtime and of OpenCV.
        input_shape: of the network's input.
        photos: file, width, height, bytes and sha256 of each in the batch.
        photos_repeated: whether one stands in the batch more than once, the scene having too few.
        weights: source and sha256.
        load_s: opening the backend, in seconds, the artifact being in the cache.
        first_inference_s: its first call, in seconds.
        max_relative_error: max|depth - eager's| / range of eager's.
    """

    kind: str
    scene: str | None = None
    backend: str | None = None
    recipe: str | None = None
    stage: str | None = None
    batch_size: int | None = None
    threads: int | None = None
    input_shape: Sequence[int] | None = None
    photos: Sequence[Mapping[str, Any]] | None = None
    photos_repeated: bool | None = None
    weights: Mapping[str, str] | None = None
    load_s: float | None = None
    first_inference_s: float | None = None
    max_relative_error: float | None = None

    def to_extra_info(self, rounds_s: Sequence[float] = ()) -> dict[str, Any]:
        """Return what is known and what follows from the raw rounds (seconds a call), in JSON types."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        info = {name: value for name, value in known.items() if value is not None}
        if rounds_s:
            latency_s = stats.percentiles(rounds_s)
            info["latency_s"] = latency_s
            if self.batch_size and latency_s["p50"]:
                info["images_per_second"] = self.batch_size / latency_s["p50"]
        return info
