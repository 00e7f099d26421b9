"""The content of the page: the server's settings, sample photos, a result or a problem."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np

from midas_bench.depth.config import Resolved
from midas_bench.depth.photo import FORMATS, decode_reduced, format_of
from midas_bench.scene_photos import Photo
from midas_bench.serve import device_page
from midas_bench.serve.engine import DepthResult
from midas_bench.serve.problems import Problem
from midas_bench.serve.representations import PNG
from midas_bench.serve.serve_config import ServeConfig

THUMBNAIL_SIDE = 192
"""Pixels of a thumbnail's longer side."""
THUMBNAIL_QUALITY = 80

WEIGHTS = {
    "official": "official MiDaS v2.1 small",
    "seeded": "seeded (random): timing only, the depth maps mean nothing",
    "file": "a checkpoint of the operator's own",
    "model": "an ONNX model of the operator's own",
}


@dataclass(frozen=True)
class About:
    """The settings that the page shows.

    Attributes:
        backend: its name.
        threads: of one inference.
        weights: in words.
        seeded: whether the weights are random, and depth means nothing.
        version: of this package.
    """

    backend: str
    threads: int
    weights: str
    seeded: bool
    version: str

    @classmethod
    def of(cls, pipeline: Resolved) -> About:
        """Return those of a resolved configuration."""
        source = pipeline.weights.source
        return cls(pipeline.backend, pipeline.threads, WEIGHTS[source], source == "seeded", version("midas-bench"))


@dataclass(frozen=True)
class Sample:
    """A photo to try, as the page names it."""

    name: str
    scene: str
    url: str
    alt: str
    author: str
    licence: str

    @classmethod
    def of(cls, photo: Photo) -> Sample:
        """Return the sample for a photo."""
        return cls(photo.file, photo.scene, f"samples/{quote(photo.file)}", photo.alt, photo.author, photo.licence)


@lru_cache(maxsize=64)
def thumbnail(photo: Photo) -> bytes:
    """Return a small JPEG of a photo, at most `THUMBNAIL_SIDE` pixels per side."""
    pixels = decode_reduced(photo.data, THUMBNAIL_SIDE).pixels
    scale = min(1.0, THUMBNAIL_SIDE / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(np.asarray(small), cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY)
    )
    return data.tobytes()


def media_type(photo: bytes) -> str:
    """Return the media type of a sound photo, by its first bytes."""
    return f"image/{str(format_of(photo)).lower()}"


def result(photo: bytes, name: str, depth_result: DepthResult) -> dict[str, Any]:
    """Return the template's values for a result; the page itself holds the photo and the heat map, a PNG."""
    return {
        "photo_uri": data_uri(photo, media_type(photo)),
        "heatmap_uri": data_uri(depth_result.body, PNG.media_type),
        "width": depth_result.width,
        "height": depth_result.height,
        "stage_s": depth_result.stage_s,
        "total_s": sum(depth_result.stage_s.values()),
        "download_name": f"{PurePath(name).stem or 'photo'}-depth{PNG.suffix}",
    }


def data_uri(data: bytes, media_type: str) -> str:
    """Return a data URI that holds the bytes."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def context(
    config: ServeConfig, about: About, result: Mapping[str, Any] | None = None, problem: Problem | None = None
) -> dict[str, Any]:
    """Return all that the template may use."""
    return {
        "about": about,
        "samples": [Sample.of(photo) for photo in config.samples],
        "result": result,
        "problem": problem,
        "device": device_page.choices(config.device) if config.device else [],
        "device_licences": device_page.LICENCES_ADDRESS,
        "limits": {"max_upload_bytes": config.max_upload_bytes, "max_pixels": config.max_pixels, "formats": FORMATS},
    }
