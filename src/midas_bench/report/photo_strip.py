"""Each scene's photo beside its heat map for each backend, the difference to eager, and the true depth where known."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from midas_bench import scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.errors import UserError
from midas_bench.render.document import Gallery, Picture
from midas_bench.report.charts.timing import series
from midas_bench.results.json_fields import clean
from midas_bench.results.run_files import depth_maps_of
from midas_bench.results.runs import Record, Run

WIDTH = 320
"""Pixels: what a column of the page shows on a dense screen."""

GREY_LEVELS = 255
GAIN = 16
"""Differences are shown this many times as large: between fp32 backends they are below one grey level."""

REFERENCES = ("eager", "article's recipe")


@dataclass(frozen=True)
class Album:
    """Photos at hand, encoded, and true inverse depth as PNG files, both by the photo's SHA-256."""

    photos: Mapping[str, bytes] = field(default_factory=dict)
    depth: Mapping[str, Path] = field(default_factory=dict)
    problem: str = ""


def album(place: Path) -> Album:
    """Collect the photos of a manifest.toml, or of a user's folder.

    Raises:
        UserError: there is no such place, or it is broken.
    """
    photos = scene_photos.all_photos(
        scene_photos.from_manifest(place) if place.is_file() else scene_photos.from_folder(place)
    )
    return Album(
        {photo.sha256: photo.data for photo in photos}, {photo.sha256: photo.depth for photo in photos if photo.depth}
    )


def own_album() -> Album:
    """Collect the suite's photos, or the reason why they are missing."""
    try:
        return album(suite_photos())
    except UserError as error:
        return Album(problem=str(error))


def galleries(run: Run, photos: Album) -> list[Gallery]:
    """Return the pictures of each scene that has depth maps: its first photo, one map per backend."""
    by_scene: dict[str, dict[str, Record]] = {}
    for record in run.records:
        if record.info.depth_maps and record.info.scene and record.is_pipeline:
            by_scene.setdefault(record.info.scene, {}).setdefault(series(record), record)
    scene_galleries = [_gallery(run, scene, cells, photos) for scene, cells in by_scene.items()]
    return [gallery for gallery in scene_galleries if gallery.rows]


def _gallery(run: Run, scene: str, cells: Mapping[str, Record], photos: Album) -> Gallery:
    folder = depth_maps_of(run.path)
    maps = {
        name: depth for name, cell in cells.items() if (depth := _depth(folder, cell.info.depth_maps[0])) is not None
    }
    if not maps:
        return Gallery(scene, ())
    first = next(iter(cells.values())).info.photos
    shown: list[Picture] = []
    height = WIDTH * 3 // 4
    if first:
        if first[0].width and first[0].height:
            height = round(WIDTH * first[0].height / first[0].width)
        shown += _photo(first[0].sha256, first[0].file, scene, photos, height)
    reference = next((name for name in REFERENCES if name in maps), None)
    for name, depth in maps.items():
        shown.append(_picture(_inferno(depth, height), name, f"Depth heat map of the {scene} photo by {name}"))
    apart = tuple(
        _difference(depth, maps[reference], name, reference, scene, height)
        for name, depth in maps.items()
        if reference is not None and name != reference
    )
    return Gallery(clean(scene), (tuple(shown), apart) if apart else (tuple(shown),))


def _photo(sha256: str | None, file: str, scene: str, photos: Album, height: int) -> list[Picture]:
    shown = []
    if sha256 in photos.photos:
        with Image.open(io.BytesIO(photos.photos[sha256 or ""])) as image:
            small = image.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
        shown.append(_picture(small, f"photo: {file}", f"The {scene} photo, {file}"))
    if sha256 in photos.depth:
        with Image.open(photos.depth[sha256 or ""]) as image:
            truth = np.asarray(image, np.float64)
        scaled = (truth - truth.min()) / max(float(np.ptp(truth)), 1e-12)
        shown.append(_picture(_inferno(scaled, height), "true depth", f"True inverse depth of the {scene} photo"))
    return shown


def _depth(folder: Path, name: str) -> NDArray[np.float64] | None:
    """Return a saved depth map as float64 (h, w) from 0 to 1, or None where it is not there or no picture."""
    path = folder / name
    try:
        # a name in a file never leads out of its folder
        if Path(name).name != name or not path.is_file():
            return None
        with Image.open(path) as image:
            return np.asarray(image.convert("L"), np.float64) / GREY_LEVELS
    except (OSError, Image.DecompressionBombError):
        return None


def _inferno(depth: NDArray[np.float64], height: int) -> Image.Image:
    coloured = mpl.colormaps["inferno"](depth, bytes=True)[..., :3]
    return Image.fromarray(np.ascontiguousarray(coloured)).resize((WIDTH, height), Image.Resampling.BICUBIC)


def _difference(
    depth: NDArray[np.float64], reference: NDArray[np.float64], name: str, other: str, scene: str, height: int
) -> Picture:
    if depth.shape != reference.shape:
        return _picture(
            Image.new("L", (WIDTH, height)), f"{name}: another size", f"No difference: {name} differs in size"
        )
    apart = np.abs(depth - reference)
    worst = float(apart.max())
    amplified = Image.fromarray((np.clip(apart * GAIN, 0, 1) * GREY_LEVELS).astype(np.uint8))
    amount = "no difference" if worst == 0 else f"at most {worst * GREY_LEVELS:.0f} of 255 grey levels"
    caption = f"{name} against {other}: {amount} (shown {GAIN} times as bright)"
    return _picture(amplified.resize((WIDTH, height)), caption, f"Difference of {name} to {other}, {scene}: {amount}")


def _picture(image: Image.Image, caption: str, alt: str) -> Picture:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=82, optimize=True)
    return Picture(
        "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii"),
        *image.size,
        clean(caption),
        clean(alt),
    )


def weights_warning(records: Sequence[Record]) -> str | None:
    """Return what must stand above pictures made with random weights."""
    if not any(record.info.weights.source == "seeded" for record in records):
        return None
    return (
        "Seeded (random) weights were used: these pictures show that the pipeline is wired up and that backends agree. "
        "They do not show depth."
    )
